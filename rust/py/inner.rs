//! The core of a context, whom it has to wake, and how its owner hears of it.

use pyo3::prelude::*;

use super::buffer::PyFrame;
use super::event_loop::Attached;
use super::io_thread::Bells;
use super::waiters::{Side, Ticket, Waiters};
use crate::context::Context;
use crate::socket::SocketKey;

/// What may be taken without suspending before the loop has its turn: about 1 ms.
const MAX_TAKEN: u32 = 2048;
const MAX_TAKEN_BYTES: usize = 4 << 20;

pub(super) struct Inner {
    pub(super) context: Context<PyFrame>,
    pub(super) waiters: Waiters,
    pub(super) attached: Option<Attached>,
    pub(super) is_closed: bool,
    /// Of a context with a thread of its own.
    pub(super) bells: Option<Bells>,
    /// How often those who waited were looked for.
    num_rounds: u64,
    /// Calls that took something since the loop had its turn, and what it cost in bytes.
    taken: (u32, usize),
    to_wake: Vec<Py<PyAny>>,
    woken: Vec<SocketKey>,
}

impl Inner {
    pub(super) fn new(context: Context<PyFrame>, bells: Option<Bells>) -> Self {
        Self {
            context,
            waiters: Waiters::default(),
            attached: None,
            is_closed: false,
            bells,
            num_rounds: 0,
            taken: (0, 0),
            to_wake: Vec::new(),
            woken: Vec::new(),
        }
    }

    /// Whether what was accepted is going to be written without more being done.
    #[inline]
    pub(super) fn flush_is_due(&mut self) -> bool {
        if let Some(bells) = &mut self.bells {
            // The thread writes many at once, while the owner goes on.
            bells.ring_doorbell();
            return true;
        }
        self.attached.as_mut().is_some_and(Attached::trusts_schedule)
    }

    /// Count a call that took something at once.
    #[inline]
    pub(super) fn note_taken(&mut self, cost: usize) {
        self.taken.0 += 1;
        self.taken.1 += cost;
    }

    /// Whether a task that goes on taking would keep others from their turn.
    #[inline]
    pub(super) fn owes_turn(&self) -> bool {
        self.taken.0 >= MAX_TAKEN || self.taken.1 >= MAX_TAKEN_BYTES
    }

    /// Note that the loop has its turn.
    #[inline]
    pub(super) fn give_turn(&mut self) {
        self.taken = (0, 0);
    }

    /// The round in which a waiter finds that it must wait.
    #[inline]
    pub(super) fn round(&self) -> u64 {
        self.num_rounds
    }

    /// Enter a future that is to wait since `round`.
    pub(super) fn wait(
        &mut self,
        key: SocketKey,
        side: Side,
        ticket: Ticket,
        round: u64,
        future: Py<PyAny>,
    ) {
        // NB: the thread may have done meanwhile what it waits for, and others looked.
        if self.bells.is_some() && round != self.num_rounds {
            self.to_wake.push(future);
        } else {
            self.waiters.push(key, side, ticket, future);
        }
    }

    /// Wake one more receiver, if there is something for it.
    #[inline]
    pub(super) fn pass_on_recv(&mut self, key: SocketKey) {
        if !self.waiters.is_empty() && self.context.is_readable(key) {
            self.waiters.take(key, Side::Recv, 1, &mut self.to_wake);
        }
    }

    /// Wake one more of those who wait for `side`, as far as it can go on.
    pub(super) fn pass_on(&mut self, key: SocketKey, side: Side) {
        match side {
            Side::Recv => self.pass_on_recv(key),
            Side::Send if self.context.is_writable(key) => {
                self.waiters.take(key, Side::Send, 1, &mut self.to_wake);
            }
            // Whoever waits for an event is woken by each.
            Side::Send | Side::Subscribers | Side::Event | Side::Ended => {}
        }
    }

    /// Let whoever waits for an event of a socket look.
    pub(super) fn wake_watchers(&mut self, key: SocketKey) {
        self.waiters.take(key, Side::Event, usize::MAX, &mut self.to_wake);
    }

    /// Forget who waits for a socket, once it is no more and all of them were woken.
    pub(super) fn forget_if_gone(&mut self, key: SocketKey) {
        if self.context.socket(key).is_none() {
            self.waiters.take(key, Side::Recv, usize::MAX, &mut self.to_wake);
            self.waiters.take(key, Side::Send, usize::MAX, &mut self.to_wake);
            self.waiters.take(key, Side::Subscribers, usize::MAX, &mut self.to_wake);
            self.wake_watchers(key);
            self.waiters.forget(key);
        }
    }

    /// Whether there are futures for the owner to complete.
    #[inline]
    pub(super) fn has_to_wake(&self) -> bool {
        !self.to_wake.is_empty()
    }

    pub(super) fn take_to_wake(&mut self) -> Vec<Py<PyAny>> {
        std::mem::take(&mut self.to_wake)
    }

    /// Let go of every future, and of the loop.
    pub(super) fn give_up(&mut self) -> (Vec<Py<PyAny>>, Option<Attached>) {
        let mut futures = self.take_to_wake();
        futures.extend(self.waiters.take_all().into_futures());
        (futures, self.attached.take())
    }

    /// Move the futures that concern sockets which changed to those to be completed, for
    /// which it needs no interpreter.
    pub(super) fn collect_woken(&mut self) {
        self.num_rounds += 1;
        let mut woken = std::mem::take(&mut self.woken);
        self.context.take_woken(&mut woken);
        for key in woken.drain(..) {
            if self.context.is_readable(key) {
                let count = self.context.num_readable(key);
                // Where there is nothing to take, all must hear why.
                let count = if count == 0 { usize::MAX } else { count };
                self.waiters.take(key, Side::Recv, count, &mut self.to_wake);
            }
            if self.context.take_relief(key) {
                self.waiters.take(key, Side::Send, usize::MAX, &mut self.to_wake);
            }
            self.waiters.take(key, Side::Subscribers, usize::MAX, &mut self.to_wake);
            if self.context.take_news(key) {
                self.wake_watchers(key);
            }
            self.forget_if_gone(key);
        }
        self.woken = woken;
        if self.is_closed && self.context.is_closed() {
            let nobody = SocketKey::default();
            self.waiters.take(nobody, Side::Ended, usize::MAX, &mut self.to_wake);
        }
    }
}
