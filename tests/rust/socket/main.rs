//! Sockets through the public face of a context, all in one process.

mod binding;
mod closing;
mod delivery;
mod drive;
mod ending;
mod heartbeat;
mod hostile;
mod inproc;
mod keys;
mod marks;
mod monitor;
mod raw;
mod rings;
