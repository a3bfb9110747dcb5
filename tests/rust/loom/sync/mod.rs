//! The layer `sync` of the crate, compiled a second time with loom's atomics.

pub(crate) mod atomic;
#[path = "../../../../rust/sync/held.rs"]
mod held;
#[path = "../../../../rust/sync/ring.rs"]
#[expect(dead_code, reason = "no model asks for a capacity")]
mod ring;
#[path = "../../../../rust/sync/words.rs"]
mod words;

pub(crate) use held::HeldByte;
pub(crate) use ring::{RingReader, RingWriter};
pub(crate) use words::RingWords;
