//! A peer that says anything to a real socket of any kind: no panic, no limit passed, and
//! nothing of it stays once it is gone.
//!
//! The first byte chooses the socket, the second how far a proper handshake goes before
//! the rest is said and what the socket's owner does meanwhile, the third where the rest
//! is cut.

use std::cell::RefCell;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use busduct::context::Context;
use busduct::link::Message;
use busduct::socket::{SocketKey, SocketOptions, State};
use busduct::zmtp::{SocketType, encode_greeting, encode_ready};

const MAX_MESSAGE_BYTES: u64 = 4096;
const MAX_PARTS: usize = 8;
const HWM_MESSAGES: usize = 4;
/// Where a greeting says which ZMTP 3 it is.
const MINOR_AT: usize = 11;
/// Turns in which the end of a stream must be noticed.
const MAX_TURNS: usize = 100;

/// What the second byte chooses.
#[derive(Clone, Copy)]
struct Choice(u8);

impl Choice {
    fn greets(self) -> bool {
        self.0 & 1 != 0
    }

    fn is_ready(self) -> bool {
        self.0 & 2 != 0
    }

    fn is_old(self) -> bool {
        self.0 & 4 != 0
    }

    fn owner_sends(self) -> bool {
        self.0 & 8 != 0
    }

    /// The owner takes nothing until the peer is gone.
    fn owner_waits(self) -> bool {
        self.0 & 16 != 0
    }

    /// Options other than those that a socket has unless told otherwise.
    fn is_odd(self) -> bool {
        self.0 & 32 != 0
    }

    fn partner(self, kind: SocketType) -> SocketType {
        let partners = kind.partners();
        partners[usize::from(self.0 >> 6) % partners.len()]
    }
}

struct Place {
    context: Context<Vec<u8>>,
    path: PathBuf,
}

thread_local! {
    static PLACE: RefCell<Place> = RefCell::new(Place::new());
}

pub(crate) fn run(data: &[u8]) {
    if let [kind, choice, cut, bytes @ ..] = data
        && bytes.len() <= 16_384
    {
        let kind = SocketType::ALL[usize::from(*kind) % SocketType::ALL.len()];
        let cut = usize::from(*cut).pow(2).max(1);
        PLACE.with_borrow_mut(|place| place.say(kind, Choice(*choice), cut, bytes));
    }
}

fn options(kind: SocketType, choice: Choice) -> SocketOptions {
    let is_odd = choice.is_odd();
    let mut options = SocketOptions {
        max_message_bytes: MAX_MESSAGE_BYTES,
        max_parts: MAX_PARTS,
        hwm_messages: HWM_MESSAGES,
        req_correlate: is_odd && kind == SocketType::Req,
        req_relaxed: is_odd && kind == SocketType::Req,
        xpub_verbose: is_odd && kind == SocketType::XPub,
        probe_router: is_odd && kind == SocketType::Router,
        ..SocketOptions::default()
    };
    if is_odd && matches!(kind, SocketType::Pub | SocketType::XPub) {
        options.max_subscriptions = 3;
    }
    options
}

impl Place {
    fn new() -> Self {
        static NUM_MADE: AtomicU32 = AtomicU32::new(0);
        let number = NUM_MADE.fetch_add(1, Ordering::Relaxed);
        let file = format!("busduct-fuzz-{}-{number}", std::process::id());
        Self { context: Context::new().unwrap(), path: std::env::temp_dir().join(file) }
    }

    fn say(&mut self, kind: SocketType, choice: Choice, cut: usize, bytes: &[u8]) {
        let socket = self.context.open(kind, options(kind, choice)).unwrap();
        self.context.bind(socket, &format!("ipc://{}", self.path.display()), false).unwrap();
        let owner = Owner { kind, socket, choice };
        if matches!(kind, SocketType::Sub | SocketType::XSub) {
            self.context.change_topic(socket, true, owner.topic()).unwrap();
        }
        let mut stream = UnixStream::connect(&self.path).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream.write_all(&owner.start()).unwrap();
        for piece in bytes.chunks(cut) {
            owner.turn(&mut self.context);
            // It may have been hung up on, or be left waiting.
            if stream.write_all(piece).is_err() {
                break;
            }
        }
        owner.turn(&mut self.context);
        drop(stream);
        let is_gone = |_| {
            // NB: the end of a stream is not looked for while its inbox is full.
            owner.take_all(&mut self.context);
            !owner.turn(&mut self.context)
        };
        assert!((0..MAX_TURNS).any(is_gone));
        owner.end(&mut self.context);
    }
}

/// A socket, and what is done with it.
struct Owner {
    kind: SocketType,
    socket: SocketKey,
    choice: Choice,
}

impl Owner {
    fn topic(&self) -> &'static [u8] {
        if self.choice.is_odd() { b"a" } else { b"" }
    }

    /// What the peer says of a proper handshake.
    fn start(&self) -> Vec<u8> {
        let mut start = Vec::new();
        if self.choice.greets() {
            start.extend_from_slice(&encode_greeting());
            if self.choice.is_old() {
                start[MINOR_AT] = 0;
            }
        }
        if self.choice.is_ready() {
            encode_ready(&mut start, self.choice.partner(self.kind), b"id", None);
        }
        start
    }

    /// Do what is ready; whether the peer is still there.
    fn turn(&self, context: &mut Context<Vec<u8>>) -> bool {
        context.run_once(Some(Duration::ZERO)).unwrap();
        assert!(context.statistics(self.socket).num_recv_queued <= HWM_MESSAGES);
        if self.choice.owner_sends() && self.kind.sends() {
            // There may be no room, no peer, or it may not be its turn.
            let _ = context.try_send(self.socket, Message::Single(b"abc".to_vec()));
        }
        if !self.choice.owner_waits() {
            self.take_all(context);
        }
        let counters = context.statistics(self.socket).counters;
        let num_ended = counters.num_disconnected + counters.num_handshakes_failed;
        num_ended < counters.num_accepted
    }

    fn take_all(&self, context: &mut Context<Vec<u8>>) {
        while let Ok(Some(message)) = context.try_recv(self.socket) {
            let id = usize::from(self.kind == SocketType::Router);
            let parts = &message.parts()[id..];
            assert!((1..=MAX_PARTS).contains(&parts.len()));
            let nbytes: usize = parts.iter().map(Vec::len).sum();
            assert!(nbytes as u64 <= MAX_MESSAGE_BYTES);
            assert!(self.kind != SocketType::Sub || parts[0].starts_with(self.topic()));
            if self.kind.sends() {
                // The peer may be gone, or its queue full.
                let _ = context.try_send(self.socket, message);
            }
        }
    }

    /// Close the socket, whose only peer is gone.
    fn end(&self, context: &mut Context<Vec<u8>>) {
        self.take_all(context);
        context.close(self.socket, Some(Duration::ZERO));
        assert_eq!(context.socket(self.socket).map(|socket| socket.state()), Some(State::Closed));
        let statistics = context.statistics(self.socket);
        assert_eq!(statistics.num_recv_queued + statistics.num_send_queued, 0);
        assert_eq!(statistics.num_recv_queued_bytes + statistics.num_send_queued_bytes, 0);
        assert_eq!(statistics.num_peers, 0);
        let counters = statistics.counters;
        assert_eq!(counters.num_connected, counters.num_disconnected);
        let publishes = matches!(self.kind, SocketType::Pub | SocketType::XPub);
        assert!(!publishes || statistics.num_subscriptions == 0);
        context.release(self.socket);
        assert!(context.socket(self.socket).is_none());
    }
}
