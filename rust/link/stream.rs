//! A connected, non-blocking byte stream: Unix socket or TCP.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, Result};
use rustix::net::sockopt;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketAddrUnix, SocketFlags,
    SocketType, connect, recv, recvmsg, sendmsg, shutdown, socket_with,
};

use super::KernelOptions;
use super::credentials::check_user;

const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// Descriptors that come with one read; the kernel closes the rest.
const MAX_DESCRIPTORS: usize = 4;

/// Descriptors that came with what was read, and are not used yet.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) fds: VecDeque<OwnedFd>,
    /// The kernel closed some that this process had no room for.
    pub(crate) lacks_some: bool,
}

/// One end of a connection.
#[derive(Debug)]
pub struct Stream {
    /// Shared with what keeps the connection open beyond its link.
    fd: Arc<OwnedFd>,
    is_tcp: bool,
}

impl Stream {
    /// Wrap a connection that was accepted non-blocking.
    pub(crate) fn accepted(fd: OwnedFd, is_tcp: bool, kernel: &KernelOptions) -> Result<Self> {
        kernel.apply(fd.as_fd(), is_tcp)?;
        Ok(Self { fd: Arc::new(fd), is_tcp })
    }

    /// Start to connect to a Unix socket. It is done at once, or fails: with `PERM` where
    /// another user listens.
    pub(crate) fn connect_unix(path: &Path, kernel: &KernelOptions) -> Result<Self> {
        let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
        kernel.apply(fd.as_fd(), false)?;
        connect(&fd, &SocketAddrUnix::new(path)?)?;
        check_user(&fd)?;
        Ok(Self { fd: Arc::new(fd), is_tcp: false })
    }

    /// Start to connect by TCP; it is done when the stream becomes writable and
    /// [`Self::connect_result`] is `Ok`.
    pub(crate) fn connect_tcp(address: SocketAddr, kernel: &KernelOptions) -> Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let fd = socket_with(family, SocketType::STREAM, FLAGS, None)?;
        kernel.apply(fd.as_fd(), true)?;
        match connect(&fd, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(Self { fd: Arc::new(fd), is_tcp: true }),
            Err(errno) => Err(errno),
        }
    }

    /// How the attempt to connect ended.
    pub(crate) fn connect_result(&self) -> Result<()> {
        sockopt::socket_error(&self.fd)?
    }

    pub(crate) fn is_tcp(&self) -> bool {
        self.is_tcp
    }

    #[inline]
    pub(crate) fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        rustix::io::read(&self.fd, buffer)
    }

    #[inline]
    pub(crate) fn write(&self, slices: &[IoSlice<'_>]) -> Result<usize> {
        let mut no_control = SendAncillaryBuffer::default();
        sendmsg(&self.fd, slices, &mut no_control, SendFlags::NOSIGNAL)
    }

    /// Read, and keep the descriptors that come with the bytes.
    pub(crate) fn read_with(&self, buffer: &mut [u8], received: &mut Received) -> Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(buffer)];
        let num_before = received.fds.len();
        let read = recvmsg(&self.fd, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                received.fds.extend(fds);
            }
        }
        // What exceeds our space is the peer's fault, and no lack.
        let num_new = received.fds.len() - num_before;
        received.lacks_some |=
            read.flags.contains(ReturnFlags::CTRUNC) && num_new < MAX_DESCRIPTORS;
        Ok(read.bytes)
    }

    /// Write `bytes`, and hand over `fds` with the first of them.
    pub(crate) fn send_with(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(Errno::INVAL);
        }
        sendmsg(&self.fd, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
    }

    /// The descriptor, to be kept open beyond the stream.
    pub(crate) fn line(&self) -> Arc<OwnedFd> {
        self.fd.clone()
    }

    /// Whether the peer has ended the stream and all it sent was read. TCP would still take
    /// what is written then, and lose it; a Unix socket refuses it.
    pub(crate) fn has_ended(&self) -> bool {
        let mut byte = [0; 1];
        self.is_tcp && matches!(recv(&self.fd, &mut byte, RecvFlags::PEEK), Ok((0, _)))
    }

    /// Whether nothing waits to be read, not even the end.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut byte = [0; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        matches!(recv(&self.fd, &mut byte, flags), Err(Errno::AGAIN))
    }

    /// Whether the peer has ended the stream, read to its end or not.
    pub(crate) fn is_hung_up(&self) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::RDHUP)];
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|num_ready| num_ready > 0)
    }

    /// Tell the peer that nothing more comes.
    pub(crate) fn shutdown_write(&self) -> Result<()> {
        shutdown(&self.fd, Shutdown::Write)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
