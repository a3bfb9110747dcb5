//! What stands between the byte stream and the frames: nothing, or proofs and records.

use std::io::IoSlice;

use rustix::io::Errno;

use super::{Buffer, Closed, Link, LinkOptions, Phase, Stream};
use crate::zmtp::{
    Error, GREETING_BYTES, Handshake, Key, Mechanism, NONCE_BYTES, Opener, Role, Sealer,
    encode_ready,
};

/// How the bytes of a link are protected.
#[derive(Debug, Default)]
pub(crate) enum Guard {
    /// Not at all.
    #[default]
    Open,
    /// The peer has yet to prove that it knows the key.
    Proving(Box<Handshake>),
    /// All travels in records.
    Sealed(Box<Sealed>),
}

#[derive(Debug)]
pub(crate) struct Sealed {
    sealer: Sealer,
    opener: Opener,
    /// Bytes as they go to the kernel, and how many of them it took.
    wire: Vec<u8>,
    wire_at: usize,
}

impl Guard {
    /// Demand that the peer knows `key`.
    ///
    /// # Errors
    ///
    /// As `getrandom(2)`.
    pub(crate) fn keyed(key: &Key, role: Role) -> Result<Self, Errno> {
        let mut nonce = [0; NONCE_BYTES];
        let mut filled = 0;
        while filled < nonce.len() {
            let flags = rustix::rand::GetRandomFlags::empty();
            match rustix::rand::getrandom(&mut nonce[filled..], flags) {
                Ok(nbytes) => filled += nbytes,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(Self::Proving(Box::new(Handshake::new(key.clone(), role, nonce))))
    }

    fn mechanism(&self) -> Mechanism {
        match self {
            Self::Proving(handshake) => handshake.mechanism(),
            Self::Open | Self::Sealed(_) => Mechanism::Null,
        }
    }

    pub(super) fn is_sealed(&self) -> bool {
        matches!(self, Self::Sealed(_))
    }

    /// Whether a record has begun and not ended.
    pub(super) fn is_amid_record(&self) -> bool {
        matches!(self, Self::Sealed(sealed) if sealed.opener.is_amid_record())
    }

    /// Whether sealed bytes wait for the kernel.
    pub(super) fn has_pending(&self) -> bool {
        matches!(self, Self::Sealed(sealed) if !sealed.wire.is_empty())
    }

    /// Forget sealed bytes that the kernel did not take.
    pub(super) fn discard(&mut self) {
        if let Self::Sealed(sealed) = self {
            sealed.wire.clear();
            sealed.wire_at = 0;
        }
    }
}

impl Sealed {
    /// Seal as much of `slices` as fits one batch; return how many bytes that is.
    pub(super) fn seal(&mut self, slices: &[IoSlice<'_>]) -> usize {
        self.sealer.seal(slices, &mut self.wire)
    }

    /// Write what is sealed; return how much of it the kernel took.
    fn write(&mut self, stream: &Stream) -> Result<usize, Closed> {
        let rest = &self.wire[self.wire_at..];
        let taken = match stream.write(&[IoSlice::new(rest)]) {
            Ok(taken) => taken,
            Err(Errno::AGAIN) => 0,
            Err(errno) => return Err(errno.into()),
        };
        self.wire_at += taken;
        if taken == rest.len() {
            self.wire.clear();
            self.wire_at = 0;
        }
        Ok(taken)
    }
}

impl<B: Buffer> Link<B> {
    /// Protect a link that has not said anything yet.
    pub(crate) fn protect(&mut self, guard: Guard) {
        self.control = guard.mechanism().greeting().into();
        self.guard = guard;
    }

    /// Hear the greeting, and with a key the proof; `false` as long as more is to come.
    pub(super) fn greet(&mut self, input: &mut &[u8]) -> Result<bool, Closed> {
        if self.greeting.len() < GREETING_BYTES {
            let wanted = (GREETING_BYTES - self.greeting.len()).min(input.len());
            self.greeting.extend_from_slice(&input[..wanted]);
            *input = &input[wanted..];
            let Some(minor) = self.guard.mechanism().check(&self.greeting)? else {
                return Ok(false);
            };
            self.peer_minor = minor;
            if let Guard::Proving(handshake) = &mut self.guard {
                handshake.begin(&self.greeting, &mut self.control);
            }
        }
        if let Guard::Proving(handshake) = &mut self.guard {
            let Some((sealer, opener)) = handshake.feed(input, &mut self.control)? else {
                return Ok(false);
            };
            // What was said so far goes in clear, before the first record.
            let wire = self.control.split_off(self.control_at);
            self.control.clear();
            self.control_at = 0;
            self.guard = Guard::Sealed(Box::new(Sealed { sealer, opener, wire, wire_at: 0 }));
        }
        let capability = self.capability().copied();
        let LinkOptions { kind, routing_id, .. } = &self.options;
        encode_ready(&mut self.control, *kind, routing_id, capability.as_ref());
        self.phase = Phase::Handshake;
        Ok(true)
    }

    /// Take in bytes behind the greeting, out of their records where there are some.
    pub(super) fn take_in(&mut self, input: &[u8]) -> Result<(), Closed> {
        match std::mem::take(&mut self.guard) {
            Guard::Sealed(mut sealed) => {
                let opened = sealed.opener.open(input, |payload| self.consume_frames(payload));
                self.guard = Guard::Sealed(sealed);
                opened
            }
            guard => {
                self.guard = guard;
                self.consume_frames(input)
            }
        }
    }

    /// Write what is sealed.
    pub(super) fn write_sealed(&mut self) -> Result<(), Closed> {
        if let (Guard::Sealed(sealed), Some(stream)) = (&mut self.guard, &self.stream) {
            self.has_progress |= sealed.write(stream)? > 0;
            self.blocked = !sealed.wire.is_empty();
        }
        Ok(())
    }

    /// What to tell a peer whose link ends, if anything.
    pub(crate) fn last_words(&self, closed: &Closed) -> Option<String> {
        match closed {
            Closed::Protocol(Error::Refused { reason }) => {
                (!reason.starts_with("peer refused")).then(|| reason.clone())
            }
            Closed::Protocol(Error::WrongKey) => Some("wrong key".into()),
            _ => None,
        }
    }
}
