//! Find long strings in a msgpack value. Pure functions on bytes.

/// A string in a value: its token from `token` on, its text from `start` to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongString {
    pub token: usize,
    pub start: usize,
    pub end: usize,
}

/// Return the strings of at least `min_nbytes`, in their order.
///
/// `None` for what is cut off or no msgpack, and for what has extensions; that the value is
/// whole in any other respect is not looked at. Each byte of a token is read once, so that it
/// does not matter whether somebody changes them meanwhile.
#[must_use]
pub fn long_strings(bytes: &[u8], min_nbytes: usize) -> Option<Vec<LongString>> {
    let mut found = Vec::new();
    let mut token = 0;
    while token < bytes.len() {
        let (start, nbytes, is_string) = content(bytes, token)?;
        let end = start.checked_add(nbytes).filter(|&end| end <= bytes.len())?;
        if is_string && nbytes >= min_nbytes {
            found.push(LongString { token, start, end });
        }
        token = end;
    }
    Some(found)
}

/// Where the content of a token begins, how long it is, and whether it is text. Of arrays and
/// maps, the elements are tokens that follow.
fn content(bytes: &[u8], token: usize) -> Option<(usize, usize, bool)> {
    let after = token + 1;
    let kind = bytes[token];
    let (start, nbytes) = match kind {
        0x00..=0x9f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => (after, 0),
        0xa0..=0xbf => (after, usize::from(kind & 0x1f)),
        0xc4 | 0xd9 => (after + 1, length::<1>(bytes, after)?),
        0xc5 | 0xda => (after + 2, length::<2>(bytes, after)?),
        0xc6 | 0xdb => (after + 4, length::<4>(bytes, after)?),
        0xcc | 0xd0 => (after, 1),
        0xcd | 0xd1 | 0xdc | 0xde => (after, 2),
        0xca | 0xce | 0xd2 | 0xdd | 0xdf => (after, 4),
        0xcb | 0xcf | 0xd3 => (after, 8),
        0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => return None,
    };
    Some((start, nbytes, matches!(kind, 0xa0..=0xbf | 0xd9..=0xdb)))
}

/// The big-endian number of `N` bytes at `start`.
fn length<const N: usize>(bytes: &[u8], start: usize) -> Option<usize> {
    let field = bytes.get(start..)?.first_chunk::<N>()?;
    Some(field.iter().fold(0, |number, &byte| (number << 8) | usize::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One token of each kind that has no text, then a text of 3 bytes.
    fn one_of_each() -> Vec<u8> {
        let mut bytes = vec![0x07, 0x81, 0x91, 0xc0, 0xc2, 0xc3, 0xff];
        bytes.extend([0xc4, 1, 9, 0xc5, 0, 1, 9, 0xc6, 0, 0, 0, 1, 9]);
        bytes.extend([0xcc, 1, 0xd0, 1, 0xcd, 1, 1, 0xd1, 1, 1, 0xce, 1, 1, 1, 1]);
        bytes.extend([0xd2, 1, 1, 1, 1, 0xca, 1, 1, 1, 1]);
        for kind in [0xcb, 0xcf, 0xd3] {
            bytes.push(kind);
            bytes.extend([0xdb; 8]);
        }
        bytes.extend([0xdc, 0, 1, 0xdd, 0, 0, 0, 1, 0xde, 0, 1, 0xdf, 0, 0, 0, 1]);
        bytes.extend(*b"\xa3abc");
        bytes
    }

    #[test]
    fn finds_strings_of_each_form_and_nothing_else() {
        let bytes = one_of_each();
        let at = bytes.len();
        let text = LongString { token: at - 4, start: at - 3, end: at };
        assert_eq!(long_strings(&bytes, 1), Some(vec![text]));
        for (header, text) in [(&b"\xd9\x03"[..], 2), (b"\xda\0\x03", 3), (b"\xdb\0\0\0\x03", 5)] {
            let bytes = [header, b"abc"].concat();
            let found = LongString { token: 0, start: text, end: text + 3 };
            assert_eq!(long_strings(&bytes, 3), Some(vec![found]));
            assert_eq!(long_strings(&bytes, 4), Some(vec![]));
        }
    }

    #[test]
    fn refuses_what_is_cut_off() {
        let bytes = one_of_each();
        let starts: Vec<_> =
            (0..=bytes.len()).filter(|&at| at == bytes.len() || is_start(at)).collect();
        for end in 0..bytes.len() {
            assert_eq!(long_strings(&bytes[..end], 1).is_some(), starts.contains(&end), "{end}");
        }
    }

    /// Whether a token of `one_of_each` begins at an offset.
    fn is_start(at: usize) -> bool {
        let bytes = one_of_each();
        let mut token = 0;
        while token < at {
            let (start, nbytes, _) = content(&bytes, token).unwrap();
            token = start + nbytes;
        }
        token == at
    }

    #[test]
    fn refuses_extensions_and_what_is_no_token() {
        for kind in [0xc1, 0xc7, 0xc8, 0xc9, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8] {
            assert_eq!(long_strings(&[0x92, 0xc0, kind, 0, 0, 0, 0, 0], 1), None);
        }
    }

    #[test]
    fn length_beyond_all_bytes_is_refused() {
        assert_eq!(long_strings(b"\xdb\xff\xff\xff\xffabc", 1), None);
    }
}
