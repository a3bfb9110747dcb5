//! A native awaitable: it completes at once when it can, else sleeps on a future.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;

use super::error;
use super::event_loop::{attach_to, end, running_loop, schedule_flush};
use super::operation::{Operation, Output, Step};
use super::shared::Shared;
use super::stop_iteration::set_stop_iteration;
use super::waiters::{Side, Ticket};
use crate::socket::SocketKey;

#[pyclass(module = "busduct._core")]
pub(super) struct Awaitable {
    shared: Arc<Shared>,
    key: SocketKey,
    operation: Operation,
    /// Where it waits, or waited last.
    ticket: Option<Ticket>,
    waits_for: Option<Side>,
    /// When it found that it must wait.
    round: u64,
}

impl Awaitable {
    #[inline]
    pub(super) fn new(shared: &Arc<Shared>, key: SocketKey, operation: Operation) -> Self {
        Self { shared: shared.clone(), key, operation, ticket: None, waits_for: None, round: 0 }
    }

    /// Sleep on a new future of the running loop, which the task is given.
    fn suspend<'py>(&mut self, py: Python<'py>, side: Side) -> PyResult<Bound<'py, PyAny>> {
        let Some(event_loop) = running_loop(py)? else {
            let text = "no running asyncio loop; use the blocking call";
            return Err(error::misuse(py, text));
        };
        attach_to(py, &self.shared, &event_loop)?;
        let future = event_loop.call_method0(intern!(py, "create_future"))?;
        // What a task looks for in an object that it is to wait for.
        future.setattr(intern!(py, "_asyncio_future_blocking"), true)?;
        let (key, ticket, round) = (self.key, self.ticket, self.round);
        let waiting = future.clone().unbind();
        let ticket = self.shared.with(py, |inner| {
            inner.context.flush();
            let ticket = ticket.unwrap_or_else(|| inner.waiters.ticket());
            inner.wait(key, side, ticket, round, waiting);
            ticket
        })?;
        self.ticket = Some(ticket);
        self.waits_for = Some(side);
        Ok(future)
    }

    /// Wait no more: cancelled. If it was woken already, another is in its place.
    fn abandon(&mut self, py: Python<'_>) {
        self.operation = Operation::Used;
        let (Some(side), Some(ticket), key) = (self.waits_for.take(), self.ticket, self.key) else {
            return;
        };
        let removed = self.shared.with(py, |inner| {
            let removed = inner.waiters.remove(key, side, ticket);
            if removed.is_none() {
                inner.pass_on(key, side);
            }
            removed
        });
        // A context that cannot be used any more has nobody to wake.
        drop(removed);
    }

    fn finish(&mut self, py: Python<'_>, output: Output) -> PyResult<()> {
        if matches!(self.operation, Operation::End) {
            end(py, &self.shared)?;
        }
        self.operation = Operation::Used;
        set_stop_iteration(output.into_object(py)?.into_bound(py));
        Ok(())
    }
}

#[pymethods]
impl Awaitable {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.waits_for = None;
        let (operation, key) = (&mut self.operation, self.key);
        let round = &mut self.round;
        let (step, needs_flush) = self.shared.with(py, |inner| {
            if operation.receives() && inner.owes_turn() {
                inner.give_turn();
                return (Step::Yield, false);
            }
            let step = operation.step_or_spin(inner, key);
            match &step {
                Step::Done(output) => inner.note_taken(output.cost()),
                _ => inner.give_turn(),
            }
            // Some may be accepted before one that is refused; who waits flushes itself.
            let may_have_sent =
                operation.sends() && matches!(step, Step::Done(_) | Step::SendFailed(_));
            let needs_flush = may_have_sent && inner.context.needs_flush();
            if !matches!(step, Step::Done(_)) {
                *round = inner.round();
            }
            (step, needs_flush && !inner.flush_is_due())
        })?;
        if needs_flush {
            schedule_flush(py, &self.shared)?;
        }
        match step {
            Step::Done(output) => self.finish(py, output).map(|()| None),
            // What a task takes for a wish to go on when all others had their turn.
            Step::Yield => Ok(Some(py.None().into_bound(py))),
            Step::Wait(side) => self.suspend(py, side).map(Some),
            Step::Full(_) => self.suspend(py, Side::Send).map(Some),
            failed => {
                self.operation = Operation::Used;
                Err(failed.into_error(py))
            }
        }
    }

    /// Take the exception that ends the wait, as a cancelled task gives it.
    ///
    /// NB: dropping the object would be too late: the task's traceback may hold it.
    #[pyo3(signature = (kind, value=None, _traceback=None))]
    fn throw(
        &mut self,
        kind: Bound<'_, PyAny>,
        value: Option<Bound<'_, PyAny>>,
        _traceback: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.abandon(kind.py());
        Err(PyErr::from_value(value.unwrap_or(kind)))
    }

    fn close(&mut self, py: Python<'_>) {
        self.abandon(py);
    }
}

impl Drop for Awaitable {
    fn drop(&mut self) {
        if self.waits_for.is_some() {
            Python::attach(|py| self.abandon(py));
        }
    }
}
