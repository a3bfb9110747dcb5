//! `Monitor`: what happens to a socket's connections.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::awaitable::Awaitable;
use super::blocking;
use super::context::Context;
use super::error;
use super::operation::{Operation, Step};
use super::shared::Shared;
use crate::socket::{Event, EventLog, PeerError, SocketKey};

#[pyclass(module = "busduct._core", frozen)]
pub(super) struct Monitor {
    /// The context lives as long as its monitors are in use.
    _context: Py<Context>,
    shared: Arc<Shared>,
    key: SocketKey,
    log: Arc<EventLog>,
}

impl Monitor {
    pub(super) fn open(
        py: Python<'_>,
        context: &Py<Context>,
        shared: &Arc<Shared>,
        key: SocketKey,
        max_events: i64,
    ) -> PyResult<Self> {
        let Some(bound) = usize::try_from(max_events).ok().filter(|&bound| bound > 0) else {
            let text = format!("max_events is {max_events}; it must be at least 1");
            return Err(error::config(py, &text));
        };
        let opened = shared.with(py, |inner| inner.context.monitor(key, bound))?;
        let log = opened.map_err(|fault| error::from_setup(py, fault))?.into();
        Ok(Self { _context: context.clone_ref(py), shared: shared.clone(), key, log })
    }

    fn operation(&self, stops: bool) -> Operation {
        Operation::Watch { log: self.log.clone(), stops }
    }
}

#[pymethods]
impl Monitor {
    #[getter]
    fn num_dropped(&self) -> u64 {
        self.log.num_dropped()
    }

    fn recv_nowait(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let mut operation = self.operation(false);
        match self.shared.with(py, |inner| operation.step(inner, self.key))? {
            Step::Done(output) => output.into_object(py).map(Some),
            Step::Wait(_) => Ok(None),
            ended => Err(ended.into_error(py)),
        }
    }

    #[pyo3(signature = (timeout=None))]
    fn recv_blocking(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let operation = self.operation(false);
        blocking::run(py, &self.shared, self.key, operation, timeout)?.into_object(py)
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.with(py, |inner| {
            self.log.end();
            inner.wake_watchers(self.key);
        })
    }

    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __anext__(&self) -> Awaitable {
        Awaitable::new(&self.shared, self.key, self.operation(true))
    }
}

/// Make the frozen record of `busduct.monitor`.
pub(super) fn to_python(py: Python<'_>, event: Event) -> PyResult<Py<PyAny>> {
    let fields = PyDict::new(py);
    fields.set_item("kind", event.kind.name())?;
    fields.set_item("endpoint", &event.endpoint)?;
    fields.set_item("routing_id", PyBytes::new(py, &event.routing_id))?;
    if let Some(fault) = event.fault {
        let error = PeerError { endpoint: event.endpoint, fault };
        fields.set_item("error", error::from_peer(py, error)?)?;
    }
    let class = PyModule::import(py, "busduct.monitor")?.getattr("MonitorEvent")?;
    Ok(class.call((), Some(&fields))?.unbind())
}
