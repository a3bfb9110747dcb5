//! What the kernel is told of a connection: buffer sizes, probes of silent TCP peers.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::io::Result;
use rustix::net::sockopt;

/// What the kernel may hold of a Unix stream. Measured for 1 MiB messages between two
/// processes: 64 KiB 2.1 k/s, 208 KiB (the default) 2.7 k/s, 512 KiB 3.9 k/s, 1 MiB
/// 2.8 k/s: beyond the cache of a core it is slower again.
const UNIX_SEND_BUFFER_BYTES: usize = 512 << 10;
/// The kernel doubles what it is told, and takes no more than fits its integer.
const MAX_BUFFER_BYTES: usize = (i32::MAX / 2) as usize;
/// The most that Linux takes.
const MAX_KEEPALIVE: Duration = Duration::from_secs(32_767);
const MAX_KEEPALIVE_COUNT: usize = 127;

/// Probes of a silent TCP peer.
#[derive(Debug, Clone)]
pub struct Keepalive {
    /// Silence before the first.
    pub idle: Duration,
    pub interval: Duration,
    /// Unanswered ones that end the connection.
    pub count: usize,
}

/// What the kernel is told of a connection.
#[derive(Debug, Clone, Default)]
pub struct KernelOptions {
    pub keepalive: Option<Keepalive>,
    /// 0 to let the kernel choose.
    pub send_buffer_bytes: usize,
    /// As above.
    pub recv_buffer_bytes: usize,
}

impl KernelOptions {
    /// Tell the kernel, before the socket listens or connects: a TCP window is scaled by
    /// what it knew then. An accepted connection has its listener's buffers.
    pub(super) fn set_buffers(&self, fd: BorrowedFd<'_>, is_tcp: bool) -> Result<()> {
        let own = if is_tcp { 0 } else { UNIX_SEND_BUFFER_BYTES };
        let send = if self.send_buffer_bytes > 0 { self.send_buffer_bytes } else { own };
        if send > 0 {
            sockopt::set_socket_send_buffer_size(fd, send.min(MAX_BUFFER_BYTES))?;
        }
        if self.recv_buffer_bytes > 0 {
            let size = self.recv_buffer_bytes.min(MAX_BUFFER_BYTES);
            sockopt::set_socket_recv_buffer_size(fd, size)?;
        }
        Ok(())
    }

    /// Tell it the rest.
    pub(super) fn apply(&self, fd: BorrowedFd<'_>, is_tcp: bool) -> Result<()> {
        self.set_buffers(fd, is_tcp)?;
        if !is_tcp {
            return Ok(());
        }
        sockopt::set_tcp_nodelay(fd, true)?;
        let Some(keepalive) = &self.keepalive else {
            return Ok(());
        };
        let count = keepalive.count.min(MAX_KEEPALIVE_COUNT) as u32;
        sockopt::set_tcp_keepidle(fd, whole_seconds(keepalive.idle))?;
        sockopt::set_tcp_keepintvl(fd, whole_seconds(keepalive.interval))?;
        sockopt::set_tcp_keepcnt(fd, count)?;
        sockopt::set_socket_keepalive(fd, true)
    }
}

fn whole_seconds(wait: Duration) -> Duration {
    let half = Duration::from_millis(500);
    Duration::from_secs(wait.min(MAX_KEEPALIVE).saturating_add(half).as_secs()).min(MAX_KEEPALIVE)
}
