//! The lock-free layer: positions of a ring, sleep flags, doorbells.

mod doorbell;
mod model;
mod page;
mod ring;
