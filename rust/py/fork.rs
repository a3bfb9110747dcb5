//! Noticing that this process is a forked child, which may not use its parent's contexts.

use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// How often this process was forked from one that had a context.
static NUM_FORKS: AtomicU32 = AtomicU32::new(0);
static HOOK: PyOnceLock<()> = PyOnceLock::new();

#[pyfunction]
fn note_fork() {
    NUM_FORKS.fetch_add(1, Ordering::Relaxed);
}

/// The process that something was made in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Home(u32);

impl Home {
    /// This process; from now on its children are told apart from it.
    pub(super) fn here(py: Python<'_>) -> PyResult<Self> {
        HOOK.get_or_try_init(py, || -> PyResult<()> {
            let kwargs = PyDict::new(py);
            kwargs.set_item("after_in_child", wrap_pyfunction!(note_fork, py)?)?;
            let os = PyModule::import(py, "os")?;
            os.call_method("register_at_fork", (), Some(&kwargs)).map(drop)
        })?;
        Ok(Self(NUM_FORKS.load(Ordering::Relaxed)))
    }

    /// Whether this is a child of that process.
    #[inline]
    pub(super) fn is_left(self) -> bool {
        self.0 != NUM_FORKS.load(Ordering::Relaxed)
    }
}
