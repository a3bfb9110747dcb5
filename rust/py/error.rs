//! From the core's errors to the classes of `busduct.errors`; the only place that does.

use pyo3::exceptions::{PyMemoryError, PyOSError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::context::SetupError;
use crate::link::BindError;
use crate::socket::{MAX_TOPIC_BYTES, PeerError, PeerFault, RecvFault, SendFault, TopicFault};
use crate::zmtp;

static ERRORS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// Make `name(*args)` of `busduct.errors`; failing that, the error of that.
fn make<'py, A>(py: Python<'py>, name: &str, args: A) -> PyErr
where
    A: pyo3::call::PyCallArgs<'py>,
{
    match make_value(py, name, args) {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}

fn make_value<'py, A>(py: Python<'py>, name: &str, args: A) -> PyResult<Bound<'py, PyAny>>
where
    A: pyo3::call::PyCallArgs<'py>,
{
    let module =
        ERRORS.get_or_try_init(py, || PyModule::import(py, "busduct.errors").map(Bound::unbind))?;
    module.bind(py).getattr(name)?.call1(args)
}

pub(super) fn closed(py: Python<'_>, what: &str) -> PyErr {
    make(py, "ClosedError", (what,))
}

pub(super) fn forked(py: Python<'_>) -> PyErr {
    make(py, "ForkedError", ())
}

pub(super) fn misuse(py: Python<'_>, text: &str) -> PyErr {
    make(py, "LocalProtocolError", (text,))
}

pub(super) fn config(py: Python<'_>, text: &str) -> PyErr {
    make(py, "ConfigError", (text,))
}

pub(super) fn timed_out(py: Python<'_>, seconds: f64) -> PyErr {
    make(py, "WaitTimeoutError", (seconds,))
}

pub(super) fn system(error: std::io::Error) -> PyErr {
    match error.raw_os_error() {
        // With the number as argument Python picks the subclass of OSError.
        Some(number) => PyOSError::new_err((number, error.to_string())),
        None => PyOSError::new_err(error.to_string()),
    }
}

pub(super) fn from_send(py: Python<'_>, fault: SendFault) -> PyErr {
    match fault {
        SendFault::Full { hwm_messages, hwm_bytes } => {
            let limit = format!("{hwm_messages} messages or {hwm_bytes} bytes");
            make(py, "FullError", (limit,))
        }
        SendFault::TooLarge { size, limit, unit } => {
            make(py, "FrameTooLargeError", (size, limit, unit))
        }
        SendFault::NoRoute(id) => make(py, "PeerLostError", (to_hex(&id),)),
        SendFault::PeerLost(endpoint) => make(py, "PeerLostError", (endpoint,)),
        SendFault::Misuse(text) => misuse(py, text),
        SendFault::NeverUrgent(kind) => {
            misuse(py, &format!("a {} sends no urgent messages", kind.name()))
        }
        SendFault::Closed => closed(py, "socket"),
        SendFault::TopicTooLong { nbytes } => from_topic(py, TopicFault::TooLong { nbytes }),
        SendFault::OutOfMemory => PyMemoryError::new_err(()),
    }
}

pub(super) fn from_topic(py: Python<'_>, fault: TopicFault) -> PyErr {
    match fault {
        TopicFault::TooLong { nbytes } => {
            config(py, &format!("topic of {nbytes} bytes exceeds limit of {MAX_TOPIC_BYTES} bytes"))
        }
        TopicFault::NotSubscribed => misuse(py, "not subscribed to that topic"),
        TopicFault::NotPublisher(kind) => {
            misuse(py, &format!("a {} does not publish", kind.name()))
        }
        TopicFault::NotSubscriber(kind) => {
            misuse(py, &format!("a {} does not subscribe", kind.name()))
        }
        TopicFault::Closed => closed(py, "socket"),
        TopicFault::OutOfMemory => PyMemoryError::new_err(()),
    }
}

pub(super) fn from_recv(py: Python<'_>, fault: RecvFault) -> PyErr {
    match fault {
        RecvFault::Closed => closed(py, "socket"),
        RecvFault::Misuse(text) => misuse(py, text),
        RecvFault::Multipart { num_parts } => {
            misuse(py, &format!("next message has {num_parts} parts; use recv_multipart"))
        }
        RecvFault::PeerLost(endpoint) => make(py, "PeerLostError", (endpoint,)),
        RecvFault::OutOfMemory => PyMemoryError::new_err(()),
    }
}

pub(super) fn from_setup(py: Python<'_>, error: SetupError) -> PyErr {
    match error {
        SetupError::Closed => closed(py, "socket"),
        SetupError::Option(error) => config(py, &error.to_string()),
        SetupError::Endpoint(error) => config(py, &error.to_string()),
        SetupError::Bind { endpoint, error: BindError::InUse } => {
            make(py, "AddressInUseError", (endpoint,))
        }
        SetupError::Bind { error: error @ BindError::NotLoopback(_), .. } => {
            make(py, "AuthError", (error.to_string(),))
        }
        SetupError::Bind { error: BindError::System(error), .. } => system(error),
        SetupError::System(errno) => system(errno.into()),
        SetupError::NotThere { .. } => misuse(py, &error.to_string()),
    }
}

/// The exception that stands for what a peer did wrong.
pub(super) fn from_peer<'py>(py: Python<'py>, error: PeerError) -> PyResult<Bound<'py, PyAny>> {
    let endpoint = error.endpoint;
    match error.fault {
        PeerFault::Protocol(zmtp::Error::Malformed { offset, reason }) => {
            make_value(py, "MalformedFrameError", (offset, reason))
        }
        PeerFault::Protocol(zmtp::Error::TooLarge { size, limit, unit }) => {
            make_value(py, "FrameTooLargeError", (size, limit, unit))
        }
        PeerFault::Protocol(error @ (zmtp::Error::WrongKey | zmtp::Error::Tampered { .. })) => {
            make_value(py, "AuthError", (format!("{endpoint}: {error}"),))
        }
        PeerFault::Protocol(error) => make_value(py, "RemoteProtocolError", (error.to_string(),)),
        PeerFault::Lost | PeerFault::Unresponsive => make_value(py, "PeerLostError", (endpoint,)),
        PeerFault::Silent(timeout) => {
            let reason = format!("not complete after {} s", timeout.as_secs_f64());
            make_value(py, "HandshakeError", (endpoint, reason))
        }
        PeerFault::OtherUser => {
            let text = format!("the peer at {endpoint} belongs to another user");
            make_value(py, "AuthError", (text,))
        }
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
