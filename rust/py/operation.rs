//! What can be waited for, one try at a time: the same for tasks and for blocking calls.

use std::collections::VecDeque;
use std::sync::Arc;

use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::buffer::PyFrame;
use super::error;
use super::inner::Inner;
use super::monitor;
use super::waiters::Side;
use crate::link::Message;
use crate::socket::{Event, EventLog, RecvFault, SendFault, SocketKey, Taken, TopicFault};

/// A call that may have to wait.
pub(super) enum Operation {
    Recv,
    RecvMultipart,
    RecvMany {
        max_n: usize,
        max_bytes: usize,
    },
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

/// How one try went.
pub(super) enum Step {
    Done(Output),
    Wait(Side),
    /// As `Wait`, with what a call that does not wait reports.
    Full(SendFault),
    SendFailed(SendFault),
    RecvFailed(RecvFault),
    TopicFailed(TopicFault),
    /// No event will come.
    Unwatched {
        stops: bool,
    },
    Reused,
}

pub(super) enum Output {
    Nothing,
    Object(Py<PyAny>),
    Frame(PyFrame),
    Frames(Vec<PyFrame>),
    Event(Box<Event>),
}

impl Output {
    #[inline]
    pub(super) fn into_object(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Self::Nothing => Ok(py.None()),
            Self::Object(object) => Ok(object),
            Self::Frame(frame) => frame.into_bytes(py).map(Py::into_any),
            Self::Event(event) => monitor::to_python(py, *event),
            Self::Frames(frames) => to_list(py, frames).map(|list| list.into_any().unbind()),
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

    /// Try it once.
    #[inline]
    pub(super) fn step(&mut self, inner: &mut Inner, key: SocketKey) -> Step {
        let step = match self {
            Self::Recv => match inner.context.try_recv_single(key) {
                Ok(Some(frame)) => Step::Done(Output::Frame(frame)),
                Ok(None) => Step::Wait(Side::Recv),
                Err(fault) => Step::RecvFailed(fault),
            },
            Self::RecvMultipart => match inner.context.try_recv(key) {
                Ok(Some(message)) => Step::Done(Output::Frames(message.into_parts())),
                Ok(None) => Step::Wait(Side::Recv),
                Err(fault) => Step::RecvFailed(fault),
            },
            Self::RecvMany { max_n, max_bytes } => recv_many(inner, key, *max_n, *max_bytes),
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
                Taken::Ended => Step::Unwatched { stops: *stops },
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
        let has_received =
            matches!(step, Step::Done(Output::Frame(_) | Output::Frames(_)) | Step::RecvFailed(_));
        if has_received {
            inner.pass_on_recv(key);
        }
        step
    }
}

fn recv_many(inner: &mut Inner, key: SocketKey, max_n: usize, max_bytes: usize) -> Step {
    let mut frames = Vec::new();
    let mut nbytes = 0;
    while frames.len() < max_n && nbytes < max_bytes {
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
    while let Some(frame) = frames.pop_front() {
        match inner.context.try_send(key, Message::Single(frame)) {
            Ok(()) => {}
            Err((full @ SendFault::Full { .. }, message)) => {
                // It was one part, and is.
                frames.extend(message.into_parts());
                frames.rotate_right(1);
                if inner.context.fails_when_full(key) {
                    return Step::SendFailed(full);
                }
                return Step::Full(full);
            }
            Err((fault, _)) => return Step::SendFailed(fault),
        }
    }
    Step::Done(Output::Nothing)
}

impl Step {
    /// The exception of a step that failed for good.
    pub(super) fn into_error(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Full(fault) | Self::SendFailed(fault) => error::from_send(py, fault),
            Self::RecvFailed(fault) => error::from_recv(py, fault),
            Self::TopicFailed(fault) => error::from_topic(py, fault),
            Self::Unwatched { stops: true } => PyStopAsyncIteration::new_err(()),
            Self::Unwatched { stops: false } => error::closed(py, "monitor"),
            Self::Done(_) | Self::Wait(_) | Self::Reused => {
                pyo3::exceptions::PyRuntimeError::new_err("awaitable was awaited already")
            }
        }
    }
}
