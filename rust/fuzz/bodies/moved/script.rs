//! Bytes read as choices.

/// What is left to be read.
pub(super) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte, or 0.
    pub(super) fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or_default()
    }

    /// The next `nbytes`, or as many as there are.
    pub(super) fn bytes(&mut self, nbytes: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(nbytes.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// The next 8 bytes, or fewer.
    pub(super) fn word(&mut self) -> u64 {
        let mut word = [0; 8];
        let bytes = self.bytes(8);
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    }
}
