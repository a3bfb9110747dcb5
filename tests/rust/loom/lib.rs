//! The lock-free files of the crate, compiled a second time with loom's atomics.

pub mod shm;
pub mod sync;
