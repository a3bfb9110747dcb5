//! A peer made of a bare Unix socket that hands over what it likes.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use busduct::context::Context;
use busduct::link::Buffer;
use busduct::zmtp::{
    Capability, Command, GREETING_BYTES, Sharing, SocketType, encode_greeting, encode_header,
    encode_ready, encode_sharing, parse_header,
};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::drive::until;

/// As many as the kernel takes with one write.
pub(crate) const MAX_FDS: usize = 253;

pub(crate) struct Raw {
    socket: UnixStream,
    /// Read and not yet looked at.
    pub(crate) received: Vec<u8>,
    pub(crate) fds: VecDeque<OwnedFd>,
    pub(crate) is_ended: bool,
}

impl Raw {
    pub(crate) fn connect(path: &Path) -> Self {
        let socket = UnixStream::connect(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, received: Vec::new(), fds: VecDeque::new(), is_ended: false }
    }

    /// Connect and exchange greetings, no more.
    #[track_caller]
    pub(crate) fn greeted<B: Buffer>(context: &mut Context<B>, path: &Path) -> Self {
        let mut raw = Self::connect(path);
        raw.write(&encode_greeting());
        raw.take(context, GREETING_BYTES);
        raw
    }

    /// The same, and hear what the other side says of itself.
    #[track_caller]
    pub(crate) fn introduced<B: Buffer>(
        context: &mut Context<B>,
        path: &Path,
    ) -> (Self, Option<Capability>) {
        let mut raw = Self::greeted(context, path);
        let body = raw.take_frame(context);
        match Command::parse(&body, 0).unwrap() {
            Command::Ready(ready) => (raw, ready.capability),
            other => panic!("{other:?}"),
        }
    }

    /// Write what must fit into the kernel's buffer; whether the other side is there.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        self.write_with(bytes, &[])
    }

    /// The same, and hand over `fds` with the first byte.
    pub(crate) fn write_with(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> bool {
        match self.try_write_with(bytes, fds) {
            Ok(taken) => assert_eq!(taken, bytes.len()),
            Err(Errno::PIPE | Errno::CONNRESET) => return false,
            Err(errno) => panic!("{errno}"),
        }
        true
    }

    /// Write what the kernel takes; how much that is.
    pub(crate) fn try_write_with(
        &mut self,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> rustix::io::Result<usize> {
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(fds.is_empty() || control.push(SendAncillaryMessage::ScmRights(fds)));
        sendmsg(&self.socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
    }

    /// Write as much as the kernel takes; how much that is.
    pub(crate) fn flood(&mut self, bytes: &[u8]) -> usize {
        std::io::Write::write(&mut self.socket, bytes).unwrap_or(0)
    }

    /// Read what is there, descriptors too.
    pub(crate) fn read(&mut self) {
        let mut buffer = vec![0; 64 << 10];
        while !self.is_ended {
            match self.read_once(&mut buffer) {
                Ok(0) => self.is_ended = true,
                Ok(nbytes) => self.received.extend_from_slice(&buffer[..nbytes]),
                Err(Errno::AGAIN) => return,
                Err(_) => self.is_ended = true,
            }
        }
    }

    fn read_once(&mut self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(buffer)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let nbytes = recvmsg(&self.socket, &mut slices, &mut control, flags)?.bytes;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                self.fds.extend(rights);
            }
        }
        Ok(nbytes)
    }

    /// Wait for `nbytes` and take them.
    #[track_caller]
    pub(crate) fn take<B: Buffer>(&mut self, context: &mut Context<B>, nbytes: usize) -> Vec<u8> {
        until(context, |_| {
            self.read();
            assert!(!self.is_ended || self.received.len() >= nbytes, "hung up");
            self.received.len() >= nbytes
        });
        self.received.drain(..nbytes).collect()
    }

    /// Wait for one frame; its body.
    #[track_caller]
    pub(crate) fn take_frame<B: Buffer>(&mut self, context: &mut Context<B>) -> Vec<u8> {
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

    /// Wait for what the other side says of shared memory.
    #[track_caller]
    pub(crate) fn take_sharing<B: Buffer>(&mut self, context: &mut Context<B>) -> Sharing {
        let body = self.take_frame(context);
        match Command::parse(&body, 0).unwrap() {
            Command::Sharing(sharing) => sharing,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn until_ended<B: Buffer>(&mut self, context: &mut Context<B>) {
        until(context, |_| {
            self.read();
            self.is_ended
        });
    }
}

pub(crate) fn ready(kind: SocketType, capability: Option<&Capability>) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_ready(&mut frame, kind, b"", capability);
    frame
}

pub(crate) fn offer(ring_nbytes: u64) -> Vec<u8> {
    sharing(Sharing::Offer { ring_nbytes })
}

pub(crate) fn accept() -> Vec<u8> {
    sharing(Sharing::Accept)
}

pub(crate) fn decline() -> Vec<u8> {
    sharing(Sharing::Decline)
}

fn sharing(sharing: Sharing) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_sharing(&mut frame, sharing);
    frame
}

pub(crate) fn frame(payload: &[u8]) -> Vec<u8> {
    framed(payload, false)
}

pub(crate) fn command(body: &[u8]) -> Vec<u8> {
    framed(body, true)
}

fn framed(payload: &[u8], command: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_header(&mut bytes, payload.len(), false, command);
    bytes.extend_from_slice(payload);
    bytes
}

/// Borrow each.
pub(crate) fn borrowed(fds: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    fds.iter().map(AsFd::as_fd).collect()
}
