//! A peer that has moved into shared memory and stores anything there: no panic, no limit
//! passed, and nothing of it stays once it is gone.
//!
//! The first byte chooses the socket, the second what its owner does meanwhile; the rest is
//! read as steps of the peer.

mod peer;
mod script;

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use busduct::context::{Context, ShmOptions};
use busduct::link::Message;
use busduct::socket::{SocketKey, SocketOptions, State};
use busduct::zmtp::SocketType;

use peer::{Peer, Segment};
use script::Script;

const MAX_MESSAGE_BYTES: u64 = 6000;
const MAX_PARTS: usize = 8;
const HWM_MESSAGES: usize = 4;
const RING_BYTES: usize = 4096;
const MAX_STEPS: usize = 200;
/// Turns in which a link must move, or the end of one be noticed.
const MAX_TURNS: usize = 100;

pub(crate) fn run(data: &[u8]) {
    thread_local! {
        static PLACE: RefCell<Place> = RefCell::new(Place::new());
    }
    let mut script = Script::new(data);
    let kind = SocketType::ALL[usize::from(script.byte()) % SocketType::ALL.len()];
    let choice = script.byte();
    PLACE.with_borrow_mut(|place| place.play(kind, choice, &mut script));
}

struct Place {
    context: Context<Vec<u8>>,
    path: PathBuf,
    segment: Segment,
}

impl Place {
    fn new() -> Self {
        static NUM_MADE: AtomicU32 = AtomicU32::new(0);
        let number = NUM_MADE.fetch_add(1, Ordering::Relaxed);
        let file = format!("busduct-fuzz-moved-{}-{number}", std::process::id());
        let mut context = Context::new().unwrap();
        let shm = ShmOptions { ring_bytes: RING_BYTES, ..ShmOptions::default() };
        context.configure_shm(shm).unwrap();
        Self { context, path: std::env::temp_dir().join(file), segment: Segment::make() }
    }

    fn play(&mut self, kind: SocketType, choice: u8, script: &mut Script<'_>) {
        let Self { context, path, segment } = self;
        let options = SocketOptions {
            max_message_bytes: MAX_MESSAGE_BYTES,
            max_parts: MAX_PARTS,
            hwm_messages: HWM_MESSAGES,
            ..SocketOptions::default()
        };
        let socket = context.open(kind, options).unwrap();
        context.bind(socket, &format!("ipc://{}", path.display()), false).unwrap();
        let owner = Owner { kind, socket, choice };
        if matches!(kind, SocketType::Sub | SocketType::XSub) {
            context.change_topic(socket, true, b"").unwrap();
        }
        let partners = kind.partners();
        let partner = partners[usize::from(choice >> 4) % partners.len()];
        let mut peer = Peer::connect(path, partner);
        let has_moved = |_| {
            peer.move_on();
            owner.turn(context);
            context.shm_statistics().num_shm_peers == 1
        };
        assert!((0..MAX_TURNS).any(has_moved));
        for _ in 0..MAX_STEPS {
            if script.is_empty() {
                break;
            }
            peer.step(script, segment);
            owner.turn(context);
        }
        drop(peer);
        let is_gone = |_| {
            owner.take_all(context);
            !owner.turn(context)
        };
        assert!((0..MAX_TURNS).any(is_gone));
        owner.end(context);
    }
}

/// A socket, and what is done with it.
struct Owner {
    kind: SocketType,
    socket: SocketKey,
    choice: u8,
}

impl Owner {
    /// Do what is ready; whether the peer is still there.
    fn turn(&self, context: &mut Context<Vec<u8>>) -> bool {
        context.run_once(Some(Duration::ZERO)).unwrap();
        assert!(context.statistics(self.socket).num_recv_queued <= HWM_MESSAGES);
        if self.choice & 1 != 0 && self.kind.sends() {
            let nbytes = [3, 1000, 3000, 20_000][usize::from(self.choice >> 1 & 3)];
            // It is over a limit, there may be no room, no peer, or it may not be its turn.
            let _ = context.try_send(self.socket, Message::Single(vec![b'a'; nbytes]));
        }
        if self.choice & 8 == 0 {
            self.take_all(context);
        }
        let counters = context.statistics(self.socket).counters;
        let num_ended = counters.num_disconnected + counters.num_handshakes_failed;
        num_ended < counters.num_accepted
    }

    fn take_all(&self, context: &mut Context<Vec<u8>>) {
        // NB: what is answered may be dropped in favour of what comes, so for a while only.
        for _ in 0..MAX_TURNS {
            let Ok(Some(message)) = context.try_recv(self.socket) else {
                return;
            };
            let id = usize::from(self.kind == SocketType::Router);
            let parts = &message.parts()[id..];
            assert!((1..=MAX_PARTS).contains(&parts.len()));
            let nbytes: usize = parts.iter().map(Vec::len).sum();
            assert!(nbytes as u64 <= MAX_MESSAGE_BYTES);
        }
    }

    /// Close the socket, whose only peer is gone.
    fn end(&self, context: &mut Context<Vec<u8>>) {
        self.take_all(context);
        context.close(self.socket, Some(Duration::ZERO));
        assert_eq!(context.socket(self.socket).map(|socket| socket.state()), Some(State::Closed));
        context.take_undelivered(self.socket);
        let statistics = context.statistics(self.socket);
        assert_eq!(statistics.num_recv_queued + statistics.num_send_queued, 0);
        assert_eq!(statistics.num_peers, 0);
        context.release(self.socket);
        // What it held was given back at its end, or is when that is told.
        context.run_once(Some(Duration::ZERO)).unwrap();
        let shm = context.shm_statistics();
        assert_eq!((shm.num_shm_peers, shm.num_shm_slots_held), (0, 0));
    }
}
