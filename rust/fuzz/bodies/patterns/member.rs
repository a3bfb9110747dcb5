//! One socket, what its owner did with it, and what its counters must say.

use busduct::context::Context;
use busduct::link::Message;
use busduct::socket::{
    EventKind, EventLog, OnFull, RecvFault, SendFault, SocketKey, SocketOptions, State, Statistics,
    Taken,
};
use busduct::zmtp::SocketType::{
    self, Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub, XPub, XSub,
};

use super::ledger::Ledger;

type Core = Context<Vec<u8>>;

const MAX_EVENTS: usize = 1 << 16;

pub(super) struct Member {
    pub(super) kind: SocketType,
    pub(super) options: SocketOptions,
    pub(super) key: SocketKey,
    log: EventLog,
    num_accepted: u64,
    num_taken: u64,
    /// A sender waits for room.
    is_waiting: bool,
    /// A ROUTER's latest peer.
    last_id: Vec<u8>,
    /// First bytes that were ever subscribed to; 0 for all.
    topics: Vec<u8>,
}

impl Member {
    pub(super) fn open(core: &mut Core, kind: SocketType, options: SocketOptions) -> Self {
        let key = core.open(kind, options.clone()).unwrap();
        let log = core.monitor(key, MAX_EVENTS).unwrap();
        Self {
            kind,
            options,
            key,
            log,
            num_accepted: 0,
            num_taken: 0,
            is_waiting: false,
            last_id: Vec::new(),
            topics: Vec::new(),
        }
    }

    pub(super) fn is_open(&self, core: &Core) -> bool {
        self.state(core) == State::Open
    }

    pub(super) fn state(&self, core: &Core) -> State {
        core.socket(self.key).map_or(State::Closed, |socket| socket.state())
    }

    fn is(&self, kinds: &[SocketType]) -> bool {
        kinds.contains(&self.kind)
    }

    /// Offer a message; whether it was accepted.
    pub(super) fn send(
        &mut self,
        core: &mut Core,
        ledger: &mut Ledger,
        choice: u8,
        is_urgent: bool,
    ) -> bool {
        let (number, body) = ledger.make(choice, self.is(&[Pub, XPub, XSub]));
        let mut parts = self.envelope(choice);
        parts.extend(body);
        let message = Message::from_parts(parts).unwrap();
        let sent = if is_urgent {
            core.try_send_urgent(self.key, message.clone())
        } else {
            core.try_send(self.key, message.clone())
        };
        match sent {
            Ok(()) => {
                ledger.accept(number);
                self.num_accepted += 1;
                true
            }
            Err((fault, returned)) => {
                assert_eq!(returned, message);
                self.check_send_fault(core, &fault, is_urgent);
                false
            }
        }
    }

    fn envelope(&self, choice: u8) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        if self.kind == Router {
            let generated = [0, 0, 0, 0, 1];
            let ids = [&b"x"[..], b"y", &generated, &self.last_id];
            parts.push(ids[usize::from(choice >> 6)].to_vec());
        }
        if self.is(&[Dealer, Router]) && choice & 16 != 0 {
            parts.push(Vec::new());
        }
        parts
    }

    fn check_send_fault(&mut self, core: &Core, fault: &SendFault, is_urgent: bool) {
        let is_strict = match self.options.on_full(self.kind) {
            OnFull::Wait | OnFull::Error => true,
            _ => self.is(&[Pull, Sub, XSub]),
        };
        match fault {
            SendFault::Full { .. } => {
                assert!(is_strict || is_urgent);
                self.is_waiting = true;
            }
            SendFault::TooLarge { size, limit, .. } => assert!(size > limit),
            SendFault::NoRoute(_) => assert!(self.kind == Router && self.options.router_mandatory),
            SendFault::PeerLost(_) => assert_eq!(self.kind, Rep),
            SendFault::Misuse(_) => assert!(self.is(&[Req, Rep, Pull, Sub])),
            SendFault::NeverUrgent(_) => {
                assert!(is_urgent && !self.is(&[Push, Dealer, Pair, Router]));
            }
            SendFault::Closed => assert!(!self.is_open(core)),
            SendFault::TopicTooLong { .. } | SendFault::OutOfMemory => panic!("{fault:?}"),
        }
    }

    /// Take a message; whether there was one.
    pub(super) fn recv(&mut self, core: &mut Core, ledger: &mut Ledger, is_single: bool) -> bool {
        let is_readable = core.is_readable(self.key);
        let is_settled = !core.needs_flush();
        assert!(is_readable || core.num_readable(self.key) == 0);
        let received = if is_single {
            core.try_recv_single(self.key).map(|part| part.map(Message::Single))
        } else {
            core.try_recv(self.key)
        };
        match received {
            Ok(Some(message)) => {
                assert!(is_readable || !is_settled);
                self.note(ledger, &message);
                true
            }
            Ok(None) => {
                assert!(!is_readable);
                false
            }
            Err(fault) => {
                self.check_recv_fault(core, &fault);
                false
            }
        }
    }

    fn check_recv_fault(&self, core: &Core, fault: &RecvFault) {
        match fault {
            RecvFault::Closed => assert!(!self.is_open(core)),
            RecvFault::Misuse(_) => assert!(self.is(&[Req, Rep, Push, Pub])),
            RecvFault::Multipart { num_parts } => assert!(*num_parts > 1),
            RecvFault::PeerLost(_) => assert_eq!(self.kind, Req),
            RecvFault::OutOfMemory => panic!("{fault:?}"),
        }
    }

    fn note(&mut self, ledger: &mut Ledger, message: &Message<Vec<u8>>) {
        if let Message::Single(part) = message
            && self.kind == XPub
            && matches!(part[..], [0 | 1, ..])
        {
            return;
        }
        self.num_taken += 1;
        if self.kind == Router {
            self.last_id.clone_from(&message.parts()[0]);
        }
        let found = ledger.take(message);
        if self.kind == Sub {
            let topic = found.expect("SUB is not probed").topic;
            assert!(self.topics.contains(&0) || self.topics.contains(&topic));
        }
    }

    pub(super) fn change_topic(&mut self, core: &mut Core, choice: u8) {
        let topic = [0, b'a', b'b', b'c'][usize::from(choice & 3)];
        let bytes = if topic == 0 { &[][..] } else { &[topic] };
        let subscribes = choice & 4 == 0;
        let is_subscriber = self.is(&[Sub, XSub]);
        if self.kind == XSub && choice & 8 != 0 {
            let message = Message::Single([&[u8::from(subscribes)], bytes].concat());
            assert!(core.try_send(self.key, message).is_ok() || !self.is_open(core));
        } else {
            let changed = core.change_topic(self.key, subscribes, bytes);
            assert!(changed.is_err() || is_subscriber);
        }
        if subscribes {
            self.topics.push(topic);
        }
        let num_subscribers = core.num_subscribers(self.key, bytes);
        assert_eq!(num_subscribers.is_ok(), self.is(&[Pub, XPub]) && self.is_open(core));
    }

    /// Wait for room as one does who only wants to know.
    pub(super) fn want_room(&mut self, core: &mut Core) {
        if !core.is_writable(self.key) {
            core.want_room(self.key);
            self.is_waiting = true;
        }
    }

    pub(super) fn note_woken(&mut self, core: &mut Core) {
        if core.take_relief(self.key) {
            self.is_waiting = false;
        }
    }

    pub(super) fn take_undelivered(&mut self, core: &mut Core, ledger: &mut Ledger) {
        let lost = core.take_undelivered(self.key);
        assert!(lost.len() as u64 <= core.statistics(self.key).counters.num_undelivered);
        lost.iter().for_each(|message| ledger.lose(message));
    }

    /// Check what always holds; give the statistics.
    pub(super) fn check(&self, core: &Core) -> Statistics {
        let statistics = core.statistics(self.key);
        let counters = statistics.counters;
        assert_eq!(statistics.num_send_queued == 0, statistics.num_send_queued_bytes == 0);
        assert_eq!(statistics.num_recv_queued == 0, statistics.num_recv_queued_bytes == 0);
        let num_peers = statistics.num_peers as u64;
        assert_eq!(num_peers + counters.num_disconnected, counters.num_connected);
        if self.is(&[Push, Dealer, Pair, Router, Req, Rep]) {
            let num_queued = statistics.num_send_queued as u64;
            let num_gone = counters.num_undelivered + counters.num_dropped;
            assert_eq!(self.num_accepted, counters.num_messages_sent + num_queued + num_gone);
        }
        let is_receiver = self.is(&[Pull, Dealer, Pair, Router]);
        if is_receiver && self.is_open(core) {
            let num_dropped = if self.kind == Pull { counters.num_dropped } else { 0 };
            let num_held = statistics.num_recv_queued as u64 + num_dropped;
            assert_eq!(self.num_taken + num_held, counters.num_messages_received);
        }
        statistics
    }

    /// Check what holds once every socket is open and took all it could.
    pub(super) fn check_drained(&self, core: &Core) {
        let statistics = core.statistics(self.key);
        assert_eq!(statistics.num_recv_queued, 0);
        if statistics.num_peers > 0 {
            assert_eq!(statistics.num_send_queued, 0);
            assert!(core.is_writable(self.key));
            assert!(!self.is_waiting, "nobody woke who waits for room");
        }
        let mut counts = [0; 2];
        while let Taken::Event(event) = self.log.take() {
            match event.kind {
                EventKind::Connected => counts[0] += 1,
                EventKind::Disconnected => counts[1] += 1,
                _ => {}
            }
        }
        if self.log.num_dropped() == 0 {
            let counters = statistics.counters;
            assert_eq!(counts, [counters.num_connected, counters.num_disconnected]);
        }
    }

    /// Check what holds once every socket was closed.
    pub(super) fn check_closed(&self, core: &Core) {
        let statistics = core.statistics(self.key);
        assert_eq!(statistics.num_recv_queued, 0);
        match self.state(core) {
            State::Open => panic!("it was closed"),
            State::Lingering => assert!(statistics.num_send_queued > 0),
            State::Closed => {
                assert_eq!((statistics.num_send_queued, statistics.num_peers), (0, 0));
            }
        }
    }
}
