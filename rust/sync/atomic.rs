//! The atomics of this layer; the models in `tests/rust/loom` put loom's in their place.

pub(crate) use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
