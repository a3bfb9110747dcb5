//! What can be waited for, one try at a time: the same for tasks and for blocking calls.

use std::collections::VecDeque;
use std::sync::Arc;

use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::buffer::PyFrame;
use super::error;
use super::inner::Inner;
use super::lease::Lease;
use super::monitor;
use super::waiters::Side;
use crate::link::{Message, PART_OVERHEAD_BYTES};
use crate::socket::{Event, EventLog, RecvFault, SendFault, SocketKey, Taken, TopicFault};

/// A call that may have to wait.
pub(super) enum Operation {
    Recv,
    RecvMultipart,
    RecvLease,
    RecvMultipartLease,
    RecvMany(Taking),
    /// As `RecvMany`, for an iteration, which stops when the socket is closed.
    NextBatch(Taking),
    /// The message, until it is accepted.
    Send(Option<Message<PyFrame>>),
    SendMany(VecDeque<PyFrame>),
    /// The message, until it is accepted before all others.
    SendUrgent(Option<Message<PyFrame>>),
    /// Wait until there is something to receive, or room to send.
    Ready(Side),
    /// Wait until so many peers take what starts with a topic.
    Subscribers {
        count: usize,
        topic: Vec<u8>,
    },
    /// The next event of a socket; at the end, whether an iteration stops.
    Watch {
        log: Arc<EventLog>,
        stops: bool,
    },
    /// Wait until all sockets of a closed context have ended.
    End,
    /// Give an object at once.
    Give(Py<PyAny>),
    /// It gave its result.
    Used,
}

/// How much is taken at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taking {
    /// Messages at most.
    pub(super) max_n: usize,
    /// Payload bytes after which no further message is taken.
    pub(super) max_bytes: usize,
}

/// How one try went.
pub(super) enum Step {
    Done(Output),
    /// Others have their turn first.
    Yield,
    Wait(Side),
    /// As `Wait`, with what a call that does not wait reports.
    Full(SendFault),
    SendFailed(SendFault),
    RecvFailed(RecvFault),
    TopicFailed(TopicFault),
    /// No event will come.
    Unwatched,
    /// An iteration is at its end.
    Stopped,
    Reused,
}

pub(super) enum Output {
    Nothing,
    Object(Py<PyAny>),
    Frame(PyFrame),
    Frames(Vec<PyFrame>),
    Lease(PyFrame),
    Leases(Vec<PyFrame>),
    Event(Box<Event>),
}

impl Output {
    /// What it costs to take it, in bytes.
    #[inline]
    pub(super) fn cost(&self) -> usize {
        let cost = |frame: &PyFrame| frame.as_ref().len() + PART_OVERHEAD_BYTES;
        match self {
            Self::Frame(frame) | Self::Lease(frame) => cost(frame),
            Self::Frames(frames) | Self::Leases(frames) => frames.iter().map(cost).sum(),
            Self::Nothing | Self::Object(_) | Self::Event(_) => 0,
        }
    }

    #[inline]
    pub(super) fn into_object(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Self::Nothing => Ok(py.None()),
            Self::Object(object) => Ok(object),
            Self::Frame(frame) => frame.into_bytes(py).map(Py::into_any),
            Self::Event(event) => monitor::to_python(py, *event),
            Self::Frames(frames) => to_list(py, frames).map(|list| list.into_any().unbind()),
            Self::Lease(frame) => Ok(Py::new(py, Lease::new(frame))?.into_any()),
            Self::Leases(frames) => {
                let leases = frames.into_iter().map(Lease::new);
                Ok(PyList::new(py, leases.collect::<Vec<_>>())?.into_any().unbind())
            }
        }
    }
}

pub(super) fn to_list(py: Python<'_>, frames: Vec<PyFrame>) -> PyResult<Bound<'_, PyList>> {
    PyList::new(py, frames)
}

impl Operation {
    /// Whether it gives messages to the socket.
    pub(super) fn sends(&self) -> bool {
        matches!(self, Self::Send(_) | Self::SendMany(_) | Self::SendUrgent(_))
    }

    /// Whether it takes messages from the socket.
    #[inline]
    pub(super) fn receives(&self) -> bool {
        matches!(
            self,
            Self::Recv
                | Self::RecvLease
                | Self::RecvMultipart
                | Self::RecvMultipartLease
                | Self::RecvMany(_)
                | Self::NextBatch(_)
        )
    }

    /// Whether it waits for a message, to take it or not.
    #[inline]
    fn looks(&self) -> bool {
        self.receives() || matches!(self, Self::Ready(Side::Recv))
    }

    /// Try it, and if it has to wait for a message, look for one as long as is allowed.
    #[inline]
    pub(super) fn step_or_spin(&mut self, inner: &mut Inner, key: SocketKey) -> Step {
        match self.step(inner, key) {
            Step::Wait(Side::Recv) if self.looks() && inner.context.spin(key) => {
                self.step(inner, key)
            }
            step => step,
        }
    }

    /// Try it once.
    #[inline]
    pub(super) fn step(&mut self, inner: &mut Inner, key: SocketKey) -> Step {
        let step = match self {
            Self::Recv => recv_one(inner, key, Output::Frame),
            Self::RecvLease => recv_one(inner, key, Output::Lease),
            Self::RecvMultipart => recv_parts(inner, key, Output::Frames),
            Self::RecvMultipartLease => recv_parts(inner, key, Output::Leases),
            Self::RecvMany(taking) => recv_many(inner, key, *taking),
            Self::NextBatch(taking) => match recv_many(inner, key, *taking) {
                Step::RecvFailed(RecvFault::Closed) => Step::Stopped,
                step => step,
            },
            Self::Send(message) => send_one(inner, key, message),
            Self::SendUrgent(message) => send_urgent(inner, key, message),
            Self::Ready(side) => ready(inner, key, *side),
            Self::Subscribers { count, topic } => match inner.context.num_subscribers(key, topic) {
                Ok(found) if found >= *count => Step::Done(Output::Nothing),
                Ok(_) => Step::Wait(Side::Subscribers),
                Err(fault) => Step::TopicFailed(fault),
            },
            Self::SendMany(frames) => send_many(inner, key, frames),
            Self::Watch { log, stops } => match log.take() {
                Taken::Event(event) => Step::Done(Output::Event(event)),
                Taken::Nothing => Step::Wait(Side::Event),
                Taken::Ended if *stops => Step::Stopped,
                Taken::Ended => Step::Unwatched,
            },
            Self::End if inner.context.is_closed() => Step::Done(Output::Nothing),
            Self::End => Step::Wait(Side::Ended),
            Self::Give(_) => match std::mem::replace(self, Self::Used) {
                Self::Give(object) => return Step::Done(Output::Object(object)),
                _ => Step::Reused,
            },
            Self::Used => Step::Reused,
        };
        // NB: what one receiver cannot take is left to the next, which may.
        if step.has_received() {
            inner.pass_on_recv(key);
        }
        step
    }
}

#[inline]
fn recv_one(inner: &mut Inner, key: SocketKey, give: impl FnOnce(PyFrame) -> Output) -> Step {
    match inner.context.try_recv_single(key) {
        Ok(Some(frame)) => Step::Done(give(frame)),
        Ok(None) => Step::Wait(Side::Recv),
        Err(fault) => Step::RecvFailed(fault),
    }
}

#[inline]
fn recv_parts(
    inner: &mut Inner,
    key: SocketKey,
    give: impl FnOnce(Vec<PyFrame>) -> Output,
) -> Step {
    match inner.context.try_recv(key) {
        Ok(Some(message)) => Step::Done(give(message.into_parts())),
        Ok(None) => Step::Wait(Side::Recv),
        Err(fault) => Step::RecvFailed(fault),
    }
}

fn recv_many(inner: &mut Inner, key: SocketKey, taking: Taking) -> Step {
    let Taking { max_n, max_bytes } = taking;
    let mut frames = Vec::new();
    let mut nbytes = 0;
    while frames.len() < max_n && nbytes < max_bytes {
        let taken = inner.context.take_batch(key, max_n, max_bytes - nbytes, &mut frames);
        if taken > 0 {
            nbytes += taken;
            continue;
        }
        match inner.context.try_recv_single(key) {
            Ok(Some(frame)) => {
                nbytes += frame.as_ref().len();
                frames.push(frame);
            }
            Ok(None) => break,
            // What was taken is given out; the fault is still there at the next call.
            Err(_) if !frames.is_empty() => break,
            Err(fault) => return Step::RecvFailed(fault),
        }
    }
    if frames.is_empty() { Step::Wait(Side::Recv) } else { Step::Done(Output::Frames(frames)) }
}

#[inline]
fn send_one(inner: &mut Inner, key: SocketKey, slot: &mut Option<Message<PyFrame>>) -> Step {
    let Some(message) = slot.take() else {
        return Step::Reused;
    };
    match inner.context.try_send(key, message) {
        Ok(()) => Step::Done(Output::Nothing),
        Err((full @ SendFault::Full { .. }, message)) => {
            if inner.context.fails_when_full(key) {
                return Step::SendFailed(full);
            }
            *slot = Some(message);
            Step::Full(full)
        }
        Err((fault, _)) => Step::SendFailed(fault),
    }
}

fn send_urgent(inner: &mut Inner, key: SocketKey, slot: &mut Option<Message<PyFrame>>) -> Step {
    let Some(message) = slot.take() else {
        return Step::Reused;
    };
    match inner.context.try_send_urgent(key, message) {
        Ok(()) => Step::Done(Output::Nothing),
        Err((full @ SendFault::Full { .. }, message)) => {
            *slot = Some(message);
            Step::Full(full)
        }
        Err((fault, _)) => Step::SendFailed(fault),
    }
}

fn ready(inner: &mut Inner, key: SocketKey, side: Side) -> Step {
    if inner.context.is_closed_for_owner(key) {
        return Step::SendFailed(SendFault::Closed);
    }
    let is_ready = match side {
        Side::Recv => inner.context.is_readable(key),
        _ => inner.context.is_writable(key),
    };
    if is_ready {
        // Nothing was taken: another may go on as well.
        inner.pass_on(key, side);
        return Step::Done(Output::Nothing);
    }
    if side == Side::Send {
        inner.context.want_room(key);
    }
    Step::Wait(side)
}

fn send_many(inner: &mut Inner, key: SocketKey, frames: &mut VecDeque<PyFrame>) -> Step {
    if frames.len() > 1
        && let Some(rule) = inner.context.turn_rule(key)
    {
        return Step::SendFailed(SendFault::Misuse(rule));
    }
    inner.context.send_batch(key, frames);
    while let Some(frame) = frames.pop_front() {
        match inner.context.try_send(key, Message::Single(frame)) {
            Ok(()) => {}
            Err((fault, message)) => {
                // It was one part, and is.
                frames.extend(message.into_parts());
                frames.rotate_right(1);
                let waits = matches!(fault, SendFault::Full { .. });
                if waits && !inner.context.fails_when_full(key) {
                    return Step::Full(fault);
                }
                return Step::SendFailed(fault);
            }
        }
    }
    Step::Done(Output::Nothing)
}

impl Step {
    /// Whether it took something, or found something that it cannot take.
    #[inline]
    fn has_received(&self) -> bool {
        match self {
            Self::Done(output) => matches!(
                output,
                Output::Frame(_) | Output::Frames(_) | Output::Lease(_) | Output::Leases(_)
            ),
            Self::RecvFailed(_) => true,
            _ => false,
        }
    }

    /// The exception of a step that failed for good.
    pub(super) fn into_error(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Full(fault) | Self::SendFailed(fault) => error::from_send(py, fault),
            Self::RecvFailed(fault) => error::from_recv(py, fault),
            Self::TopicFailed(fault) => error::from_topic(py, fault),
            Self::Stopped => PyStopAsyncIteration::new_err(()),
            Self::Unwatched => error::closed(py, "monitor"),
            Self::Done(_) | Self::Yield | Self::Wait(_) | Self::Reused => {
                pyo3::exceptions::PyRuntimeError::new_err("awaitable was awaited already")
            }
        }
    }
}
