//! `Context`: the owner of sockets, in a loop or without one.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyDict, PyTuple};

use super::awaitable::Awaitable;
use super::blocking::{to_duration, wait_readable};
use super::error;
use super::event_loop::{attach, end};
use super::inner::Inner;
use super::operation::Operation;
use super::options::{self, ShmKeywords, Size};
use super::shared::Shared;
use super::socket::Socket;
use super::statistics;
use crate::socket::SocketKey;
use crate::zmtp::{Key, SocketType};

#[pyclass(module = "busduct._core", frozen)]
pub(super) struct Context {
    shared: Arc<Shared>,
}

impl Context {
    /// Close every socket; from then on the context opens none.
    fn begin_close(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.with(py, |inner| {
            inner.is_closed = true;
            inner.context.close_all();
        })
    }

    /// Whether all sockets have ended; if not, that is to be waited for.
    fn is_ended(&self, py: Python<'_>) -> PyResult<bool> {
        self.shared.with(py, |inner| {
            if let Some(bells) = &mut inner.bells {
                bells.expect();
            }
            inner.is_closed && inner.context.is_closed()
        })
    }
}

#[pymethods]
impl Context {
    #[new]
    #[pyo3(signature = (*, key=None, io_thread=false, shm="auto",
        shm_max_bytes=Size::of(268_435_456), shm_ring_bytes=Size::of(524_288),
        spin_us=Size::of(0)),
        text_signature = "(*, key=None, io_thread=False, shm='auto', \
shm_max_bytes=268435456, shm_ring_bytes=524288, spin_us=0)")]
    fn new(
        py: Python<'_>,
        key: Option<PyBackedBytes>,
        io_thread: bool,
        shm: &str,
        shm_max_bytes: Size,
        shm_ring_bytes: Size,
        spin_us: Size,
    ) -> PyResult<Self> {
        let key = key.map(|key| to_key(py, &key)).transpose()?;
        let shm = ShmKeywords {
            mode: shm,
            max_bytes: shm_max_bytes,
            ring_bytes: shm_ring_bytes,
            spin_us,
        };
        let shm = shm.read(py)?;
        Ok(Self { shared: Arc::new(Shared::new(py, key, io_thread, shm)?) })
    }

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let found = self.shared.with(py, |inner| inner.context.shm_statistics())?;
        statistics::of_context(py, &found)
    }

    #[pyo3(signature = (kind, **options), text_signature = "($self, kind, *, \
hwm_messages=1000, hwm_bytes=67108864, linger=1.0, max_message_bytes=1073741824, \
max_parts=1024, max_peers=4096, handshake_timeout=10.0, reconnect_interval=0.1, \
reconnect_max=5.0, routing_id=b'', on_full=None, immediate=False, heartbeat_interval=None, \
heartbeat_timeout=None, heartbeat_ttl=None, backlog=4096, tcp_keepalive_idle=None, \
tcp_keepalive_interval=10.0, tcp_keepalive_count=3, send_buffer_bytes=0, \
recv_buffer_bytes=0, probe_router=False, router_mandatory=True, router_handover=False, \
req_correlate=False, req_relaxed=False, xpub_verbose=False, max_subscriptions=65536, \
isolate=False)")]
    fn socket(
        slf: &Bound<'_, Self>,
        kind: i64,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Socket> {
        let py = slf.py();
        let Some(kind) = u8::try_from(kind).ok().and_then(SocketType::from_code) else {
            return Err(error::config(py, &format!("{kind} is not a socket type")));
        };
        let options = options::from_keywords(options)?;
        let opened = slf.get().shared.with(py, |inner| {
            if inner.is_closed { None } else { Some(inner.context.open(kind, options)) }
        })?;
        let Some(opened) = opened else {
            return Err(error::closed(py, "context"));
        };
        let key = opened.map_err(|fault| error::from_setup(py, fault))?;
        Ok(Socket::new(slf.clone().unbind(), slf.get().shared.clone(), key, kind))
    }

    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        Ok(self.shared.watched_fd(py)?.as_raw_fd())
    }

    #[pyo3(signature = (timeout=Some(0.0)), text_signature = "($self, timeout=0.0)")]
    fn run_once(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        let wait = to_duration(py, timeout)?;
        let has_changed = self.shared.with(py, begin_turn)?;
        let has_changed = has_changed.map_err(|errno| error::system(errno.into()))?;
        if wait != Some(Duration::ZERO) && !has_changed {
            let now = Instant::now();
            let deadline = wait.and_then(|wait| now.checked_add(wait));
            wait_readable(py, &self.shared, deadline)?;
        }
        self.shared.turn(py)
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.begin_close(py)?;
        while !self.is_ended(py)? {
            wait_readable(py, &self.shared, None)?;
            self.shared.turn(py)?;
        }
        end(py, &self.shared)
    }

    fn aclose(&self, py: Python<'_>) -> PyResult<Awaitable> {
        self.begin_close(py)?;
        Ok(Awaitable::new(&self.shared, SocketKey::default(), Operation::End))
    }

    #[getter]
    fn closed(&self, py: Python<'_>) -> PyResult<bool> {
        self.shared.with(py, |inner| inner.is_closed)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(&self, py: Python<'_>, _args: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(py)
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> PyResult<Awaitable> {
        attach(slf.py(), &slf.get().shared)?;
        let give = Operation::Give(slf.clone().unbind().into_any());
        Ok(Awaitable::new(&slf.get().shared, SocketKey::default(), give))
    }

    #[pyo3(signature = (*_args))]
    fn __aexit__(&self, py: Python<'_>, _args: &Bound<'_, PyTuple>) -> PyResult<Awaitable> {
        self.aclose(py)
    }
}

/// Do what needs no waiting; tell whether that was anything which nobody will tell again.
fn begin_turn(inner: &mut Inner) -> rustix::io::Result<bool> {
    let Some(bells) = &mut inner.bells else {
        inner.context.flush();
        return Ok(false);
    };
    bells.expect_any();
    inner.context.run_once(Some(Duration::ZERO))?;
    Ok(inner.context.has_woken())
}

fn to_key(py: Python<'_>, bytes: &[u8]) -> PyResult<Key> {
    let key = bytes.try_into().map(Key::new);
    key.map_err(|_| error::config(py, &format!("key of {} bytes; it has 32", bytes.len())))
}

impl Drop for Context {
    fn drop(&mut self) {
        // During shutdown there is no interpreter, and nobody to be told.
        let _ = Python::try_attach(|py| {
            if self.shared.is_forked() || self.closed(py).unwrap_or(true) {
                return;
            }
            let text = c"unclosed busduct context";
            let category = py.get_type::<pyo3::exceptions::PyResourceWarning>();
            if let Err(error) = PyErr::warn(py, &category, text, 1) {
                error.write_unraisable(py, None);
            }
            if let Err(error) = self.begin_close(py) {
                error.write_unraisable(py, None);
            }
        });
    }
}
