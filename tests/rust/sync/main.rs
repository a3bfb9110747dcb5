//! The lock-free layer: positions of a ring, sleep flags, doorbells.

mod doorbell;
mod page;
mod ring;
