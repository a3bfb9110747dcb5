//! One epoll descriptor that holds every other, timers included.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::{Errno, Result};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use slotmap::{Key, KeyData};

use crate::socket::{DepartedKey, LinkKey, ListenerKey};

const MAX_EVENTS: usize = 128;
/// Set in the index half of a key, where no index reaches, by whose key it is.
const LISTENER_BIT: u64 = 1 << 31;
const BELL_BIT: u64 = 1 << 30;
const DEPARTED_BIT: u64 = 1 << 29;
const TIMER_TOKEN: u64 = u64::MAX;

/// Whose descriptor is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Link(LinkKey),
    /// The bell that the peer of a link rings.
    Bell(LinkKey),
    /// The line to a peer whose link has ended.
    Departed(DepartedKey),
    Listener(ListenerKey),
    Timer,
}

/// What is ready of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) source: Source,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer is gone; bytes may still be there.
    pub(crate) hung_up: bool,
}

#[derive(Debug)]
struct Descriptors {
    epoll: OwnedFd,
    timer: OwnedFd,
}

#[derive(Debug)]
pub(crate) struct Poller {
    /// `None` once it is shut; every call fails from then on.
    open: Option<Descriptors>,
    armed: Option<Instant>,
}

impl Poller {
    pub(crate) fn new() -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER_TOKEN), EventFlags::IN)?;
        Ok(Self { open: Some(Descriptors { epoll, timer }), armed: None })
    }

    /// Give the descriptors back.
    pub(crate) fn shut(&mut self) {
        self.open = None;
    }

    fn open(&self) -> Result<&Descriptors> {
        self.open.as_ref().ok_or(Errno::BADF)
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.open.as_ref().map(|open| open.epoll.as_fd())
    }

    pub(crate) fn add_listener(&self, key: ListenerKey, fd: BorrowedFd<'_>) -> Result<()> {
        let token = key.data().as_ffi() | LISTENER_BIT;
        epoll::add(&self.open()?.epoll, fd, EventData::new_u64(token), EventFlags::IN)
    }

    /// Watch a bell, which is never cleared: each ring is an event.
    pub(crate) fn add_bell(&self, key: LinkKey, fd: BorrowedFd<'_>) -> Result<()> {
        let token = key.data().as_ffi() | BELL_BIT;
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&self.open()?.epoll, fd, EventData::new_u64(token), flags)
    }

    pub(crate) fn add_departed(&self, key: DepartedKey, fd: BorrowedFd<'_>) -> Result<()> {
        let token = key.data().as_ffi() | DEPARTED_BIT;
        epoll::add(&self.open()?.epoll, fd, EventData::new_u64(token), EventFlags::IN)
    }

    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) -> Result<()> {
        epoll::delete(&self.open()?.epoll, fd)
    }

    /// Change what is watched of a link from `before` to `after`: readable, writable.
    pub(crate) fn watch(
        &self,
        key: LinkKey,
        fd: BorrowedFd<'_>,
        before: (bool, bool),
        after: (bool, bool),
    ) -> Result<()> {
        let epoll = &self.open()?.epoll;
        let data = EventData::new_u64(key.data().as_ffi());
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, after.0);
        flags.set(EventFlags::OUT, after.1);
        let nothing = (false, false);
        if before == after {
            Ok(())
        } else if before == nothing {
            epoll::add(epoll, fd, data, flags)
        } else if after == nothing {
            // NB: a descriptor in the set reports a hang-up whether it is asked or not.
            epoll::delete(epoll, fd)
        } else {
            epoll::modify(epoll, fd, data, flags)
        }
    }

    /// Ask to be woken at `deadline`.
    pub(crate) fn arm(&mut self, deadline: Option<Instant>) -> Result<()> {
        if self.armed == deadline {
            return Ok(());
        }
        self.armed = deadline;
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        // Zero would disarm it.
        let value = left.map_or(Duration::ZERO, |left| left.max(Duration::from_nanos(1)));
        let spec = Itimerspec { it_interval: timespec(Duration::ZERO), it_value: timespec(value) };
        timerfd_settime(&self.open()?.timer, TimerfdTimerFlags::empty(), &spec)?;
        Ok(())
    }

    /// Note that the timer fired: it must be armed anew.
    pub(crate) fn disarm(&mut self) {
        self.armed = None;
        if let Ok(open) = self.open() {
            let mut count = [0; 8];
            // It may have been set anew between the wait and here; then nothing is there.
            let _ = rustix::io::read(&open.timer, &mut count);
        }
    }

    /// Wait for at most `timeout` (`None`: no bound); what is ready is put into `ready`.
    pub(crate) fn wait(&self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> Result<()> {
        ready.clear();
        let mut events = [MaybeUninit::uninit(); MAX_EVENTS];
        let timeout = timeout.map(timespec);
        match epoll::wait(&self.open()?.epoll, &mut events, timeout.as_ref()) {
            Ok((events, _)) => ready.extend(events.iter().map(decode)),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        Ok(())
    }
}

fn decode(event: &Event) -> Ready {
    let token = event.data.u64();
    let source = if token == TIMER_TOKEN {
        Source::Timer
    } else if token & LISTENER_BIT != 0 {
        Source::Listener(KeyData::from_ffi(token & !LISTENER_BIT).into())
    } else if token & BELL_BIT != 0 {
        Source::Bell(KeyData::from_ffi(token & !BELL_BIT).into())
    } else if token & DEPARTED_BIT != 0 {
        Source::Departed(KeyData::from_ffi(token & !DEPARTED_BIT).into())
    } else {
        Source::Link(KeyData::from_ffi(token).into())
    };
    let flags = event.flags;
    Ready {
        source,
        readable: flags.contains(EventFlags::IN),
        writable: flags.contains(EventFlags::OUT),
        hung_up: flags.intersects(EventFlags::HUP | EventFlags::ERR),
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
