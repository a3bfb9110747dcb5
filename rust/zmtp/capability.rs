//! What READY's `X-Busduct` tells of a peer, and the commands that follow from it
//! (docs/wire.md, "Shared memory").

use super::Error;
use super::command::push_command;

/// Of the property and of the command.
const VERSION: u8 = 1;
const SHARED_MEMORY: u8 = 1;

const OFFER: u8 = 1;
const ACCEPT: u8 = 2;
const DECLINE: u8 = 3;

/// Where a peer runs that can share memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// Of the running kernel: the same on the same host, and nowhere else.
    pub boot_id: [u8; 16],
    /// The inode of its PID namespace.
    pub pid_namespace: u64,
}

impl Capability {
    /// The value of the property.
    #[must_use]
    pub fn encode(&self) -> [u8; 26] {
        let mut value = [0; 26];
        value[..2].copy_from_slice(&[VERSION, SHARED_MEMORY]);
        value[2..18].copy_from_slice(&self.boot_id);
        value[18..].copy_from_slice(&self.pid_namespace.to_be_bytes());
        value
    }

    /// Read the value of the property; `None` of a peer that cannot, or does not speak as
    /// we do. What follows is for later versions.
    #[must_use]
    pub fn decode(value: &[u8]) -> Option<Self> {
        let (&[version, flags], rest) = value.split_first_chunk()?;
        let (&boot_id, rest) = rest.split_first_chunk()?;
        let (&pid_namespace, _) = rest.split_first_chunk()?;
        let speaks = version == VERSION && flags & SHARED_MEMORY != 0;
        speaks.then_some(Self { boot_id, pid_namespace: u64::from_be_bytes(pid_namespace) })
    }
}

/// The data of a SHM command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Three descriptors come with its first byte: control page, ring, doorbell.
    Offer { ring_nbytes: u64 },
    /// What the other side offered was mapped.
    Accept,
    /// The connection stays as it is.
    Decline,
}

impl Sharing {
    pub(super) fn parse(data: &[u8], offset: u64) -> Result<Self, Error> {
        let malformed = |reason| Err(Error::malformed(offset, reason));
        match data {
            [VERSION, OFFER, ring @ ..] => match ring.try_into() {
                Ok(nbytes) => Ok(Self::Offer { ring_nbytes: u64::from_be_bytes(nbytes) }),
                Err(_) => malformed("SHM offer with a wrong length"),
            },
            [VERSION, ACCEPT] => Ok(Self::Accept),
            [VERSION, DECLINE] => Ok(Self::Decline),
            _ => malformed("SHM command of another version or kind"),
        }
    }
}

/// Append the frame of a SHM command to `out`.
pub fn encode_sharing(out: &mut Vec<u8>, sharing: Sharing) {
    let mut body = b"\x03SHM".to_vec();
    match sharing {
        Sharing::Offer { ring_nbytes } => {
            body.extend_from_slice(&[VERSION, OFFER]);
            body.extend_from_slice(&ring_nbytes.to_be_bytes());
        }
        Sharing::Accept => body.extend_from_slice(&[VERSION, ACCEPT]),
        Sharing::Decline => body.extend_from_slice(&[VERSION, DECLINE]),
    }
    push_command(out, &body);
}

#[cfg(test)]
mod tests {
    use super::super::{Command, parse_header};
    use super::*;

    #[test]
    fn capability_round_trips_and_other_versions_count_for_nothing() {
        let capability = Capability { boot_id: [7; 16], pid_namespace: 0x0102_0304_0506_0708 };
        let value = capability.encode();
        assert_eq!(Capability::decode(&value), Some(capability));
        assert_eq!(Capability::decode(&[&value[..], b"more"].concat()), Some(capability));
        for cut in 0..value.len() {
            assert_eq!(Capability::decode(&value[..cut]), None);
        }
        for (at, byte) in [(0, 2), (1, 0)] {
            let mut other = value;
            other[at] = byte;
            assert_eq!(Capability::decode(&other), None);
        }
    }

    #[test]
    fn sharing_round_trips() {
        for sharing in [Sharing::Offer { ring_nbytes: 1 << 19 }, Sharing::Accept, Sharing::Decline]
        {
            let mut frame = Vec::new();
            encode_sharing(&mut frame, sharing);
            let header = parse_header(&frame).unwrap().unwrap();
            assert_eq!(
                Command::parse(&frame[header.header_nbytes..], 0),
                Ok(Command::Sharing(sharing))
            );
        }
    }

    #[test]
    fn malformed_sharing_is_an_error() {
        for data in [&b""[..], b"\x01", b"\x02\x02", b"\x01\x04", b"\x01\x02x", b"\x01\x01short"] {
            assert!(Sharing::parse(data, 0).is_err(), "{data:?}");
        }
    }
}
