//! The core of a context as its Python objects share it: one owner at a time.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use pyo3::prelude::*;

use super::error;
use super::event_loop::running_loop;
use super::fork::Home;
use super::inner::Inner;
use super::io_thread::{Bells, IoThread};
use super::waiters::wake;
use crate::context::{Context, ShmOptions};
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

impl Shared {
    pub(super) fn new(
        py: Python<'_>,
        key: Option<Key>,
        io_thread: bool,
        shm: ShmOptions,
    ) -> PyResult<Self> {
        let home = Home::here(py)?;
        let context = key.map_or_else(Context::new, Context::with_key);
        let mut context = context.map_err(|errno| error::system(errno.into()))?;
        context.configure_shm(shm).map_err(|error| error::config(py, &error.to_string()))?;
        let bells = if io_thread { Some(Bells::new()?) } else { None };
        let fd = match &bells {
            Some(bells) => bells.notice_fd(),
            None => {
                let fd = context.fd().ok_or_else(|| error::closed(py, "context"))?;
                Arc::new(fd.try_clone_to_owned().map_err(error::system)?)
            }
        };
        let inner = Arc::new(Mutex::new(Inner::new(context, bells)));
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

    /// The descriptor to wait for, as whoever asks for it may watch it in a loop of its own.
    ///
    /// # Errors
    ///
    /// As [`Self::with`], and ClosedError.
    pub(super) fn watched_fd(&self, py: Python<'_>) -> PyResult<Arc<OwnedFd>> {
        let fd = self.fd(py)?;
        let is_in_loop = running_loop(py)?.is_some();
        self.with(py, |inner| {
            if let Some(bells) = &mut inner.bells {
                bells.watch();
                if !is_in_loop {
                    bells.expect_any();
                }
            }
        })?;
        Ok(fd)
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

    /// The core, if nothing keeps it from the calling thread.
    #[inline]
    fn try_lock(&self) -> Option<MutexGuard<'_, Inner>> {
        let is_awaited = self.waiting_thread.load(Ordering::Relaxed) != 0;
        if is_awaited || self.is_forked() { None } else { self.inner.try_lock().ok() }
    }

    /// As [`Self::try_lock`], or for the thread of the context to leave it, or why not.
    ///
    /// NB: kept out of the way of those calls that find it free, which are nearly all.
    #[cold]
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
            Err(TryLockError::Poisoned(broken)) => Err(self.give_up(py, broken.into_inner())),
            Err(TryLockError::WouldBlock) if self.io_thread.is_some() => {
                // NB: with the interpreter attached, which the thread never waits for.
                self.inner.lock().map_err(|broken| self.give_up(py, broken.into_inner()))
            }
            Err(TryLockError::WouldBlock) => {
                Err(error::misuse(py, "context is in use by another thread"))
            }
        }
    }

    /// A panic left the core amid a change, for nobody to use: whoever waits hears of that
    /// when it tries again.
    #[cold]
    fn give_up(&self, py: Python<'_>, mut inner: MutexGuard<'_, Inner>) -> PyErr {
        let (futures, attached) = inner.give_up();
        drop(inner);
        if let Some(attached) = attached
            && let Err(error) = attached.detach(py)
        {
            error.write_unraisable(py, None);
        }
        wake(py, futures);
        error::closed(py, "context")
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
        let mut inner = match self.try_lock() {
            Some(inner) => inner,
            None => self.lock(py)?,
        };
        let result = work(&mut inner);
        if inner.context.has_woken() {
            inner.collect_woken();
        }
        if !inner.has_to_wake() {
            return Ok(result);
        }
        let futures = inner.take_to_wake();
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
            None => inner.context.run_once(Some(Duration::ZERO)),
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::py::blocking::wait_readable;
    use crate::py::waiters::Side;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn future(py: Python<'_>) -> Py<PyAny> {
        let asyncio = PyModule::import(py, "asyncio").unwrap();
        let event_loop = asyncio.call_method0("new_event_loop").unwrap();
        event_loop.call_method0("create_future").unwrap().unbind()
    }

    fn is_done(py: Python<'_>, future: &Py<PyAny>) -> bool {
        future.call_method0(py, "done").unwrap().extract(py).unwrap()
    }

    fn wait_for(py: Python<'_>, shared: &Shared, future: &Py<PyAny>) {
        shared
            .with(py, |inner| {
                let (ticket, round) = (inner.waiters.ticket(), inner.round());
                inner.wait(SocketKey::default(), Side::Recv, ticket, round, future.clone_ref(py));
            })
            .unwrap();
    }

    /// Panic amid a change of the core, as its thread would.
    fn panic_within(inner: &Arc<Mutex<Inner>>) {
        let inner = inner.clone();
        let panicking = std::thread::spawn(move || {
            let mut inner = inner.lock().unwrap();
            inner.bells.iter_mut().for_each(Bells::ring_doorbell);
            panic!("on purpose");
        });
        assert!(panicking.join().is_err());
    }

    #[test]
    fn panic_wakes_who_waits() {
        Python::initialize();
        Python::attach(|py| {
            let shared = Shared::new(py, None, true, ShmOptions::default()).unwrap();
            let waiting = future(py);
            wait_for(py, &shared, &waiting);
            panic_within(&shared.inner);
            let deadline = Instant::now() + PATIENCE;
            assert!(wait_readable(py, &shared, Some(deadline)).unwrap(), "nobody rang");
            assert!(shared.turn(py).is_err());
            assert!(is_done(py, &waiting));
        });
    }
}
