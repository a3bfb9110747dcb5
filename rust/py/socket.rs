//! `Socket`: a pattern over any number of peers.

use std::collections::VecDeque;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::arguments::{
    Linger, Topic, amount, frames, many, one, parts as to_message, subscribers,
};
use super::awaitable::Awaitable;
use super::batches::Batches;
use super::blocking::{self, to_duration};
use super::context::Context;
use super::error;
use super::event_loop::{attach, schedule_flush};
use super::given::Given;
use super::loan::Loan;
use super::monitor::Monitor;
use super::operation::{Operation, Output, Step, to_list};
use super::shared::Shared;
use super::statistics;
use super::waiters::Side;
use crate::socket::{SendFault, SocketKey, State};
use crate::zmtp::SocketType;

#[pyclass(module = "busduct._core", frozen)]
pub(super) struct Socket {
    /// The context goes after its sockets.
    _context: Py<Context>,
    shared: Arc<Shared>,
    key: SocketKey,
    kind: SocketType,
}

impl Socket {
    pub(super) fn new(
        context: Py<Context>,
        shared: Arc<Shared>,
        key: SocketKey,
        kind: SocketType,
    ) -> Self {
        Self { _context: context, shared, key, kind }
    }

    #[inline]
    fn awaitable(&self, operation: Operation) -> Awaitable {
        Awaitable::new(&self.shared, self.key, operation)
    }

    /// Try once.
    #[inline]
    fn now(&self, py: Python<'_>, mut operation: Operation) -> PyResult<Step> {
        self.try_once(py, &mut operation)
    }

    #[inline]
    fn try_once(&self, py: Python<'_>, operation: &mut Operation) -> PyResult<Step> {
        let (step, needs_flush) = self.shared.with(py, |inner| {
            let step = operation.step(inner, self.key);
            (step, operation.sends() && !inner.flush_is_due())
        })?;
        if needs_flush {
            schedule_flush(py, &self.shared)?;
        }
        Ok(step)
    }

    fn send_now(&self, py: Python<'_>, operation: Operation) -> PyResult<()> {
        match self.now(py, operation)? {
            Step::Done(_) => Ok(()),
            failed => Err(failed.into_error(py)),
        }
    }

    fn recv_now(&self, py: Python<'_>, operation: Operation) -> PyResult<Option<Output>> {
        match self.now(py, operation)? {
            Step::Done(output) => Ok(Some(output)),
            Step::Wait(_) => Ok(None),
            failed => Err(failed.into_error(py)),
        }
    }

    #[inline]
    fn poll(&self, py: Python<'_>, operation: Operation) -> PyResult<Option<Py<PyAny>>> {
        let output = self.recv_now(py, operation)?;
        output.map(|output| output.into_object(py)).transpose()
    }

    fn change_topic(&self, py: Python<'_>, prefix: &Topic, subscribe: bool) -> PyResult<()> {
        self.shared
            .with(py, |inner| inner.context.change_topic(self.key, subscribe, &prefix.0))?
            .map_err(|fault| error::from_topic(py, fault))
    }

    fn block(
        &self,
        py: Python<'_>,
        operation: Operation,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        blocking::run(py, &self.shared, self.key, operation, timeout)?.into_object(py)
    }
}

#[pymethods]
impl Socket {
    #[getter]
    fn kind(&self) -> u8 {
        self.kind as u8
    }

    #[getter]
    fn closed(&self, py: Python<'_>) -> PyResult<bool> {
        self.shared.with(py, |inner| {
            inner.context.socket(self.key).is_none_or(|socket| socket.state() != State::Open)
        })
    }

    #[getter]
    fn last_endpoint(&self, py: Python<'_>) -> PyResult<String> {
        self.shared.with(py, |inner| {
            let socket = inner.context.socket(self.key);
            socket.map(|socket| socket.last_endpoint().to_string()).unwrap_or_default()
        })
    }

    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        Ok(self.shared.watched_fd(py)?.as_raw_fd())
    }

    #[pyo3(signature = (endpoint, *, insecure=false))]
    fn bind(&self, py: Python<'_>, endpoint: &str, insecure: bool) -> PyResult<String> {
        attach(py, &self.shared)?;
        self.shared
            .with(py, |inner| inner.context.bind(self.key, endpoint, insecure))?
            .map_err(|fault| error::from_setup(py, fault))
    }

    #[pyo3(signature = (endpoint, *, insecure=false))]
    fn connect(&self, py: Python<'_>, endpoint: &str, insecure: bool) -> PyResult<()> {
        attach(py, &self.shared)?;
        self.shared
            .with(py, |inner| match insecure {
                true => inner.context.connect_insecure(self.key, endpoint),
                false => inner.context.connect(self.key, endpoint),
            })?
            .map_err(|fault| error::from_setup(py, fault))
    }

    fn unbind(&self, py: Python<'_>, endpoint: &str) -> PyResult<()> {
        self.shared
            .with(py, |inner| inner.context.unbind(self.key, endpoint))?
            .map_err(|fault| error::from_setup(py, fault))
    }

    fn disconnect(&self, py: Python<'_>, endpoint: &str) -> PyResult<()> {
        self.shared
            .with(py, |inner| inner.context.disconnect(self.key, endpoint))?
            .map_err(|fault| error::from_setup(py, fault))
    }

    fn send(&self, data: &Bound<'_, PyAny>) -> PyResult<Awaitable> {
        let mut given = Given::default();
        let message = one(data, &mut given)?;
        given.accept();
        Ok(self.awaitable(Operation::Send(Some(message))))
    }

    fn send_multipart(&self, parts: &Bound<'_, PyAny>) -> PyResult<Awaitable> {
        let mut given = Given::default();
        let message = to_message(parts, &mut given)?;
        given.accept();
        Ok(self.awaitable(Operation::Send(Some(message))))
    }

    fn send_many(&self, messages: &Bound<'_, PyAny>) -> PyResult<Awaitable> {
        let mut given = Given::default();
        let frames = frames(messages, &mut given)?;
        given.accept();
        Ok(self.awaitable(Operation::SendMany(frames)))
    }

    fn send_urgent(&self, parts: &Bound<'_, PyAny>) -> PyResult<Awaitable> {
        let mut given = Given::default();
        let message = to_message(parts, &mut given)?;
        given.accept();
        Ok(self.awaitable(Operation::SendUrgent(Some(message))))
    }

    fn send_nowait(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut given = Given::default();
        let message = one(data, &mut given)?;
        self.send_now(data.py(), Operation::Send(Some(message)))?;
        given.accept();
        Ok(())
    }

    fn send_multipart_nowait(&self, parts: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut given = Given::default();
        let message = to_message(parts, &mut given)?;
        self.send_now(parts.py(), Operation::Send(Some(message)))?;
        given.accept();
        Ok(())
    }

    fn send_urgent_nowait(&self, parts: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut given = Given::default();
        let message = to_message(parts, &mut given)?;
        self.send_now(parts.py(), Operation::SendUrgent(Some(message)))?;
        given.accept();
        Ok(())
    }

    fn send_many_nowait(&self, messages: &Bound<'_, PyAny>) -> PyResult<usize> {
        let mut given = Given::default();
        let waiting: VecDeque<_> = frames(messages, &mut given)?;
        let total = waiting.len();
        let mut operation = Operation::SendMany(waiting);
        let step = self.try_once(messages.py(), &mut operation)?;
        let num_left = if let Operation::SendMany(left) = &operation { left.len() } else { 0 };
        given.accept_first(total - num_left);
        match step {
            Step::Done(_) => Ok(total),
            Step::Full(_) | Step::SendFailed(SendFault::Full { .. }) => Ok(total - num_left),
            failed => Err(failed.into_error(messages.py())),
        }
    }

    #[pyo3(signature = (data, timeout=None))]
    fn send_blocking(&self, data: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<()> {
        let mut given = Given::default();
        let message = one(data, &mut given)?;
        self.block(data.py(), Operation::Send(Some(message)), timeout)?;
        given.accept();
        Ok(())
    }

    #[pyo3(signature = (parts, timeout=None))]
    fn send_multipart_blocking(
        &self,
        parts: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let mut given = Given::default();
        let message = to_message(parts, &mut given)?;
        self.block(parts.py(), Operation::Send(Some(message)), timeout)?;
        given.accept();
        Ok(())
    }

    fn recv(&self) -> Awaitable {
        self.awaitable(Operation::Recv)
    }

    fn recv_multipart(&self) -> Awaitable {
        self.awaitable(Operation::RecvMultipart)
    }

    #[pyo3(signature = (max_n=1024, max_bytes=1_048_576))]
    fn recv_many(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = amount)] max_n: i64,
        #[pyo3(from_py_with = amount)] max_bytes: i64,
    ) -> PyResult<Awaitable> {
        Ok(self.awaitable(Operation::RecvMany(many(py, max_n, max_bytes)?)))
    }

    fn recv_nowait(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.poll(py, Operation::Recv)
    }

    fn recv_multipart_nowait(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.poll(py, Operation::RecvMultipart)
    }

    #[pyo3(signature = (max_n=1024, max_bytes=1_048_576))]
    fn recv_many_nowait(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = amount)] max_n: i64,
        #[pyo3(from_py_with = amount)] max_bytes: i64,
    ) -> PyResult<Py<PyAny>> {
        let output = self.recv_now(py, Operation::RecvMany(many(py, max_n, max_bytes)?))?;
        output.unwrap_or(Output::Frames(Vec::new())).into_object(py)
    }

    #[pyo3(signature = (timeout=None))]
    fn recv_blocking(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        self.block(py, Operation::Recv, timeout)
    }

    #[pyo3(signature = (timeout=None))]
    fn recv_multipart_blocking(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        self.block(py, Operation::RecvMultipart, timeout)
    }

    #[pyo3(signature = (max_n=1024, max_bytes=1_048_576, timeout=None))]
    fn recv_many_blocking(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = amount)] max_n: i64,
        #[pyo3(from_py_with = amount)] max_bytes: i64,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        self.block(py, Operation::RecvMany(many(py, max_n, max_bytes)?), timeout)
    }

    fn loan(&self, py: Python<'_>, #[pyo3(from_py_with = amount)] nbytes: i64) -> PyResult<Loan> {
        let Ok(nbytes) = usize::try_from(nbytes) else {
            let text = format!("nbytes is {nbytes}; it must be at least 0");
            return Err(error::config(py, &text));
        };
        let shared = self.shared.with(py, |inner| {
            let is_open = !inner.context.is_closed_for_owner(self.key);
            is_open.then(|| inner.context.loan(nbytes))
        })?;
        match shared.ok_or_else(|| error::closed(py, "socket"))? {
            Some(slot) => Ok(Loan::shared(slot)),
            None => Loan::private(nbytes),
        }
    }

    fn recv_lease(&self) -> Awaitable {
        self.awaitable(Operation::RecvLease)
    }

    fn recv_lease_nowait(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.poll(py, Operation::RecvLease)
    }

    #[pyo3(signature = (timeout=None))]
    fn recv_lease_blocking(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        self.block(py, Operation::RecvLease, timeout)
    }

    fn recv_multipart_lease(&self) -> Awaitable {
        self.awaitable(Operation::RecvMultipartLease)
    }

    fn recv_multipart_lease_nowait(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.poll(py, Operation::RecvMultipartLease)
    }

    #[pyo3(signature = (timeout=None))]
    fn recv_multipart_lease_blocking(
        &self,
        py: Python<'_>,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        self.block(py, Operation::RecvMultipartLease, timeout)
    }

    #[pyo3(signature = (max_n=1024, max_bytes=1_048_576))]
    fn batches(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = amount)] max_n: i64,
        #[pyo3(from_py_with = amount)] max_bytes: i64,
    ) -> PyResult<Batches> {
        let taking = many(py, max_n, max_bytes)?;
        Ok(Batches::new(self._context.clone_ref(py), self.shared.clone(), self.key, taking))
    }

    #[pyo3(signature = (max_events=1024))]
    fn monitor(&self, py: Python<'_>, max_events: i64) -> PyResult<Monitor> {
        Monitor::open(py, &self._context, &self.shared, self.key, max_events)
    }

    #[getter]
    fn readable(&self, py: Python<'_>) -> PyResult<bool> {
        self.shared.with(py, |inner| inner.context.is_readable(self.key))
    }

    #[getter]
    fn writable(&self, py: Python<'_>) -> PyResult<bool> {
        self.shared.with(py, |inner| inner.context.is_writable(self.key))
    }

    fn wait_readable(&self) -> Awaitable {
        self.awaitable(Operation::Ready(Side::Recv))
    }

    fn wait_writable(&self) -> Awaitable {
        self.awaitable(Operation::Ready(Side::Send))
    }

    fn subscribe(&self, py: Python<'_>, prefix: Topic) -> PyResult<()> {
        self.change_topic(py, &prefix, true)
    }

    fn unsubscribe(&self, py: Python<'_>, prefix: Topic) -> PyResult<()> {
        self.change_topic(py, &prefix, false)
    }

    #[pyo3(signature = (topic=Topic::default()), text_signature = "($self, topic=b'')")]
    fn num_subscribers(&self, py: Python<'_>, topic: Topic) -> PyResult<usize> {
        self.shared
            .with(py, |inner| inner.context.num_subscribers(self.key, &topic.0))?
            .map_err(|fault| error::from_topic(py, fault))
    }

    #[pyo3(signature = (count=1, topic=Topic::default()), text_signature = "($self, count=1, topic=b'')")]
    fn wait_subscribers(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = amount)] count: i64,
        topic: Topic,
    ) -> PyResult<Awaitable> {
        Ok(self.awaitable(subscribers(py, count, topic)?))
    }

    #[pyo3(signature = (count=1, topic=Topic::default(), timeout=None),
        text_signature = "($self, count=1, topic=b'', timeout=None)")]
    fn wait_subscribers_blocking(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = amount)] count: i64,
        topic: Topic,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        self.block(py, subscribers(py, count, topic)?, timeout).map(drop)
    }

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let found = self.shared.with(py, |inner| inner.context.statistics(self.key))?;
        statistics::to_python(py, &found)
    }

    fn peers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let found = self.shared.with(py, |inner| inner.context.peers(self.key))?;
        let peers: PyResult<Vec<_>> =
            found.iter().map(|peer| statistics::of_peer(py, peer)).collect();
        PyList::new(py, peers?)
    }

    fn recent_errors<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let faults = self.shared.with(py, |inner| inner.context.faults(self.key))?;
        let errors: PyResult<Vec<_>> =
            faults.into_iter().map(|fault| error::from_peer(py, fault)).collect();
        PyList::new(py, errors?)
    }

    fn undelivered<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let lost = self.shared.with(py, |inner| inner.context.take_undelivered(self.key))?;
        let lists: PyResult<Vec<_>> =
            lost.into_iter().map(|message| to_list(py, message.into_parts())).collect();
        PyList::new(py, lists?)
    }

    #[pyo3(signature = (linger=Linger::Own), text_signature = "($self, linger=...)")]
    fn close(&self, py: Python<'_>, linger: Linger) -> PyResult<()> {
        let given = match linger {
            Linger::Own => None,
            Linger::Given(seconds) => Some(to_duration(py, seconds)?),
        };
        self.shared.with(py, |inner| {
            let own = inner.context.socket(self.key).and_then(|s| s.options().linger);
            inner.context.close(self.key, given.unwrap_or(own));
        })
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(&self, py: Python<'_>, _args: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(py, Linger::Own)
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> PyResult<Awaitable> {
        attach(slf.py(), &slf.get().shared)?;
        Ok(slf.get().awaitable(Operation::Give(slf.clone().unbind().into_any())))
    }

    #[pyo3(signature = (*_args))]
    fn __aexit__(&self, py: Python<'_>, _args: &Bound<'_, PyTuple>) -> PyResult<Awaitable> {
        self.close(py, Linger::Own)?;
        Ok(self.awaitable(Operation::Give(py.None())))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = Python::try_attach(|py| self.shared.orphan(py, self.key));
    }
}
