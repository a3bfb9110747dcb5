//! Tests that take a process of their own, or two that speak over a Unix socket.
//!
//! The process is this test program once more, told by its environment to run one test; a
//! second process finds its end of the socket at its standard input.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

const ROLE: &str = "BUSDUCT_TEST_ROLE";
const MAX_FDS: usize = 4;

fn is_role(name: &str) -> bool {
    std::env::var(ROLE).is_ok_and(|role| role == name)
}

fn program(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture", "--include-ignored"]).env(ROLE, name);
    command
}

/// Run the test `name`, whose body is `body`, in a process of its own.
pub(crate) fn alone(name: &str, body: impl FnOnce()) {
    if is_role(name) {
        return body();
    }
    let output = program(name).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {text}", output.status);
    // The name of a test that was renamed would run nothing.
    assert!(text.contains("1 passed"), "{text}");
}

/// Run the test `name`: `body` here, with another process that runs `peer`.
pub(crate) fn with_peer(name: &str, peer: impl FnOnce(Line), body: impl Fn(Line, Peer)) {
    if is_role(name) {
        return peer(Line(std::io::stdin().as_fd().try_clone_to_owned().unwrap()));
    }
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    let child = program(name).stdin(theirs).stdout(Stdio::null()).spawn().unwrap();
    body(Line(ours), Peer(child));
}

/// The other process; killed when dropped.
pub(crate) struct Peer(Child);

impl Peer {
    /// Kill it, and wait until it is gone.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A socket that keeps messages apart and carries descriptors.
pub(crate) struct Line(pub(crate) OwnedFd);

impl Line {
    /// Send a message; false if the other side is gone.
    pub(crate) fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> bool {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(fds.is_empty() || control.push(SendAncillaryMessage::ScmRights(fds)));
        sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).is_ok()
    }

    /// Wait for a message; `None` if the other side is gone.
    pub(crate) fn recv(&self) -> Option<(Vec<u8>, Vec<OwnedFd>)> {
        let mut bytes = [0; 256];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let nbytes = recvmsg(&self.0, &mut slices, &mut control, flags).ok()?.bytes;
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds.extend(rights);
            }
        }
        (nbytes > 0).then(|| (bytes[..nbytes].to_vec(), fds))
    }
}
