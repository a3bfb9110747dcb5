//! A peer made of a bare Unix socket, which can misbehave.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use busduct::zmtp::{
    GREETING_BYTES, SocketType, encode_greeting, encode_header, encode_ready, parse_header,
};

use crate::drive::{Core, until};

pub(crate) struct Raw {
    stream: UnixStream,
    /// Read and not yet looked at.
    pub(crate) received: Vec<u8>,
    pub(crate) is_ended: bool,
}

impl Raw {
    pub(crate) fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { stream, received: Vec::new(), is_ended: false }
    }

    /// Connect and complete the handshake.
    #[track_caller]
    pub(crate) fn up(context: &mut Core, path: &Path, kind: SocketType, id: &[u8]) -> Self {
        let mut raw = Self::greeted(context, path);
        raw.write(&ready(kind, id));
        raw.take_frame(context);
        raw
    }

    /// Connect and exchange greetings, no more.
    #[track_caller]
    pub(crate) fn greeted(context: &mut Core, path: &Path) -> Self {
        let mut raw = Self::connect(path);
        raw.write(&encode_greeting());
        raw.take(context, GREETING_BYTES);
        raw
    }

    /// Write what must fit into the kernel's buffer.
    #[track_caller]
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Write all, or as much as is taken before the other side hangs up.
    #[track_caller]
    pub(crate) fn write_through(&mut self, context: &mut Core, mut bytes: &[u8]) {
        until(context, |_| {
            while !bytes.is_empty() {
                match self.stream.write(bytes) {
                    Ok(taken) => bytes = &bytes[taken..],
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                    Err(_) => return true,
                }
            }
            true
        });
    }

    /// Read what is there.
    pub(crate) fn read(&mut self) {
        let mut buffer = vec![0; 64 << 10];
        while !self.is_ended {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.is_ended = true,
                Ok(nbytes) => self.received.extend_from_slice(&buffer[..nbytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.is_ended = true,
            }
        }
    }

    /// Wait for `nbytes` and take them.
    #[track_caller]
    pub(crate) fn take(&mut self, context: &mut Core, nbytes: usize) -> Vec<u8> {
        until(context, |_| {
            self.read();
            assert!(!self.is_ended || self.received.len() >= nbytes, "hung up");
            self.received.len() >= nbytes
        });
        self.received.drain(..nbytes).collect()
    }

    /// Wait for one frame; its body.
    #[track_caller]
    pub(crate) fn take_frame(&mut self, context: &mut Core) -> Vec<u8> {
        let mut header = None;
        until(context, |_| {
            self.read();
            header = parse_header(&self.received).unwrap();
            assert!(!self.is_ended || header.is_some(), "hung up");
            header.is_some()
        });
        let header = header.unwrap();
        let frame = self.take(context, header.header_nbytes + header.nbytes as usize);
        frame[header.header_nbytes..].to_vec()
    }

    #[track_caller]
    pub(crate) fn until_ended(&mut self, context: &mut Core) {
        until(context, |_| {
            self.read();
            self.is_ended
        });
    }
}

pub(crate) fn ready(kind: SocketType, id: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_ready(&mut frame, kind, id, None);
    frame
}

pub(crate) fn frame(payload: &[u8], more: bool) -> Vec<u8> {
    framed(payload, more, false)
}

pub(crate) fn command(body: &[u8]) -> Vec<u8> {
    framed(body, false, true)
}

fn framed(payload: &[u8], more: bool, command: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_header(&mut bytes, payload.len(), more, command);
    bytes.extend_from_slice(payload);
    bytes
}

pub(crate) fn ping(context: &[u8]) -> Vec<u8> {
    command(&[b"\x04PING\x00\x0a", context].concat())
}
