//! Frame headers: flags and length (docs/wire.md, "Frames").

const MORE: u8 = 0b001;
const LONG: u8 = 0b010;
const COMMAND: u8 = 0b100;

/// The longest header: flags and a 64-bit length.
pub const MAX_HEADER_BYTES: usize = 9;

/// What a frame says of itself before its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Another frame of the same message follows.
    pub more: bool,
    /// The body is a command, not a part of a message.
    pub command: bool,
    /// Bytes of the body. Untrusted: check it against a limit before allocating.
    pub nbytes: u64,
    /// Bytes that the header itself took.
    pub header_nbytes: usize,
}

/// Parse the header that `bytes` starts with; `Ok(None)` asks for more bytes.
///
/// # Errors
///
/// The reason, if the flags are none that the protocol defines.
#[inline]
pub fn parse_header(bytes: &[u8]) -> Result<Option<Header>, &'static str> {
    let Some(&flags) = bytes.first() else {
        return Ok(None);
    };
    if flags & !(MORE | LONG | COMMAND) != 0 {
        return Err("reserved flag bits are set");
    }
    if flags & (MORE | COMMAND) == MORE | COMMAND {
        return Err("command with the MORE flag");
    }
    let (nbytes, header_nbytes) = if flags & LONG == 0 {
        match bytes.get(1) {
            Some(&short) => (u64::from(short), 2),
            None => return Ok(None),
        }
    } else {
        match bytes.get(1..MAX_HEADER_BYTES).and_then(|b| b.try_into().ok()) {
            Some(long) => (u64::from_be_bytes(long), MAX_HEADER_BYTES),
            None => return Ok(None),
        }
    };
    Ok(Some(Header {
        more: flags & MORE != 0,
        command: flags & COMMAND != 0,
        nbytes,
        header_nbytes,
    }))
}

/// Append the header of a frame of `nbytes` to `out`.
#[inline]
pub fn encode_header(out: &mut Vec<u8>, nbytes: usize, more: bool, command: bool) {
    let flags = (u8::from(more) * MORE) | (u8::from(command) * COMMAND);
    match u8::try_from(nbytes) {
        Ok(short) => out.extend_from_slice(&[flags, short]),
        Err(_) => {
            out.push(flags | LONG);
            out.extend_from_slice(&(nbytes as u64).to_be_bytes());
        }
    }
}

/// Bytes that [`encode_header`] writes for a frame of `nbytes`.
#[inline]
#[must_use]
pub fn header_len(nbytes: usize) -> usize {
    if nbytes <= usize::from(u8::MAX) { 2 } else { MAX_HEADER_BYTES }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_of_every_border_length_round_trips() {
        for nbytes in [0, 1, 254, 255, 256, 65_535, 65_536, 1 << 40] {
            for more in [false, true] {
                let mut bytes = Vec::new();
                encode_header(&mut bytes, nbytes, more, false);
                assert_eq!(bytes.len(), header_len(nbytes));
                let header = parse_header(&bytes).unwrap().unwrap();
                assert_eq!(header.nbytes, nbytes as u64);
                assert_eq!((header.more, header.command), (more, false));
                for cut in 0..bytes.len() {
                    assert_eq!(parse_header(&bytes[..cut]), Ok(None));
                }
            }
        }
    }

    #[test]
    fn undefined_flags_are_refused() {
        for flags in 0_u8..=255 {
            let known = flags < 8 && flags & 0b101 != 0b101;
            assert_eq!(parse_header(&[flags, 0, 0, 0, 0, 0, 0, 0, 0]).is_ok(), known);
        }
    }
}
