//! A bare connection to a socket of one context, and what the socket made of it.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use busduct::context::Context;
use busduct::socket::{PeerFault, SocketKey, SocketOptions};
use busduct::zmtp::{GREETING_BYTES, SocketType, parse_header};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// What to wait for.
pub(crate) enum Step<'a> {
    Up,
    /// So many messages came and, if there is to be an error, it did.
    Settled {
        num_messages: usize,
        error: &'a Value,
    },
}

pub(crate) struct Peer {
    context: Context<Vec<u8>>,
    socket: SocketKey,
    stream: UnixStream,
    received: Vec<u8>,
    pub(crate) messages: Vec<Vec<Vec<u8>>>,
}

impl Peer {
    /// Connect to a new socket of `kind`.
    pub(crate) fn connect(kind: SocketType, options: SocketOptions) -> Self {
        static NUM_MADE: AtomicU32 = AtomicU32::new(0);
        let number = NUM_MADE.fetch_add(1, Ordering::Relaxed);
        let file = format!("busduct-vectors-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(file);
        let mut context = Context::new().unwrap();
        let socket = context.open(kind, options).unwrap();
        context.bind(socket, &format!("ipc://{}", path.display()), false).unwrap();
        let stream = UnixStream::connect(path).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { context, socket, stream, received: Vec::new(), messages: Vec::new() }
    }

    /// Write `bytes` in pieces of `cut`; each is read before the next one comes. What
    /// comes after a hang-up is lost.
    pub(crate) fn say(&mut self, bytes: &[u8], cut: usize) {
        for piece in bytes.chunks(cut) {
            if self.stream.write_all(piece).is_err() {
                return;
            }
            self.turn(Duration::ZERO);
        }
    }

    fn turn(&mut self, timeout: Duration) {
        self.context.run_once(Some(timeout)).unwrap();
        while let Some(message) = self.context.try_recv(self.socket).unwrap() {
            self.messages.push(message.into_parts());
        }
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(nbytes) => self.received.extend_from_slice(&buffer[..nbytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // It hung up with bytes of ours unread.
                Err(_) => return,
            }
        }
    }

    #[track_caller]
    pub(crate) fn until(&mut self, step: Step<'_>) {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_at(&step) {
            assert!(Instant::now() < deadline, "waited in vain");
            self.turn(Duration::from_millis(20));
        }
    }

    fn is_at(&self, step: &Step<'_>) -> bool {
        match step {
            Step::Up => self.context.statistics(self.socket).num_peers == 1,
            Step::Settled { num_messages, error } => {
                self.messages.len() >= *num_messages && (error.is_null() || self.fault().is_some())
            }
        }
    }

    pub(crate) fn fault(&self) -> Option<PeerFault> {
        self.context.faults(self.socket).pop().map(|error| error.fault)
    }

    /// What was sent to the peer after the handshake: `nbytes` of it, or more.
    #[track_caller]
    pub(crate) fn replies(&mut self, nbytes: usize) -> &[u8] {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let after = self.received.get(GREETING_BYTES..).unwrap_or_default();
            if let Some(ready) = parse_header(after).unwrap() {
                let start = GREETING_BYTES + ready.header_nbytes + ready.nbytes as usize;
                if self.received.len() >= start + nbytes {
                    return &self.received[start..];
                }
            }
            assert!(Instant::now() < deadline, "waited in vain");
            self.turn(Duration::from_millis(20));
        }
    }
}
