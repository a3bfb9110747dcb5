//! The 64 bytes that open a connection (docs/wire.md, "Greeting").

use super::{Error, Role};

/// Bytes of a greeting.
pub const GREETING_BYTES: usize = 64;

const MAJOR: u8 = 3;
const MINOR: u8 = 1;
const MECHANISM: std::ops::Range<usize> = 12..32;
const AS_SERVER: usize = 32;

/// How two sides make sure of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// Not at all.
    Null,
    /// By a key; the role is our own.
    Busduct(Role),
}

impl Mechanism {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Null => b"NULL",
            Self::Busduct(_) => b"BUSDUCT",
        }
    }

    /// Make our greeting: version 3.1 and this mechanism.
    #[must_use]
    pub fn greeting(self) -> [u8; GREETING_BYTES] {
        let mut bytes = [0; GREETING_BYTES];
        bytes[0] = 0xFF;
        bytes[9] = 0x7F;
        bytes[10] = MAJOR;
        bytes[11] = MINOR;
        bytes[MECHANISM][..self.name().len()].copy_from_slice(self.name());
        bytes[AS_SERVER] = u8::from(self == Self::Busduct(Role::Server));
        bytes
    }

    /// Check as much of a peer's greeting as has come; once it is whole, return the minor
    /// version that it speaks.
    ///
    /// # Errors
    ///
    /// As soon as a byte shows that the peer does not speak ZMTP 3 with this mechanism.
    pub fn check(self, bytes: &[u8]) -> Result<Option<u8>, Error> {
        if bytes.first().is_some_and(|&b| b != 0xFF) {
            return Err(Error::malformed(0, "not a ZMTP greeting"));
        }
        if bytes.get(9).is_some_and(|&b| b != 0x7F) {
            return Err(Error::malformed(9, "not a ZMTP greeting"));
        }
        if let Some(&major) = bytes.get(10)
            && major < MAJOR
        {
            return Err(Error::refused(format!(
                "peer speaks ZMTP {major}; this side speaks {MAJOR}.{MINOR}"
            )));
        }
        if bytes.len() < GREETING_BYTES {
            return Ok(None);
        }
        self.check_mechanism(&bytes[MECHANISM], bytes[AS_SERVER])?;
        Ok(Some(bytes[11]))
    }

    fn check_mechanism(self, mechanism: &[u8], as_server: u8) -> Result<(), Error> {
        let name = mechanism.split(|&b| b == 0).next().unwrap_or_default();
        if name != self.name() || mechanism[name.len()..].iter().any(|&b| b != 0) {
            return Err(Error::refused(format!(
                "peer asks for mechanism {}; this side speaks {}",
                String::from_utf8_lossy(name).escape_debug(),
                String::from_utf8_lossy(self.name()),
            )));
        }
        match self {
            Self::Busduct(role) if as_server != u8::from(role == Role::Client) => {
                Err(Error::refused("both sides bound, or both connected"))
            }
            _ => Ok(()),
        }
    }
}

/// Make the greeting of a side without a key.
#[must_use]
pub fn encode_greeting() -> [u8; GREETING_BYTES] {
    Mechanism::Null.greeting()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_greeting_is_accepted_at_its_last_byte() {
        let bytes = encode_greeting();
        for cut in 0..GREETING_BYTES {
            assert_eq!(Mechanism::Null.check(&bytes[..cut]), Ok(None));
        }
        assert_eq!(Mechanism::Null.check(&bytes), Ok(Some(1)));
    }

    #[test]
    fn minor_version_0_is_accepted() {
        let mut bytes = encode_greeting();
        bytes[11] = 0;
        assert_eq!(Mechanism::Null.check(&bytes), Ok(Some(0)));
    }

    #[test]
    fn other_protocols_versions_and_mechanisms_are_refused() {
        assert!(Mechanism::Null.check(b"GET / HTTP/1.1").is_err());
        for (at, byte) in [(0, 0), (9, 0), (10, 1), (10, 2), (12, b'C'), (16, b'L')] {
            let mut bytes = encode_greeting();
            bytes[at] = byte;
            assert!(Mechanism::Null.check(&bytes).is_err(), "byte {at}");
        }
    }
    #[test]
    fn each_mechanism_wants_itself_and_the_other_role() {
        let (client, server) = (Mechanism::Busduct(Role::Client), Mechanism::Busduct(Role::Server));
        for (mechanism, wanted) in
            [(Mechanism::Null, Mechanism::Null), (client, server), (server, client)]
        {
            for peer in [Mechanism::Null, client, server] {
                let is_accepted = mechanism.check(&peer.greeting()).is_ok();
                assert_eq!(is_accepted, peer == wanted, "{mechanism:?} hears {peer:?}");
            }
        }
    }

    #[test]
    fn refusal_names_both_mechanisms() {
        let error = Mechanism::Busduct(Role::Server).check(&encode_greeting()).unwrap_err();
        assert_eq!(error.to_string(), "peer asks for mechanism NULL; this side speaks BUSDUCT");
    }
}
