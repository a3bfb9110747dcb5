//! Shared memory: segments, arenas, what is lent, and what a hostile peer can do to it.

mod arena;
mod lending;
mod segments;
mod support;
