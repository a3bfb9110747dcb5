//! A thread of a context's own, which moves bytes while the owner is away.
//!
//! It runs no Python code and needs no interpreter: frames that it receives are native
//! memory until they are taken. The owner writes into its doorbell what it cannot see by
//! itself, that messages wait to be written; it writes into the notice, which the owner
//! watches in place of the poller, that a socket is to be looked at.

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use pyo3::prelude::*;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;

use super::error;
use super::fork::Home;
use super::inner::Inner;

/// How long an owner that sent something is left to send more, before the thread takes the
/// lock and writes all of it. An owner that comes to wait does not wait for that: it writes
/// by itself.
///
/// Messages of 32 B by 100 over TCP, by `bench_zmq_compat.py` on 2 vCPU: 230 k/s without it,
/// 629 k/s with it, beside 800 and 820 k/s of pyzmq.
const GATHERING: Duration = Duration::from_micros(20);

/// Set for good once there is such a thread: until then nobody needs to ask which it is.
static HAS_THREADS: AtomicBool = AtomicBool::new(false);

thread_local! {
    static IS_IO_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is one of ours, and so has no interpreter.
#[inline]
pub(super) fn is_io_thread() -> bool {
    HAS_THREADS.load(Ordering::Relaxed) && IS_IO_THREAD.get()
}

/// Wakes who waits for its descriptor, once until it is cleared.
struct Bell {
    fd: Arc<OwnedFd>,
    is_rung: bool,
}

impl Bell {
    fn new() -> rustix::io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self { fd: Arc::new(eventfd(0, flags)?), is_rung: false })
    }

    fn ring(&mut self) {
        if !self.is_rung {
            self.is_rung = true;
            // It cannot overflow: it is rung once until it is cleared.
            let _ = rustix::io::write(&*self.fd, &1_u64.to_ne_bytes());
        }
    }

    fn clear(&mut self) {
        if self.is_rung {
            self.is_rung = false;
            let _ = rustix::io::read(&*self.fd, &mut [0; 8]);
        }
    }
}

/// What the thread and the owner tell each other. It belongs to the core, and its lock.
pub(super) struct Bells {
    doorbell: Bell,
    notice: Bell,
    is_stopped: bool,
    /// A blocking call of the owner waits for the notice.
    is_awaited: bool,
    /// Somebody was given the notice to watch.
    is_watched: bool,
    /// Sockets changed that nobody was told of.
    has_news: bool,
}

impl Bells {
    pub(super) fn new() -> PyResult<Self> {
        let bell = || Bell::new().map_err(|errno| error::system(errno.into()));
        Ok(Self {
            doorbell: bell()?,
            notice: bell()?,
            is_stopped: false,
            is_awaited: false,
            is_watched: false,
            has_news: false,
        })
    }

    /// The descriptor for the owner to watch.
    pub(super) fn notice_fd(&self) -> Arc<OwnedFd> {
        self.notice.fd.clone()
    }

    /// Tell the thread that messages wait to be written.
    pub(super) fn ring_doorbell(&mut self) {
        self.doorbell.ring();
    }

    /// Note that the owner looks.
    pub(super) fn clear_notice(&mut self) {
        self.notice.clear();
        self.is_awaited = false;
        self.has_news = false;
    }

    /// Ring for whatever changes from here on, until the owner looks.
    ///
    /// NB: to be called before the lock is left under which the owner looked in vain.
    pub(super) fn expect(&mut self) {
        self.is_awaited = true;
    }

    /// As [`Self::expect`], of an owner that may not have looked at all that changed.
    pub(super) fn expect_any(&mut self) {
        self.expect();
        if self.has_news {
            self.notice.ring();
        }
    }

    /// Ring for whatever changes from here on, for good.
    pub(super) fn watch(&mut self) {
        self.is_watched = true;
    }

    /// Tell that sockets changed, if somebody may wait to hear that.
    fn tell(&mut self, is_due: bool) {
        if is_due || self.is_awaited || self.is_watched {
            self.notice.ring();
        } else {
            self.has_news = true;
        }
    }
}

pub(super) struct IoThread {
    core: Arc<Mutex<Inner>>,
    home: Home,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl IoThread {
    /// Start the thread of a core that has bells.
    pub(super) fn start(py: Python<'_>, core: &Arc<Mutex<Inner>>, home: Home) -> PyResult<Self> {
        let (poller, doorbell) = {
            let inner = core.lock().unwrap_or_else(PoisonError::into_inner);
            let closed = || error::closed(py, "context");
            let poller = inner.context.fd().ok_or_else(closed)?;
            let bells = inner.bells.as_ref().ok_or_else(closed)?;
            (poller.try_clone_to_owned().map_err(error::system)?, bells.doorbell.fd.clone())
        };
        HAS_THREADS.store(true, Ordering::Relaxed);
        let its_core = core.clone();
        // NB: it takes over the mask of the thread that starts it. Signals are Python's: one
        // that came to this thread would not interrupt a blocking call.
        let signal = PyModule::import(py, "signal")?;
        let mask = |how: &str, signals| {
            signal.call_method1("pthread_sigmask", (signal.getattr(how)?, signals))
        };
        let before = mask("SIG_BLOCK", signal.call_method0("valid_signals")?)?;
        let spawned = Builder::new()
            .name("busduct-io".into())
            .spawn(move || run(&its_core, &poller, &doorbell))
            .map_err(error::system);
        let restored = mask("SIG_SETMASK", before);
        let thread = Self { core: core.clone(), home, thread: Mutex::new(Some(spawned?)) };
        restored?;
        Ok(thread)
    }

    /// End the thread and wait until it is gone, which takes one turn of it at most.
    /// Idempotent.
    pub(super) fn stop(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_none() {
            return;
        }
        {
            let mut inner = self.core.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(bells) = &mut inner.bells {
                bells.is_stopped = true;
                bells.doorbell.ring();
            }
        }
        // A thread that panicked has said so.
        let mut join = || drop(thread.take().map(JoinHandle::join));
        if Python::try_attach(|py| py.detach(&mut join)).is_none() {
            join();
        }
    }
}

impl Drop for IoThread {
    fn drop(&mut self) {
        if !self.home.is_left() {
            self.stop();
            return;
        }
        // NB: the child of a fork has no such thread, and the core as the thread left it,
        // which may be amid a change and locked: nobody may touch it, not even to free it.
        std::mem::forget(self.core.clone());
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner);
        std::mem::forget(thread.take());
    }
}

fn run(core: &Mutex<Inner>, poller: &OwnedFd, doorbell: &OwnedFd) {
    IS_IO_THREAD.set(true);
    let _farewell = Farewell(core);
    while wait(poller, doorbell) && turn(core) {}
}

/// Rings when the thread ends, however that comes: an owner that waits must look.
struct Farewell<'a>(&'a Mutex<Inner>);

impl Drop for Farewell<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bells) = &mut inner.bells {
            bells.notice.ring();
        }
    }
}

/// Wait until there is work; `false` if that is not possible.
fn wait(poller: &OwnedFd, doorbell: &OwnedFd) -> bool {
    let watched = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
    let mut fds = [watched(poller.as_fd()), watched(doorbell.as_fd())];
    match poll(&mut fds, None) {
        Ok(_) if fds[0].revents().is_empty() => std::thread::sleep(GATHERING),
        Ok(_) | Err(Errno::INTR) => {}
        Err(_) => return false,
    }
    true
}

/// Do what is ready; `false` once the thread is to end.
fn turn(core: &Mutex<Inner>) -> bool {
    let Ok(mut inner) = core.lock() else {
        return false;
    };
    let inner = &mut *inner;
    let Some(bells) = &mut inner.bells else {
        return false;
    };
    bells.doorbell.clear();
    if bells.is_stopped {
        return false;
    }
    let turned = inner.context.run_once(Some(Duration::ZERO));
    if inner.context.has_woken() {
        inner.collect_woken();
        // NB: whoever is in no loop may wait in one of its own, for anything.
        let is_due = inner.attached.is_none() || inner.has_to_wake();
        if let Some(bells) = &mut inner.bells {
            bells.tell(is_due);
        }
    }
    turned.is_ok()
}
