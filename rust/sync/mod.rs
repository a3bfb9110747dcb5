//! What processes share without a lock: positions of rings, held bytes of slots, doorbells.
//!
//! Nothing here touches a payload. Whoever owns a ring's memory writes and reads the bytes
//! between the positions that [`RingWriter`] and [`RingReader`] give.
//!
//! `tests/rust/loom` compiles `words`, `ring` and `held` once more with loom's atomics as
//! `atomic`, so they name no others.

pub(crate) mod atomic;
mod doorbell;
mod held;
mod ring;
mod words;

pub use doorbell::Doorbell;
pub use held::HeldByte;
pub use ring::{Corrupt, RingReader, RingWriter};
pub use words::RingWords;
