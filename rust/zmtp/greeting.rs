//! The 64 bytes that open a connection (ZMTP 3.1, "The greeting").
//!
//! | offset | size | meaning |
//! | --- | --- | --- |
//! | 0 | 10 | signature: 0xFF, 8 bytes that are ignored, 0x7F |
//! | 10 | 2 | version: major 3, minor |
//! | 12 | 20 | mechanism, ASCII, padded with zeros |
//! | 32 | 1 | as-server |
//! | 33 | 31 | filler |

use super::Error;

/// Bytes of a greeting.
pub const GREETING_BYTES: usize = 64;

const MAJOR: u8 = 3;
const MINOR: u8 = 1;
const MECHANISM: std::ops::Range<usize> = 12..32;

/// Make our greeting: version 3.1, mechanism NULL.
#[must_use]
pub fn encode_greeting() -> [u8; GREETING_BYTES] {
    let mut bytes = [0; GREETING_BYTES];
    bytes[0] = 0xFF;
    bytes[9] = 0x7F;
    bytes[10] = MAJOR;
    bytes[11] = MINOR;
    bytes[12..16].copy_from_slice(b"NULL");
    bytes
}

/// Check as much of a peer's greeting as has come; `Ok(true)` once it is whole.
///
/// # Errors
///
/// As soon as a byte shows that the peer does not speak ZMTP 3 with NULL.
pub fn check_greeting(bytes: &[u8]) -> Result<bool, Error> {
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
        return Ok(false);
    }
    let mechanism = &bytes[MECHANISM];
    let name = mechanism.split(|&b| b == 0).next().unwrap_or_default();
    if name != b"NULL" || mechanism[4..].iter().any(|&b| b != 0) {
        return Err(Error::refused(format!(
            "peer asks for mechanism {}; this side speaks NULL",
            String::from_utf8_lossy(name).escape_debug()
        )));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_greeting_is_accepted_at_its_last_byte() {
        let bytes = encode_greeting();
        for cut in 0..GREETING_BYTES {
            assert_eq!(check_greeting(&bytes[..cut]), Ok(false));
        }
        assert_eq!(check_greeting(&bytes), Ok(true));
    }

    #[test]
    fn minor_version_0_is_accepted() {
        let mut bytes = encode_greeting();
        bytes[11] = 0;
        assert_eq!(check_greeting(&bytes), Ok(true));
    }

    #[test]
    fn other_protocols_versions_and_mechanisms_are_refused() {
        assert!(check_greeting(b"GET / HTTP/1.1").is_err());
        for (at, byte) in [(0, 0), (9, 0), (10, 1), (10, 2), (12, b'C'), (16, b'L')] {
            let mut bytes = encode_greeting();
            bytes[at] = byte;
            assert!(check_greeting(&bytes).is_err(), "byte {at}");
        }
    }
}
