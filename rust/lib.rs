//! The message fabric of LLM inference services: ZeroMQ's patterns and wire.
//!
//! Layers, each importing only what stands left of it:
//! `sync` <- `zmtp` <- `shm` <- `link` <- `socket` <- `context` <- `py`.

pub mod context;
pub mod link;
pub mod msgpack;
pub mod shm;
pub mod socket;
pub mod sync;
mod timers;
pub mod zmtp;

#[cfg(feature = "python")]
mod py;
