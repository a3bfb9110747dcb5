//! Whose the other end of a Unix socket is.

use std::os::fd::AsFd;

use rustix::io::{Errno, Result};
use rustix::net::sockopt;
use rustix::process::geteuid;

/// Refuse a peer that is neither of our user nor root; of one that was connected to, the
/// user counts that listened.
///
/// # Errors
///
/// `PERM`, and as `getsockopt(2)`.
pub(super) fn check_user(fd: impl AsFd) -> Result<()> {
    let uid = sockopt::socket_peercred(fd)?.uid;
    if uid == geteuid() || uid.is_root() { Ok(()) } else { Err(Errno::PERM) }
}
