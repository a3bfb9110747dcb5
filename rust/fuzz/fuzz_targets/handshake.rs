//! A peer that says anything to a real socket: no panic, no limit passed, and nothing of
//! it stays once it is gone.
//!
//! The first byte chooses the socket and how far a proper handshake goes before the rest
//! is said, the second where the rest is cut.
#![no_main]

use std::cell::RefCell;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use busduct::context::Context;
use busduct::link::Message;
use busduct::socket::{SocketKey, SocketOptions};
use busduct::zmtp::{SocketType, encode_greeting, encode_ready};
use libfuzzer_sys::fuzz_target;

const MAX_MESSAGE_BYTES: u64 = 4096;
const MAX_PARTS: usize = 8;
const HWM_MESSAGES: usize = 4;
const KINDS: [SocketType; 4] =
    [SocketType::Dealer, SocketType::Router, SocketType::Pull, SocketType::Push];

struct Place {
    context: Context<Vec<u8>>,
    sockets: Vec<(SocketType, SocketKey, PathBuf)>,
}

thread_local! {
    static PLACE: RefCell<Place> = RefCell::new(Place::new());
}

impl Place {
    fn new() -> Self {
        let mut context = Context::new().unwrap();
        let sockets = KINDS.map(|kind| {
            let options = SocketOptions {
                max_message_bytes: MAX_MESSAGE_BYTES,
                max_parts: MAX_PARTS,
                hwm_messages: HWM_MESSAGES,
                ..SocketOptions::default()
            };
            let socket = context.open(kind, options).unwrap();
            let file = format!("busduct-fuzz-{}-{}", std::process::id(), kind.name());
            let path = std::env::temp_dir().join(file);
            context.bind(socket, &format!("ipc://{}", path.display()), false).unwrap();
            (kind, socket, path)
        });
        Self { context, sockets: sockets.into() }
    }

    fn say(&mut self, choice: u8, cut: usize, bytes: &[u8]) {
        let (kind, socket, path) = self.sockets[usize::from(choice % 4)].clone();
        let mut stream = UnixStream::connect(path).unwrap();
        let mut start = Vec::new();
        if choice & 4 != 0 {
            start.extend_from_slice(&encode_greeting());
        }
        if choice & 8 != 0 {
            encode_ready(&mut start, kind.partners()[0], b"id");
        }
        stream.write_all(&start).unwrap();
        for piece in bytes.chunks(cut) {
            self.turn(kind, socket);
            // It may have been hung up on.
            if stream.write_all(piece).is_err() {
                break;
            }
        }
        self.turn(kind, socket);
        drop(stream);
        while self.turn(kind, socket) {}
        let statistics = self.context.statistics(socket);
        assert_eq!(statistics.num_recv_queued_bytes + statistics.num_send_queued_bytes, 0);
        let counters = statistics.counters;
        assert_eq!(counters.num_connected, counters.num_disconnected);
    }

    /// Do what is ready; whether the peer is still there.
    fn turn(&mut self, kind: SocketType, socket: SocketKey) -> bool {
        self.context.run_once(Some(Duration::ZERO)).unwrap();
        assert!(self.context.statistics(socket).num_recv_queued <= HWM_MESSAGES);
        while let Ok(Some(message)) = self.context.try_recv(socket) {
            let id = usize::from(kind == SocketType::Router);
            let parts = &message.parts()[id..];
            assert!((1..=MAX_PARTS).contains(&parts.len()));
            let nbytes: usize = parts.iter().map(Vec::len).sum();
            assert!(nbytes as u64 <= MAX_MESSAGE_BYTES);
            self.answer(kind, socket, message);
        }
        let accepted = self.context.statistics(socket).counters;
        let num_ended = accepted.num_disconnected + accepted.num_handshakes_failed;
        num_ended < accepted.num_accepted
    }

    fn answer(&mut self, kind: SocketType, socket: SocketKey, message: Message<Vec<u8>>) {
        if kind == SocketType::Router {
            // The peer may be gone, or its queue full.
            let _ = self.context.try_send(socket, message);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    if let [choice, cut, bytes @ ..] = data
        && bytes.len() <= 16_384
    {
        let cut = usize::from(*cut).pow(2).max(1);
        PLACE.with_borrow_mut(|place| place.say(*choice, cut, bytes));
    }
});
