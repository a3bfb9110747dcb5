//! A whole message: one part, mostly, or several.

use std::slice;

use super::{Buffer, OutOfMemory};

/// What a part costs besides its payload when a queue's bytes are counted: the object
/// that holds it and its place in the queue (measured: CPython 3.11 takes 33 bytes,
/// rounded up to 16, and a queue entry 32, doubled while the queue grows).
pub const PART_OVERHEAD_BYTES: usize = 96;

/// A message of at least one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<B> {
    Single(B),
    /// Two parts or more.
    Multi(Vec<B>),
}

impl<B: AsRef<[u8]>> Message<B> {
    /// Make a message of `parts`; `None` if there are none.
    #[must_use]
    pub fn from_parts(mut parts: Vec<B>) -> Option<Self> {
        match parts.len() {
            0 | 1 => parts.pop().map(Self::Single),
            _ => Some(Self::Multi(parts)),
        }
    }

    /// The parts, in order.
    #[inline]
    pub fn parts(&self) -> &[B] {
        match self {
            Self::Single(part) => slice::from_ref(part),
            Self::Multi(parts) => parts,
        }
    }

    /// The parts, given away.
    #[must_use]
    pub fn into_parts(self) -> Vec<B> {
        match self {
            Self::Single(part) => vec![part],
            Self::Multi(parts) => parts,
        }
    }

    /// Change each part.
    #[must_use]
    pub fn map(self, mut change: impl FnMut(B) -> B) -> Self {
        match self {
            Self::Single(part) => Self::Single(change(part)),
            Self::Multi(parts) => Self::Multi(parts.into_iter().map(change).collect()),
        }
    }

    /// Payload bytes of all parts.
    #[inline]
    pub fn nbytes(&self) -> usize {
        match self {
            Self::Single(part) => part.as_ref().len(),
            Self::Multi(parts) => parts.iter().map(|part| part.as_ref().len()).sum(),
        }
    }

    /// What the message counts in a queue that is bounded by bytes.
    #[inline]
    pub fn cost(&self) -> usize {
        self.nbytes() + self.parts().len() * PART_OVERHEAD_BYTES
    }
}

impl<B: Buffer> Message<B> {
    /// Make the message that subscribes to `topic`, or takes that back, as it is on the wire
    /// before ZMTP 3.1 and between an XSUB or XPUB and its owner.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    pub fn subscription(subscribe: bool, topic: &[u8]) -> Result<Self, OutOfMemory> {
        B::copy_from(&[&[u8::from(subscribe)], topic].concat()).map(Self::Single)
    }

    /// The change of subscriptions that this is, if it is one.
    #[must_use]
    pub fn as_subscription(&self) -> Option<(bool, &[u8])> {
        let Self::Single(part) = self else {
            return None;
        };
        match part.as_ref() {
            [0, topic @ ..] => Some((false, topic)),
            [1, topic @ ..] => Some((true, topic)),
            _ => None,
        }
    }

    /// Hold the same message once more, for another receiver.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    #[inline]
    pub fn share(&self) -> Result<Self, OutOfMemory> {
        match self {
            Self::Single(part) => part.share().map(Self::Single),
            Self::Multi(parts) => {
                parts.iter().map(Buffer::share).collect::<Result<_, _>>().map(Self::Multi)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_have_one_part_that_starts_with_0_or_1() {
        for (subscribe, topic) in [(true, &b"a"[..]), (false, b""), (true, &[1, 0])] {
            let message = Message::<Vec<u8>>::subscription(subscribe, topic).unwrap();
            assert_eq!(message.as_subscription(), Some((subscribe, topic)));
        }
        for parts in [vec![vec![]], vec![vec![2, 1]], vec![vec![1], vec![]]] {
            assert_eq!(Message::from_parts(parts).unwrap().as_subscription(), None);
        }
    }
}
