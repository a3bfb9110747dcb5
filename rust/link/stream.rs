//! A connected, non-blocking byte stream: Unix socket or TCP.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, Result};
use rustix::net::sockopt;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrUnix,
    SocketFlags, SocketType, connect, recv, sendmsg, shutdown, socket_with,
};

/// What the kernel may hold of a Unix stream. Measured for 1 MiB messages between two
/// processes: 64 KiB 2.1 k/s, 208 KiB (the default) 2.7 k/s, 512 KiB 3.9 k/s, 1 MiB
/// 2.8 k/s: beyond the cache of a core it is slower again.
const KERNEL_BUFFER_BYTES: usize = 512 << 10;

const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// One end of a connection.
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
    is_tcp: bool,
}

impl Stream {
    /// Wrap a connection that was accepted non-blocking.
    pub(crate) fn accepted(fd: OwnedFd, is_tcp: bool) -> Result<Self> {
        let stream = Self { fd, is_tcp };
        stream.configure()?;
        Ok(stream)
    }

    /// Start to connect to a Unix socket. It is done at once, or fails.
    pub(crate) fn connect_unix(path: &Path) -> Result<Self> {
        let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
        let stream = Self { fd, is_tcp: false };
        stream.configure()?;
        connect(&stream.fd, &SocketAddrUnix::new(path)?)?;
        Ok(stream)
    }

    /// Start to connect by TCP; it is done when the stream becomes writable and
    /// [`Self::connect_result`] is `Ok`.
    pub(crate) fn connect_tcp(address: SocketAddr) -> Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let fd = socket_with(family, SocketType::STREAM, FLAGS, None)?;
        let stream = Self { fd, is_tcp: true };
        stream.configure()?;
        match connect(&stream.fd, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(stream),
            Err(errno) => Err(errno),
        }
    }

    fn configure(&self) -> Result<()> {
        if self.is_tcp {
            return sockopt::set_tcp_nodelay(&self.fd, true);
        }
        sockopt::set_socket_send_buffer_size(&self.fd, KERNEL_BUFFER_BYTES)
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

    /// Whether the peer has ended the stream and all it sent was read. TCP would still take
    /// what is written then, and lose it; a Unix socket refuses it.
    pub(crate) fn has_ended(&self) -> bool {
        let mut byte = [0; 1];
        self.is_tcp && matches!(recv(&self.fd, &mut byte, RecvFlags::PEEK), Ok((0, _)))
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
