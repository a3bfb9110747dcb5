//! The core of a context as its Python objects share it: one owner at a time.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use pyo3::prelude::*;

use super::buffer::PyFrame;
use super::error;
use super::event_loop::Attached;
use super::fork::Home;
use super::io_thread::{Bells, IoThread};
use super::waiters::{Side, Ticket, Waiters, wake};
use crate::context::Context;
use crate::socket::SocketKey;
use crate::zmtp::Key;

static NUM_THREADS: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static THREAD: u64 = NUM_THREADS.fetch_add(1, Ordering::Relaxed);
}

pub(super) struct Shared {
    inner: Arc<Mutex<Inner>>,
    /// The poller, once more, so that it can be waited for outside the lock, or what its
    /// own thread tells by; `None` once the context is closed and all its sockets have
    /// ended.
    fd: Mutex<Option<Arc<OwnedFd>>>,
    home: Home,
    io_thread: Option<IoThread>,
    /// The thread that waits in a blocking call; 0 for none.
    waiting_thread: AtomicU64,
    /// Sockets whose objects went while the core was in use.
    orphans: Mutex<Vec<SocketKey>>,
}

pub(super) struct Inner {
    pub(super) context: Context<PyFrame>,
    pub(super) waiters: Waiters,
    pub(super) attached: Option<Attached>,
    pub(super) is_closed: bool,
    /// Of a context with a thread of its own.
    pub(super) bells: Option<Bells>,
    /// How often those who waited were looked for.
    num_rounds: u64,
    to_wake: Vec<Py<PyAny>>,
    woken: Vec<SocketKey>,
}

impl Shared {
    pub(super) fn new(py: Python<'_>, key: Option<Key>, io_thread: bool) -> PyResult<Self> {
        let home = Home::here(py)?;
        let context = key.map_or_else(Context::new, Context::with_key);
        let context = context.map_err(|errno| error::system(errno.into()))?;
        let bells = if io_thread { Some(Bells::new()?) } else { None };
        let fd = match &bells {
            Some(bells) => bells.notice_fd(),
            None => {
                let fd = context.fd().ok_or_else(|| error::closed(py, "context"))?;
                Arc::new(fd.try_clone_to_owned().map_err(error::system)?)
            }
        };
        let inner = Inner {
            context,
            waiters: Waiters::default(),
            attached: None,
            is_closed: false,
            bells,
            num_rounds: 0,
            to_wake: Vec::new(),
            woken: Vec::new(),
        };
        let inner = Arc::new(Mutex::new(inner));
        let start = || IoThread::start(py, &inner, home);
        Ok(Self {
            io_thread: if io_thread { Some(start()?) } else { None },
            inner,
            fd: Mutex::new(Some(fd)),
            home,
            waiting_thread: AtomicU64::new(0),
            orphans: Mutex::new(Vec::new()),
        })
    }

    /// The descriptor to wait for.
    ///
    /// # Errors
    ///
    /// ClosedError.
    pub(super) fn fd(&self, py: Python<'_>) -> PyResult<Arc<OwnedFd>> {
        let fd = self.fd.lock().unwrap_or_else(PoisonError::into_inner);
        fd.clone().ok_or_else(|| error::closed(py, "context"))
    }

    /// Give the descriptors back: nothing is left to wait for.
    pub(super) fn shut(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(io_thread) = &self.io_thread {
            io_thread.stop();
        }
        let bells = self.with(py, |inner| {
            inner.context.shut();
            inner.bells.take()
        })?;
        drop(bells);
        *self.fd.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    pub(super) fn is_forked(&self) -> bool {
        self.home.is_left()
    }

    #[inline]
    fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, Inner>> {
        if self.is_forked() {
            return Err(error::forked(py));
        }
        let waiting = self.waiting_thread.load(Ordering::Relaxed);
        if waiting != 0 && waiting != THREAD.with(|id| *id) {
            return Err(error::misuse(py, "context is in use by another thread"));
        }
        match self.inner.try_lock() {
            Ok(inner) => Ok(inner),
            Err(TryLockError::Poisoned(_)) => Err(error::closed(py, "context")),
            Err(TryLockError::WouldBlock) if self.io_thread.is_some() => {
                // NB: with the interpreter attached, which the thread never waits for.
                self.inner.lock().map_err(|_| error::closed(py, "context"))
            }
            Err(TryLockError::WouldBlock) => {
                Err(error::misuse(py, "context is in use by another thread"))
            }
        }
    }

    /// Let `work` use the core, then wake whom that concerns.
    ///
    /// NB: `work` must not run Python code, which could come back here.
    ///
    /// # Errors
    ///
    /// ForkedError and LocalProtocolError.
    #[inline]
    pub(super) fn with<R>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut Inner) -> R,
    ) -> PyResult<R> {
        let mut inner = self.lock(py)?;
        let result = work(&mut inner);
        if inner.context.has_woken() {
            inner.collect_woken();
        }
        if inner.to_wake.is_empty() {
            return Ok(result);
        }
        let futures = std::mem::take(&mut inner.to_wake);
        drop(inner);
        wake(py, futures);
        Ok(result)
    }

    /// Do what is ready.
    ///
    /// # Errors
    ///
    /// As [`Self::with`], and OSError.
    pub(super) fn turn(&self, py: Python<'_>) -> PyResult<()> {
        self.release_orphans(py)?;
        self.fd(py)?;
        let turn = |inner: &mut Inner| match &mut inner.bells {
            Some(bells) => {
                bells.clear_notice();
                Ok(())
            }
            None => inner.context.run_once(Some(std::time::Duration::ZERO)),
        };
        self.with(py, turn)?.map_err(|errno| error::system(errno.into()))
    }

    /// Mark the calling thread as waiting, so that no other comes between.
    pub(super) fn enter_wait(&self) -> WaitGuard<'_> {
        let before = self.waiting_thread.swap(THREAD.with(|id| *id), Ordering::Relaxed);
        WaitGuard { shared: self, before }
    }

    /// Release a socket now or, if the core is in use, at its next turn.
    pub(super) fn orphan(&self, py: Python<'_>, key: SocketKey) {
        let mut orphans = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
        orphans.push(key);
        drop(orphans);
        // It stays in the list if this is not the moment.
        let _ = self.release_orphans(py);
    }

    fn release_orphans(&self, py: Python<'_>) -> PyResult<()> {
        if self.orphans.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return Ok(());
        }
        self.with(py, |inner| {
            let mut orphans = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
            for key in orphans.drain(..) {
                inner.context.release(key);
                inner.forget_if_gone(key);
            }
        })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.is_forked() {
            return;
        }
        self.io_thread = None;
        let attached = self.inner.lock().unwrap_or_else(PoisonError::into_inner).attached.take();
        let Some(attached) = attached else {
            return;
        };
        // During shutdown there is no loop left to tell.
        let _ = Python::try_attach(|py| {
            if let Err(error) = attached.detach(py) {
                error.write_unraisable(py, None);
            }
        });
    }
}

pub(super) struct WaitGuard<'a> {
    shared: &'a Shared,
    before: u64,
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.shared.waiting_thread.store(self.before, Ordering::Relaxed);
    }
}

impl Inner {
    /// Whether what was accepted is going to be written without more being done.
    #[inline]
    pub(super) fn flush_is_due(&mut self) -> bool {
        if let Some(bells) = &mut self.bells {
            bells.ring_doorbell();
        }
        self.attached.as_mut().is_some_and(Attached::trusts_schedule)
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
        if self.context.is_readable(key) {
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
    fn forget_if_gone(&mut self, key: SocketKey) {
        if self.context.socket(key).is_none() {
            self.waiters.take(key, Side::Recv, usize::MAX, &mut self.to_wake);
            self.waiters.take(key, Side::Send, usize::MAX, &mut self.to_wake);
            self.waiters.take(key, Side::Subscribers, usize::MAX, &mut self.to_wake);
            self.wake_watchers(key);
            self.waiters.forget(key);
        }
    }

    fn collect_woken(&mut self) {
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
