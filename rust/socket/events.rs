//! What happened to a socket's connections, held until somebody takes it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::PeerFault;

/// What can happen to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Bound.
    Listening,
    /// A connection came in; its handshake begins.
    Accepted,
    /// A handshake is complete.
    Connected,
    /// A connection that had been connected ended.
    Disconnected,
    /// One ended before that.
    HandshakeFailed,
    /// An attempt to connect failed, or its connection ended, and is put off.
    Retried,
    /// A peer was turned away.
    Refused,
    /// Listening ended.
    Closed,
}

impl EventKind {
    /// The name that users know it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Listening => "listening",
            Self::Accepted => "accepted",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::HandshakeFailed => "handshake_failed",
            Self::Retried => "retried",
            Self::Refused => "refused",
            Self::Closed => "closed",
        }
    }
}

/// One thing that happened to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub kind: EventKind,
    pub endpoint: String,
    /// Of a ROUTER's peer, once it is connected; else empty.
    pub routing_id: Vec<u8>,
    /// Why, where that is known.
    pub fault: Option<PeerFault>,
}

/// How taking an event went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    Event(Box<Event>),
    /// There is none yet.
    Nothing,
    /// There is none, and none will come.
    Ended,
}

#[derive(Debug, Default)]
struct Log {
    events: VecDeque<Event>,
    max_events: usize,
    num_dropped: u64,
    is_ended: bool,
}

/// The latest events that nobody took. It gets none any more once it is dropped.
#[derive(Debug)]
pub struct EventLog(Arc<Mutex<Log>>);

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

impl EventLog {
    /// Make a log of at most `max_events`; beyond it the oldest make way.
    pub(crate) fn new(max_events: usize) -> Self {
        Self(Arc::new(Mutex::new(Log { max_events, ..Log::default() })))
    }

    /// Take the oldest event.
    #[must_use]
    pub fn take(&self) -> Taken {
        let mut log = lock(&self.0);
        match log.events.pop_front() {
            Some(event) => Taken::Event(event.into()),
            None if log.is_ended => Taken::Ended,
            None => Taken::Nothing,
        }
    }

    /// Keep what is there, and no more. Idempotent.
    pub fn end(&self) {
        lock(&self.0).is_ended = true;
    }

    /// Events that made way for later ones.
    #[must_use]
    pub fn num_dropped(&self) -> u64 {
        lock(&self.0).num_dropped
    }
}

/// A socket's side of the log, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    log: Option<Weak<Mutex<Log>>>,
    has_news: bool,
}

impl Watcher {
    /// Write into `log` from here on; the one before it ends.
    pub(crate) fn replace(&mut self, log: &EventLog) {
        self.end();
        self.log = Some(Arc::downgrade(&log.0));
    }

    /// Add an event, which is made only if somebody is there for it; whether one is.
    pub(crate) fn tell(&mut self, event: impl FnOnce() -> Event) -> bool {
        let Some(log) = self.log.as_ref().and_then(Weak::upgrade) else {
            return false;
        };
        let mut log = lock(&log);
        if log.is_ended {
            return false;
        }
        if log.events.len() >= log.max_events {
            log.events.pop_front();
            log.num_dropped += 1;
        }
        log.events.push_back(event());
        self.has_news = true;
        true
    }

    /// Tell no more.
    pub(crate) fn end(&mut self) {
        if let Some(log) = self.log.take().and_then(|log| log.upgrade()) {
            lock(&log).is_ended = true;
            self.has_news = true;
        }
    }

    /// Whether there is something new, or the end, since this was asked last.
    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }
}
