//! Shared memory: segments, arenas, what is lent, and what a hostile peer can do to it.

mod arena;
mod bytes;
mod forked;
mod hostile;
mod kept;
mod large;
mod lending;
mod limits;
mod model;
mod processes;
mod segments;
mod support;
mod two_processes;
