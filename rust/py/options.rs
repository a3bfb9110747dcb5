//! The keywords of `Context` and `Context.socket`, read by kind of value.

use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::arguments::amount;
use super::blocking::to_duration;
use super::error;
use crate::context::{ShmMode, ShmOptions};
use crate::socket::{OnFull, OptionError, SocketOptions};

/// Read the keywords; what none of them names stays at its default.
///
/// # Errors
///
/// TypeError for an unknown name or a value of another type, ConfigError for a value that
/// no option may have. Ranges are the core's to check.
pub(super) fn from_keywords(keywords: Option<&Bound<'_, PyDict>>) -> PyResult<SocketOptions> {
    let mut options = SocketOptions::default();
    for (name, value) in keywords.into_iter().flatten() {
        let name = name.extract::<String>()?;
        let is_known =
            read(&mut options, &name, &value).map_err(|error| explain(error, &name, value.py()))?;
        if !is_known {
            let text = format!("Context.socket() got an unexpected keyword argument '{name}'");
            return Err(PyTypeError::new_err(text));
        }
    }
    Ok(options)
}

/// A size as Python gives it, and as it is told where it is wrong.
pub(super) struct Size {
    /// `None` for what is negative.
    size: Option<usize>,
    text: String,
}

impl Size {
    pub(super) fn of(size: usize) -> Self {
        Self { size: Some(size), text: size.to_string() }
    }
}

impl<'py> FromPyObject<'_, 'py> for Size {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let size = to_size(&object)?;
        let size = if object.lt(0)? { None } else { Some(size) };
        Ok(Self { size, text: object.str()?.to_string() })
    }
}

/// Read for whoever leaves the mode at its default.
const MODE_VARIABLE: &str = "BUSDUCT_SHM";

/// The keywords of `Context` that tell of shared memory.
pub(super) struct ShmKeywords<'a> {
    pub(super) mode: &'a str,
    pub(super) max_bytes: Size,
    pub(super) ring_bytes: Size,
    pub(super) spin_us: Size,
}

impl ShmKeywords<'_> {
    /// Read them.
    ///
    /// # Errors
    ///
    /// ConfigError for what is no mode, or out of its range.
    pub(super) fn read(self, py: Python<'_>) -> PyResult<ShmOptions> {
        let spin_us = self.spin_us.size.and_then(|spin_us| u64::try_from(spin_us).ok());
        let options = ShmOptions {
            mode: self.mode(py)?,
            max_bytes: self.max_bytes.size.unwrap_or(0),
            ring_bytes: self.ring_bytes.size.unwrap_or(0),
            // What is negative is as wrong as what is too long.
            spin: spin_us.map_or(Duration::MAX, Duration::from_micros),
        };
        options.validate().map_err(|OptionError { name, allowed }| {
            let given = match name {
                "shm_max_bytes" => &self.max_bytes,
                "shm_ring_bytes" => &self.ring_bytes,
                _ => &self.spin_us,
            };
            error::config(py, &format!("{name} is {}; it must be {allowed}", given.text))
        })?;
        Ok(options)
    }

    /// The mode as it is given, or where that is the default, as the environment says.
    fn mode(&self, py: Python<'_>) -> PyResult<ShmMode> {
        let asked = to_mode(py, "shm", self.mode)?;
        match std::env::var_os(MODE_VARIABLE).filter(|_| asked == ShmMode::Auto) {
            Some(word) => to_mode(py, MODE_VARIABLE, &word.to_string_lossy()),
            None => Ok(asked),
        }
    }
}

fn to_mode(py: Python<'_>, name: &str, word: &str) -> PyResult<ShmMode> {
    ShmMode::parse(word).ok_or_else(|| {
        let allowed = "it must be \"auto\", \"off\" or \"require\"";
        error::config(py, &format!("{name} is \"{word}\"; {allowed}"))
    })
}

/// Tell which argument has the wrong type, as a call with a signature would.
fn explain(error: PyErr, name: &str, py: Python<'_>) -> PyErr {
    if error.get_type(py).is(py.get_type::<PyTypeError>()) {
        return PyTypeError::new_err(format!("argument '{name}': {}", error.value(py)));
    }
    error
}

/// Set what `name` names; `false` if there is no such option.
fn read(options: &mut SocketOptions, name: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    if let Some(field) = size_field(options, name) {
        *field = to_size(value)?;
    } else if let Some(field) = flag_field(options, name) {
        *field = value.extract()?;
    } else if let Some(field) = duration_field(options, name) {
        *field = to_wait(name, value)?;
    } else if let Some(field) = optional_duration_field(options, name) {
        *field = if value.is_none() { None } else { Some(to_wait(name, value)?) };
    } else {
        return read_other(options, name, value);
    }
    Ok(true)
}

fn size_field<'a>(options: &'a mut SocketOptions, name: &str) -> Option<&'a mut usize> {
    Some(match name {
        "hwm_messages" => &mut options.hwm_messages,
        "hwm_bytes" => &mut options.hwm_bytes,
        "max_parts" => &mut options.max_parts,
        "max_peers" => &mut options.max_peers,
        "backlog" => &mut options.backlog,
        "tcp_keepalive_count" => &mut options.tcp_keepalive_count,
        "max_subscriptions" => &mut options.max_subscriptions,
        _ => return None,
    })
}

fn flag_field<'a>(options: &'a mut SocketOptions, name: &str) -> Option<&'a mut bool> {
    Some(match name {
        "immediate" => &mut options.immediate,
        "probe_router" => &mut options.probe_router,
        "router_mandatory" => &mut options.router_mandatory,
        "router_handover" => &mut options.router_handover,
        "req_correlate" => &mut options.req_correlate,
        "req_relaxed" => &mut options.req_relaxed,
        "xpub_verbose" => &mut options.xpub_verbose,
        "isolate" => &mut options.isolate,
        _ => return None,
    })
}

fn duration_field<'a>(options: &'a mut SocketOptions, name: &str) -> Option<&'a mut Duration> {
    Some(match name {
        "handshake_timeout" => &mut options.handshake_timeout,
        "reconnect_interval" => &mut options.reconnect_interval,
        "reconnect_max" => &mut options.reconnect_max,
        "tcp_keepalive_interval" => &mut options.tcp_keepalive_interval,
        _ => return None,
    })
}

fn optional_duration_field<'a>(
    options: &'a mut SocketOptions,
    name: &str,
) -> Option<&'a mut Option<Duration>> {
    Some(match name {
        "heartbeat_interval" => &mut options.heartbeat_interval,
        "heartbeat_timeout" => &mut options.heartbeat_timeout,
        "heartbeat_ttl" => &mut options.heartbeat_ttl,
        "tcp_keepalive_idle" => &mut options.tcp_keepalive_idle,
        _ => return None,
    })
}

fn read_other(options: &mut SocketOptions, name: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    match name {
        "linger" if value.is_none() => options.linger = None,
        "linger" => options.linger = to_bound(name, value)?,
        "max_message_bytes" => options.max_message_bytes = to_size(value)? as u64,
        "send_buffer_bytes" => options.send_buffer_bytes = to_buffer_size(name, value)?,
        "recv_buffer_bytes" => options.recv_buffer_bytes = to_buffer_size(name, value)?,
        "routing_id" => options.routing_id = value.extract()?,
        "on_full" => options.on_full = to_policy(value)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// What is negative is as wrong as zero, and becomes it.
fn to_size(value: &Bound<'_, PyAny>) -> PyResult<usize> {
    Ok(usize::try_from(amount(value)?).unwrap_or(0))
}

/// Zero means something here, so what is negative is told apart.
fn to_buffer_size(name: &str, value: &Bound<'_, PyAny>) -> PyResult<usize> {
    let size = to_size(value)?;
    if value.lt(0)? {
        return Err(error::config(value.py(), &format!("{name} must be at least 0")));
    }
    Ok(size)
}

/// A wait without end is `None`.
fn to_bound(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<Duration>> {
    let (py, seconds) = (value.py(), value.extract::<f64>()?);
    to_duration(py, Some(seconds)).map_err(|_| {
        error::config(py, &format!("{name} is {seconds}, which is not a number of seconds"))
    })
}

fn to_wait(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    Ok(to_bound(name, value)?.unwrap_or(Duration::MAX))
}

fn to_policy(value: &Bound<'_, PyAny>) -> PyResult<Option<OnFull>> {
    let Some(word) = value.extract::<Option<String>>()? else {
        return Ok(None);
    };
    let unknown = || error::config(value.py(), &format!("on_full is {word:?}, which is no policy"));
    OnFull::parse(&word).map(Some).ok_or_else(unknown)
}
