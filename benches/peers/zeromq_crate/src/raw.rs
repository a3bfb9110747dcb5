//! A peer made of plain blocking sockets, so that a case decides every byte it sends.

use std::io::{self, Read, Write};

const FLAG_LONG: u8 = 2;
const FLAG_COMMAND: u8 = 4;

/// Greets with `mechanism`, announces `socket_type`, and waits for the peer's READY.
///
/// # Errors
/// What the stream gives; `InvalidData` if the peer answers with something else.
pub fn handshake<S: Read + Write>(
    stream: &mut S,
    socket_type: &str,
    mechanism: &str,
) -> io::Result<()> {
    let mut greeting = [0_u8; 64];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[11] = 1;
    greeting[12..12 + mechanism.len()].copy_from_slice(mechanism.as_bytes());
    stream.write_all(&greeting)?;
    stream.read_exact(&mut greeting)?;

    let mut ready = b"\x05READY\x0bSocket-Type".to_vec();
    ready.extend((socket_type.len() as u32).to_be_bytes());
    ready.extend(socket_type.as_bytes());
    write_short(stream, FLAG_COMMAND, &ready)?;
    let (flags, body) = read_frame(stream)?;
    if flags & FLAG_COMMAND == 0 || !body.starts_with(b"\x05READY") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no READY"));
    }
    Ok(())
}

/// Sends a PING with a time to live of one second, as libzmq does.
///
/// # Errors
/// What the stream gives.
pub fn write_ping<S: Write>(stream: &mut S) -> io::Result<()> {
    write_short(stream, FLAG_COMMAND, b"\x04PING\x00\x0a")
}

/// Sends the nine bytes that announce a frame of `length`, and nothing of it.
///
/// # Errors
/// What the stream gives.
pub fn write_long_header<S: Write>(stream: &mut S, length: u64) -> io::Result<()> {
    let mut header = [FLAG_LONG; 9];
    header[1..].copy_from_slice(&length.to_be_bytes());
    stream.write_all(&header)
}

/// Reads one frame: its flags and its body.
///
/// # Errors
/// What the stream gives; `UnexpectedEof` at its end.
pub fn read_frame<S: Read>(stream: &mut S) -> io::Result<(u8, Vec<u8>)> {
    let mut flags = [0_u8];
    stream.read_exact(&mut flags)?;
    let length = if flags[0] & FLAG_LONG == 0 {
        let mut short = [0_u8];
        stream.read_exact(&mut short)?;
        u64::from(short[0])
    } else {
        let mut long = [0_u8; 8];
        stream.read_exact(&mut long)?;
        u64::from_be_bytes(long)
    };
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body)?;
    Ok((flags[0], body))
}

fn write_short<S: Write>(stream: &mut S, flags: u8, body: &[u8]) -> io::Result<()> {
    let length = u8::try_from(body.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "over 255 bytes"))?;
    let mut frame = vec![flags, length];
    frame.extend(body);
    stream.write_all(&frame)
}
