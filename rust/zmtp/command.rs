//! Commands: READY, ERROR, PING, PONG, SUBSCRIBE and CANCEL (docs/wire.md,
//! "Commands").

use super::{Capability, Error, Sharing, SocketType, encode_header};

/// The largest command that is accepted; a READY of libzmq takes some 50 bytes.
pub const MAX_COMMAND_BYTES: u64 = 8192;

const MAX_PING_CONTEXT: usize = 16;
const CAPABILITY: &[u8] = b"X-Busduct";

/// A command from a peer, borrowing its bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Command<'a> {
    Ready(Ready<'a>),
    /// The peer refuses us, and why.
    Error(&'a [u8]),
    /// Asks for a PONG with the same context.
    Ping {
        /// Silence after which the peer wants to be given up, in tenths of a second; 0 for
        /// never.
        ttl: u16,
        context: &'a [u8],
    },
    Pong,
    /// The peer wants what starts with a topic.
    Subscribe(&'a [u8]),
    /// It wants that no more.
    Cancel(&'a [u8]),
    /// It speaks of shared memory.
    Sharing(Sharing),
    /// Well-formed and none of ours; to be ignored.
    Unknown,
}

/// The properties of READY that matter here.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ready<'a> {
    pub socket_type: &'a [u8],
    /// The routing id; empty if the peer has none.
    pub identity: &'a [u8],
    /// Of a peer that can share memory.
    pub capability: Option<Capability>,
}

impl<'a> Command<'a> {
    /// Parse a command's body, which started at `offset` of the peer's stream.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if a length in it points past its end.
    pub fn parse(body: &'a [u8], offset: u64) -> Result<Self, Error> {
        let (name, rest) = split_short(body)
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| Error::malformed(offset, "command without a name"))?;
        match name {
            b"READY" => Ok(Self::Ready(Ready::parse(rest, offset)?)),
            b"ERROR" => split_short(rest)
                .map(|(reason, _)| Self::Error(reason))
                .ok_or_else(|| Error::malformed(offset, "ERROR with a wrong length")),
            b"PING" => match rest.split_first_chunk() {
                Some((&ttl, context)) if context.len() <= MAX_PING_CONTEXT => {
                    Ok(Self::Ping { ttl: u16::from_be_bytes(ttl), context })
                }
                _ => Err(Error::malformed(offset, "PING with a wrong length")),
            },
            b"PONG" => Ok(Self::Pong),
            b"SUBSCRIBE" => Ok(Self::Subscribe(rest)),
            b"CANCEL" => Ok(Self::Cancel(rest)),
            b"SHM" => Sharing::parse(rest, offset).map(Self::Sharing),
            _ => Ok(Self::Unknown),
        }
    }
}

impl<'a> Ready<'a> {
    fn parse(mut rest: &'a [u8], offset: u64) -> Result<Self, Error> {
        let mut ready = Self::default();
        while !rest.is_empty() {
            let (name, value, next) = split_property(rest)
                .ok_or_else(|| Error::malformed(offset, "READY with a wrong length"))?;
            if name.eq_ignore_ascii_case(b"Socket-Type") {
                ready.socket_type = value;
            } else if name.eq_ignore_ascii_case(b"Identity") {
                if value.len() > 255 {
                    return Err(Error::malformed(offset, "routing id over 255 bytes"));
                }
                ready.identity = value;
            } else if name.eq_ignore_ascii_case(CAPABILITY) {
                ready.capability = Capability::decode(value);
            }
            rest = next;
        }
        Ok(ready)
    }
}

/// Append the frame of our READY to `out`.
pub fn encode_ready(
    out: &mut Vec<u8>,
    kind: SocketType,
    identity: &[u8],
    capability: Option<&Capability>,
) {
    let mut body = b"\x05READY".to_vec();
    push_property(&mut body, b"Socket-Type", kind.name().as_bytes());
    push_property(&mut body, b"Identity", identity);
    if let Some(capability) = capability {
        push_property(&mut body, CAPABILITY, &capability.encode());
    }
    push_command(out, &body);
}

/// Append the frame of an ERROR to `out`; a reason over 255 bytes is cut.
pub fn encode_error(out: &mut Vec<u8>, reason: &str) {
    let reason = &reason.as_bytes()[..reason.len().min(255)];
    let mut body = b"\x05ERROR".to_vec();
    body.push(reason.len() as u8);
    body.extend_from_slice(reason);
    push_command(out, &body);
}

/// Append the frame of a PING to `out`; `ttl` as in [`Command::Ping`].
pub fn encode_ping(out: &mut Vec<u8>, ttl: u16) {
    let mut body = b"\x04PING".to_vec();
    body.extend_from_slice(&ttl.to_be_bytes());
    push_command(out, &body);
}

/// Append the frame of the PONG that answers a PING to `out`.
pub fn encode_pong(out: &mut Vec<u8>, context: &[u8]) {
    let mut body = b"\x04PONG".to_vec();
    body.extend_from_slice(context);
    push_command(out, &body);
}

/// Append the frame that tells a peer of ZMTP 3.`minor` of a subscription to `out`: a
/// command or, before 3.1, a message.
pub fn encode_subscription(out: &mut Vec<u8>, minor: u8, subscribe: bool, topic: &[u8]) {
    if minor == 0 {
        encode_header(out, 1 + topic.len(), false, false);
        out.push(u8::from(subscribe));
        out.extend_from_slice(topic);
        return;
    }
    let name: &[u8] = if subscribe { b"\x09SUBSCRIBE" } else { b"\x06CANCEL" };
    encode_header(out, name.len() + topic.len(), false, true);
    out.extend_from_slice(name);
    out.extend_from_slice(topic);
}

pub(super) fn push_command(out: &mut Vec<u8>, body: &[u8]) {
    encode_header(out, body.len(), false, true);
    out.extend_from_slice(body);
}

fn push_property(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(name.len() as u8);
    out.extend_from_slice(name);
    out.extend_from_slice(&(value.len() as u32).to_be_bytes());
    out.extend_from_slice(value);
}

fn split_short(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(len))
}

fn split_property(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, rest) = split_short(bytes)?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
    Some((name, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zmtp::parse_header;

    fn body(frame: &[u8]) -> &[u8] {
        let header = parse_header(frame).unwrap().unwrap();
        assert!(header.command);
        assert_eq!(header.header_nbytes + header.nbytes as usize, frame.len());
        &frame[header.header_nbytes..]
    }

    #[test]
    fn ready_round_trips() {
        let capability = Capability { boot_id: [1; 16], pid_namespace: 2 };
        for capability in [None, Some(capability)] {
            let mut frame = Vec::new();
            encode_ready(&mut frame, SocketType::Dealer, b"worker-7", capability.as_ref());
            let expected = Ready { socket_type: b"DEALER", identity: b"worker-7", capability };
            assert_eq!(Command::parse(body(&frame), 0), Ok(Command::Ready(expected)));
        }
    }

    #[test]
    fn ready_cut_short_is_malformed() {
        let mut frame = Vec::new();
        encode_ready(&mut frame, SocketType::Push, b"x", None);
        let body = body(&frame);
        let whole = [6, 6 + 1 + 11 + 4 + 4];
        for cut in 0..body.len() {
            let parsed = Command::parse(&body[..cut], 0);
            assert_eq!(parsed.is_ok(), whole.contains(&cut), "cut at {cut}");
        }
    }

    #[test]
    fn ping_round_trips() {
        let mut frame = Vec::new();
        encode_ping(&mut frame, 0x1234);
        assert_eq!(frame, b"\x04\x07\x04PING\x12\x34");
        let expected = Command::Ping { ttl: 0x1234, context: b"" };
        assert_eq!(Command::parse(body(&frame), 0), Ok(expected));
    }

    #[test]
    fn ping_with_a_context_over_16_bytes_is_malformed() {
        let mut ping = b"\x04PING\x00\x0a".to_vec();
        ping.extend_from_slice(&[7; 16]);
        assert_eq!(Command::parse(&ping, 0), Ok(Command::Ping { ttl: 10, context: &[7; 16] }));
        ping.push(7);
        assert!(Command::parse(&ping, 0).is_err());
        assert!(Command::parse(b"\x04PING\x00", 0).is_err());
    }

    #[test]
    fn subscriptions_are_commands_from_minor_version_1_and_messages_before() {
        for (subscribe, parsed) in
            [(true, Command::Subscribe(b"topic")), (false, Command::Cancel(b"topic"))]
        {
            let mut frame = Vec::new();
            encode_subscription(&mut frame, 1, subscribe, b"topic");
            assert_eq!(Command::parse(body(&frame), 0), Ok(parsed));
            frame.clear();
            encode_subscription(&mut frame, 0, subscribe, b"topic");
            assert_eq!(frame, [b"\x00\x06", &[u8::from(subscribe)][..], b"topic"].concat());
        }
    }

    #[test]
    fn unknown_commands_parse_and_nameless_ones_do_not() {
        assert_eq!(Command::parse(b"\x03FOOxyz", 0), Ok(Command::Unknown));
        assert!(Command::parse(b"", 0).is_err());
        assert!(Command::parse(b"\x00", 0).is_err());
        assert!(Command::parse(b"\x09SHORT", 0).is_err());
    }
}
