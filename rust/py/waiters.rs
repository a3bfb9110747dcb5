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
    /// Something to happen to the socket's connections.
    Event,
    /// Somebody to subscribe.
    Subscribers,
    /// All sockets of the context to have ended.
    Ended,
}

/// A place in a queue; a task that was woken in vain keeps its own.
pub(super) type Ticket = u64;

#[derive(Default)]
struct Queues {
    recv: VecDeque<(Ticket, Py<PyAny>)>,
    send: VecDeque<(Ticket, Py<PyAny>)>,
    event: VecDeque<(Ticket, Py<PyAny>)>,
    subscribers: VecDeque<(Ticket, Py<PyAny>)>,
}

impl Queues {
    fn len(&self) -> usize {
        self.recv.len() + self.send.len() + self.event.len() + self.subscribers.len()
    }
}

/// All futures of a context, by socket and side, in the order in which they came.
#[derive(Default)]
pub(super) struct Waiters {
    sockets: HashMap<SocketKey, Queues>,
    ended: VecDeque<(Ticket, Py<PyAny>)>,
    /// Futures held, of all sockets.
    num_futures: usize,
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
            Side::Event => &mut self.sockets.entry(key).or_default().event,
            Side::Subscribers => &mut self.sockets.entry(key).or_default().subscribers,
            Side::Ended => &mut self.ended,
        }
    }

    pub(super) fn push(&mut self, key: SocketKey, side: Side, ticket: Ticket, future: Py<PyAny>) {
        let queue = self.queue(key, side);
        let at = queue.partition_point(|(other, _)| *other < ticket);
        queue.insert(at, (ticket, future));
        self.num_futures += 1;
    }

    /// Whether nobody waits for any socket.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.num_futures == 0
    }

    /// Take a future back; `None` if it is woken already.
    pub(super) fn remove(
        &mut self,
        key: SocketKey,
        side: Side,
        ticket: Ticket,
    ) -> Option<Py<PyAny>> {
        if !self.has_queue(key, side) {
            return None;
        }
        let queue = self.queue(key, side);
        let at = queue.iter().position(|(other, _)| *other == ticket);
        let (_, future) = at.and_then(|at| queue.remove(at))?;
        self.num_futures -= 1;
        Some(future)
    }

    fn has_queue(&self, key: SocketKey, side: Side) -> bool {
        side == Side::Ended || self.sockets.contains_key(&key)
    }

    /// Move up to `count` futures to `into`.
    pub(super) fn take(
        &mut self,
        key: SocketKey,
        side: Side,
        count: usize,
        into: &mut Vec<Py<PyAny>>,
    ) {
        if self.is_empty() || !self.has_queue(key, side) {
            return;
        }
        let queue = self.queue(key, side);
        let count = count.min(queue.len());
        into.extend(queue.drain(..count).map(|(_, future)| future));
        self.num_futures -= count;
    }

    /// Forget a socket that is no more, for which nobody waits.
    pub(super) fn forget(&mut self, key: SocketKey) {
        if let Some(queues) = self.sockets.remove(&key) {
            self.num_futures -= queues.len();
        }
    }

    /// Give all away: their loop is gone. Dropping them may run Python code.
    pub(super) fn take_all(&mut self) -> Self {
        let num_tickets = self.num_tickets;
        std::mem::replace(self, Self { num_tickets, ..Self::default() })
    }

    /// All futures, in no order.
    pub(super) fn into_futures(self) -> impl Iterator<Item = Py<PyAny>> {
        let queues = self.sockets.into_values().flat_map(|queues| {
            [queues.recv, queues.send, queues.event, queues.subscribers].into_iter().flatten()
        });
        queues.chain(self.ended).map(|(_, future)| future)
    }
}

/// Complete `futures`, less those that were cancelled meanwhile.
///
/// One whose loop was closed cannot be; that must not keep the others waiting, nor lose
/// what the caller has taken.
pub(super) fn wake(py: Python<'_>, futures: Vec<Py<PyAny>>) {
    for future in futures {
        let future = future.bind(py);
        if let Err(error) = complete(future) {
            error.write_unraisable(py, Some(future));
        }
    }
}

fn complete(future: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = future.py();
    if !future.call_method0(intern!(py, "done"))?.is_truthy()? {
        future.call_method1(intern!(py, "set_result"), (py.None(),))?;
    }
    Ok(())
}
