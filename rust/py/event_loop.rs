//! How a context lives in a running asyncio loop: a reader, and flushes that come soon.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Weak};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::error;
use super::shared::Shared;

static GET_RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Sends that rely on a scheduled flush before the loop is asked for again. A loop that
/// ended with the flush still due is noticed by then; asking each time would cost a
/// getpid(2) in CPython 3.11.
const MAX_TRUSTED: u32 = 64;

/// The loop that watches a context.
pub(super) struct Attached {
    event_loop: Py<PyAny>,
    /// The descriptor as the loop was told.
    fd: RawFd,
    flusher: Py<PyAny>,
    /// Sends that may yet rely on a flush that was scheduled; 0 if none was.
    num_trusted: u32,
}

/// Called by the loop when the context's descriptor is readable.
#[pyclass(module = "busduct._core", frozen)]
struct Turner {
    shared: Weak<Shared>,
}

#[pymethods]
impl Turner {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        match self.shared.upgrade() {
            Some(shared) => shared.turn(py),
            None => Ok(()),
        }
    }
}

/// Called by the loop after the tasks that sent something.
#[pyclass(module = "busduct._core", frozen)]
struct Flusher {
    shared: Weak<Shared>,
}

#[pymethods]
impl Flusher {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let Some(shared) = self.shared.upgrade() else {
            return Ok(());
        };
        shared.with(py, |inner| {
            if let Some(attached) = &mut inner.attached {
                attached.num_trusted = 0;
            }
            inner.context.flush();
        })
    }
}

/// The running loop, if there is one.
#[inline]
pub(super) fn running_loop(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let get = GET_RUNNING_LOOP.get_or_try_init(py, || {
        let asyncio = PyModule::import(py, "asyncio")?;
        asyncio.getattr("_get_running_loop").map(Bound::unbind)
    })?;
    let event_loop = get.bind(py).call0()?;
    Ok(if event_loop.is_none() { None } else { Some(event_loop) })
}

/// Let the running loop, if there is one, watch the context.
///
/// # Errors
///
/// LocalProtocolError if another loop that still runs does.
pub(super) fn attach(py: Python<'_>, shared: &Arc<Shared>) -> PyResult<()> {
    match running_loop(py)? {
        Some(event_loop) => attach_to(py, shared, &event_loop),
        None => Ok(()),
    }
}

pub(super) fn attach_to(
    py: Python<'_>,
    shared: &Arc<Shared>,
    event_loop: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let before = shared.with(py, |inner| {
        let attached = inner.attached.as_ref();
        attached.map(|attached| attached.event_loop.clone_ref(py))
    })?;
    if let Some(before) = before {
        if before.is(event_loop) {
            return Ok(());
        }
        if before.bind(py).call_method0("is_running")?.is_truthy()? {
            return Err(error::misuse(py, "context belongs to another running loop"));
        }
        let (waiters, attached) =
            shared.with(py, |inner| (inner.waiters.take_all(), inner.attached.take()))?;
        drop(waiters);
        if let Some(attached) = attached {
            attached.detach(py)?;
        }
    }
    let turner = Py::new(py, Turner { shared: Arc::downgrade(shared) })?;
    let flusher = Py::new(py, Flusher { shared: Arc::downgrade(shared) })?.into_any();
    let fd = shared.fd(py)?.as_raw_fd();
    event_loop.call_method1("add_reader", (fd, turner))?;
    let event_loop = event_loop.clone().unbind();
    let attached = Attached { event_loop, fd, flusher, num_trusted: 0 };
    shared.with(py, |inner| inner.attached = Some(attached))
}

/// Leave the loop and give the descriptors back: all sockets have ended.
pub(super) fn end(py: Python<'_>, shared: &Shared) -> PyResult<()> {
    if let Some(attached) = shared.with(py, |inner| inner.attached.take())? {
        attached.detach(py)?;
    }
    shared.shut(py)
}

impl Attached {
    /// Whether a flush is scheduled, and was found to be not long ago.
    #[inline]
    pub(super) fn trusts_schedule(&mut self) -> bool {
        let trusts = self.num_trusted > 0;
        self.num_trusted = self.num_trusted.saturating_sub(1);
        trusts
    }

    /// Tell the loop to watch no more, unless it is closed.
    pub(super) fn detach(self, py: Python<'_>) -> PyResult<()> {
        let event_loop = self.event_loop.bind(py);
        if event_loop.call_method0("is_closed")?.is_truthy()? {
            return Ok(());
        }
        event_loop.call_method1("remove_reader", (self.fd,)).map(drop)
    }
}

/// See to it that what was accepted is written: soon by the running loop, else now.
pub(super) fn schedule_flush(py: Python<'_>, shared: &Arc<Shared>) -> PyResult<()> {
    let Some(event_loop) = running_loop(py)? else {
        return shared.with(py, |inner| inner.context.flush());
    };
    attach_to(py, shared, &event_loop)?;
    let flusher = shared.with(py, |inner| {
        let attached = inner.attached.as_mut()?;
        attached.num_trusted = MAX_TRUSTED;
        Some(attached.flusher.clone_ref(py))
    })?;
    if let Some(flusher) = flusher {
        event_loop.call_method1(intern!(py, "call_soon"), (flusher,))?;
    }
    Ok(())
}
