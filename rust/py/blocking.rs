//! Waiting without a loop: poll the context's descriptor with the interpreter detached.

use std::time::{Duration, Instant};

use pyo3::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::error;
use super::operation::{Operation, Output, Step};
use super::shared::Shared;
use crate::socket::SocketKey;

/// A bound in seconds as Python gives it; `None` for no bound.
pub(super) fn to_duration(py: Python<'_>, seconds: Option<f64>) -> PyResult<Option<Duration>> {
    let Some(seconds) = seconds else {
        return Ok(None);
    };
    if seconds.is_nan() || seconds < 0.0 {
        return Err(error::config(py, &format!("{seconds} is not a number of seconds")));
    }
    Ok(Duration::try_from_secs_f64(seconds).ok())
}

/// Try `operation` until it is done, or `timeout` seconds have passed.
pub(super) fn run(
    py: Python<'_>,
    shared: &Shared,
    key: SocketKey,
    mut operation: Operation,
    timeout: Option<f64>,
) -> PyResult<Output> {
    let wait = to_duration(py, timeout)?;
    let deadline = wait.and_then(|wait| Instant::now().checked_add(wait));
    loop {
        let (step, has_changed) = shared.with(py, |inner| {
            let step = operation.step_or_spin(inner, key);
            inner.context.flush();
            let must_wait = matches!(step, Step::Wait(_) | Step::Full(_));
            if let (Some(bells), true) = (&mut inner.bells, must_wait) {
                bells.expect();
            }
            (step, inner.context.has_woken())
        })?;
        match step {
            Step::Done(output) => return Ok(output),
            Step::Wait(_) | Step::Full(_) => {}
            failed => return Err(failed.into_error(py)),
        }
        if has_changed {
            // By what was written: the descriptor does not tell of that.
            continue;
        }
        if !wait_readable(py, shared, deadline)? {
            return Err(error::timed_out(py, timeout.unwrap_or_default()));
        }
        shared.turn(py)?;
    }
}

/// Wait until the context has work; `false` if the deadline came first.
pub(super) fn wait_readable(
    py: Python<'_>,
    shared: &Shared,
    deadline: Option<Instant>,
) -> PyResult<bool> {
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let fd = shared.fd(py)?;
        let guard = shared.enter_wait();
        let polled = py.detach(|| {
            let mut fds = [PollFd::new(&*fd, PollFlags::IN)];
            let timeout = left.map(|left| Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            });
            poll(&mut fds, timeout.as_ref())
        });
        drop(guard);
        match polled {
            Ok(count) => return Ok(count > 0),
            // A signal: let Python see it, and go on if it does not mind.
            Err(Errno::INTR) => py.check_signals()?,
            Err(errno) => return Err(error::system(errno.into())),
        }
    }
}
