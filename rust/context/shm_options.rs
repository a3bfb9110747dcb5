//! What a context may be told of shared memory.

use std::time::Duration;

use super::Context;
use crate::link::Buffer;
use crate::shm::Store;
use crate::socket::OptionError;

/// The smallest ring and the largest.
const RING_BYTES: (usize, usize) = (4096, 16 << 20);
/// The longest spin.
const MAX_SPIN: Duration = Duration::from_secs(1);

/// Whether ipc connections between two contexts that both can move into shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShmMode {
    /// Where both sides can and there is memory.
    Auto,
    /// Never.
    Off,
    /// Always; a peer that cannot is refused.
    Require,
}

impl ShmMode {
    /// Read the word that stands for a mode.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "auto" => Self::Auto,
            "off" => Self::Off,
            "require" => Self::Require,
            _ => return None,
        })
    }
}

/// How a context uses shared memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShmOptions {
    pub mode: ShmMode,
    /// Of all rings and segments that this side makes.
    pub max_bytes: usize,
    /// Of each connection, for what this side sends.
    pub ring_bytes: usize,
    /// How long a wait looks at the rings before it sleeps, at most.
    pub spin: Duration,
}

impl Default for ShmOptions {
    fn default() -> Self {
        Self {
            mode: ShmMode::Auto,
            max_bytes: 256 << 20,
            ring_bytes: 512 << 10,
            spin: Duration::ZERO,
        }
    }
}

impl ShmOptions {
    /// Check every range.
    ///
    /// # Errors
    ///
    /// The first option that is not allowed, by its name in Python.
    pub fn validate(&self) -> Result<(), OptionError> {
        let (least, most) = RING_BYTES;
        let is_ring =
            self.ring_bytes.is_power_of_two() && (least..=most).contains(&self.ring_bytes);
        if self.max_bytes == 0 {
            return Err(OptionError { name: "shm_max_bytes", allowed: "at least 1" });
        }
        if !is_ring {
            let allowed = "a power of two from 4096 to 16777216";
            return Err(OptionError { name: "shm_ring_bytes", allowed });
        }
        if self.spin > MAX_SPIN {
            return Err(OptionError { name: "spin_us", allowed: "from 0 to 1000000" });
        }
        Ok(())
    }
}

impl<B: Buffer> Context<B> {
    /// Say how shared memory is to be used; to be called before any socket is opened.
    ///
    /// # Errors
    ///
    /// [`OptionError`].
    pub fn configure_shm(&mut self, options: ShmOptions) -> Result<(), OptionError> {
        options.validate()?;
        self.store = Store::keeping_large(options.max_bytes);
        self.shm = options;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_value_is_named() {
        type Change = fn(&mut ShmOptions);
        assert_eq!(ShmOptions::default().validate(), Ok(()));
        let bad: [(&str, Change); 6] = [
            ("shm_max_bytes", |o| o.max_bytes = 0),
            ("shm_ring_bytes", |o| o.ring_bytes = 0),
            ("shm_ring_bytes", |o| o.ring_bytes = 2048),
            ("shm_ring_bytes", |o| o.ring_bytes = 4097),
            ("shm_ring_bytes", |o| o.ring_bytes = 32 << 20),
            ("spin_us", |o| o.spin = MAX_SPIN + Duration::from_micros(1)),
        ];
        for (name, spoil) in bad {
            let mut options = ShmOptions::default();
            spoil(&mut options);
            assert_eq!(options.validate().err().map(|error| error.name), Some(name));
        }
        for ring_bytes in [4096, 16 << 20] {
            let options = ShmOptions { ring_bytes, ..ShmOptions::default() };
            assert_eq!(options.validate(), Ok(()));
        }
    }

    #[test]
    fn modes_are_words() {
        assert_eq!(ShmMode::parse("auto"), Some(ShmMode::Auto));
        assert_eq!(ShmMode::parse("off"), Some(ShmMode::Off));
        assert_eq!(ShmMode::parse("require"), Some(ShmMode::Require));
        assert_eq!(ShmMode::parse("on"), None);
    }
}
