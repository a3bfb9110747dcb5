//! Tests that would hang where the code under test does.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Longer than any of them takes, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// Run `body`, and panic if it does not come to an end.
#[track_caller]
pub(crate) fn bounded(body: impl FnOnce() + Send + 'static) {
    let (done, is_done) = channel::<()>();
    let thread = std::thread::spawn(move || {
        let _done = done;
        body();
    });
    // The sender is dropped whether `body` returns or panics.
    let waited = is_done.recv_timeout(PATIENCE);
    assert_eq!(waited, Err(RecvTimeoutError::Disconnected), "it hangs");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Run `disturb` over and over, on a thread of its own, for as long as `work` takes.
pub(crate) fn beside<T>(mut disturb: impl FnMut() + Send, work: impl FnOnce() -> T) -> T {
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                disturb();
            }
        });
        // Even if `work` panics, so that the other thread ends.
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
