//! Drive a context until something holds, and places for its sockets.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use busduct::context::Context;
use busduct::link::{Buffer, Message};
use busduct::socket::{SocketKey, SocketOptions};
use busduct::zmtp::SocketType;

pub(crate) type Core = Context<Vec<u8>>;

/// Longer than anything here takes, on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const TURN: Duration = Duration::from_millis(20);

pub(crate) fn core() -> Core {
    Context::new().unwrap()
}

/// Run `context` until `holds` says so.
#[track_caller]
pub(crate) fn until<B: Buffer>(
    context: &mut Context<B>,
    mut holds: impl FnMut(&mut Context<B>) -> bool,
) {
    let deadline = Instant::now() + PATIENCE;
    while !holds(context) {
        assert!(Instant::now() < deadline, "waited in vain");
        context.run_once(Some(TURN)).unwrap();
    }
}

/// Do what is ready, and let the kernel forget what was.
pub(crate) fn settle(context: &mut Core) {
    for _ in 0..3 {
        context.run_once(Some(Duration::ZERO)).unwrap();
    }
}

pub(crate) fn message(bytes: impl Into<Vec<u8>>) -> Message<Vec<u8>> {
    Message::Single(bytes.into())
}

/// Wait for the next message's parts.
#[track_caller]
pub(crate) fn recv_parts(context: &mut Core, key: SocketKey) -> Vec<Vec<u8>> {
    let mut got = None;
    until(context, |context| {
        got = context.try_recv(key).unwrap();
        got.is_some()
    });
    got.map(Message::into_parts).unwrap()
}

/// Wait for the next message, which has one part.
#[track_caller]
pub(crate) fn recv(context: &mut Core, key: SocketKey) -> Vec<u8> {
    let mut parts = recv_parts(context, key);
    assert_eq!(parts.len(), 1);
    parts.remove(0)
}

/// Send once there is room.
#[track_caller]
pub(crate) fn send(context: &mut Core, key: SocketKey, bytes: impl Into<Vec<u8>>) {
    let mut waiting = Some(message(bytes));
    until(context, |context| {
        waiting = waiting.take().and_then(|sent| context.try_send(key, sent).err()).map(|e| e.1);
        waiting.is_none()
    });
}

/// Wait until `key` has `num_peers` that are up.
#[track_caller]
pub(crate) fn until_peers<B: Buffer>(context: &mut Context<B>, key: SocketKey, num_peers: usize) {
    until(context, |context| context.statistics(key).num_peers == num_peers);
}

pub(crate) fn open(context: &mut Core, kind: SocketType) -> SocketKey {
    context.open(kind, SocketOptions::default()).unwrap()
}

pub(crate) fn open_with<B: Buffer>(
    context: &mut Context<B>,
    kind: SocketType,
    change: impl FnOnce(&mut SocketOptions),
) -> SocketKey {
    let mut options = SocketOptions::default();
    change(&mut options);
    context.open(kind, options).unwrap()
}

/// A directory of its own, removed with all that is in it.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static NUM_MADE: AtomicU32 = AtomicU32::new(0);
        let number = NUM_MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("busduct-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn endpoint(&self, name: &str) -> String {
        format!("ipc://{}", self.path(name).display())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is left behind harms nobody; panicking here would hide the test's own.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
