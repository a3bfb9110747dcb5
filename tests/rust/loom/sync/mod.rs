//! Of `rust/sync`: what does not need a kernel.

pub mod atomic;
#[path = "../../../../rust/sync/held.rs"]
mod held;
#[path = "../../../../rust/sync/ring.rs"]
mod ring;
#[path = "../../../../rust/sync/words.rs"]
mod words;

pub use held::HeldByte;
pub use ring::{RingReader, RingWriter};
pub use words::RingWords;
