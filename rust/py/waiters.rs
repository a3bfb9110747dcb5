//! Futures of tasks that wait for a socket. A future only wakes its task; the message is
//! taken when the task runs again, so that cancelling it loses nothing.

use std::collections::{HashMap, VecDeque};

use pyo3::intern;
use pyo3::prelude::*;

use crate::socket::SocketKey;

/// What a task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Recv,
    Send,
    /// All sockets of the context to have ended.
    Ended,
}

/// A place in a queue; a task that was woken in vain keeps its own.
pub(super) type Ticket = u64;

#[derive(Default)]
struct Queues {
    recv: VecDeque<(Ticket, Py<PyAny>)>,
    send: VecDeque<(Ticket, Py<PyAny>)>,
}

/// All futures of a context, by socket and side, in the order in which they came.
#[derive(Default)]
pub(super) struct Waiters {
    sockets: HashMap<SocketKey, Queues>,
    ended: VecDeque<(Ticket, Py<PyAny>)>,
    num_tickets: u64,
}

impl Waiters {
    pub(super) fn ticket(&mut self) -> Ticket {
        self.num_tickets += 1;
        self.num_tickets
    }

    fn queue(&mut self, key: SocketKey, side: Side) -> &mut VecDeque<(Ticket, Py<PyAny>)> {
        match side {
            Side::Recv => &mut self.sockets.entry(key).or_default().recv,
            Side::Send => &mut self.sockets.entry(key).or_default().send,
            Side::Ended => &mut self.ended,
        }
    }

    pub(super) fn push(&mut self, key: SocketKey, side: Side, ticket: Ticket, future: Py<PyAny>) {
        let queue = self.queue(key, side);
        let at = queue.partition_point(|(other, _)| *other < ticket);
        queue.insert(at, (ticket, future));
    }

    /// Take a future back; `false` if it is woken already.
    pub(super) fn remove(&mut self, key: SocketKey, side: Side, ticket: Ticket) -> bool {
        let queue = self.queue(key, side);
        let at = queue.iter().position(|(other, _)| *other == ticket);
        at.and_then(|at| queue.remove(at)).is_some()
    }

    /// Move up to `count` futures to `into`.
    pub(super) fn take(
        &mut self,
        key: SocketKey,
        side: Side,
        count: usize,
        into: &mut Vec<Py<PyAny>>,
    ) {
        if side != Side::Ended && !self.sockets.contains_key(&key) {
            return;
        }
        let queue = self.queue(key, side);
        let count = count.min(queue.len());
        into.extend(queue.drain(..count).map(|(_, future)| future));
    }

    pub(super) fn forget(&mut self, key: SocketKey) {
        self.sockets.remove(&key);
    }

    /// Drop all: their loop is gone.
    pub(super) fn clear(&mut self) {
        self.sockets.clear();
        self.ended.clear();
    }
}

/// Complete `futures`, less those that were cancelled meanwhile.
pub(super) fn wake(py: Python<'_>, futures: Vec<Py<PyAny>>) -> PyResult<()> {
    for future in futures {
        let future = future.bind(py);
        if !future.call_method0(intern!(py, "done"))?.is_truthy()? {
            future.call_method1(intern!(py, "set_result"), (py.None(),))?;
        }
    }
    Ok(())
}
