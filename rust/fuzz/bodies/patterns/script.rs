//! Bytes read as choices.

use busduct::socket::{OnFull, SocketOptions};
use busduct::zmtp::SocketType::{self, Dealer, Pair, Pub, Push, Req, Router, XPub};
use std::time::Duration;

const POLICIES: [OnFull; 5] =
    [OnFull::Wait, OnFull::Error, OnFull::DropNew, OnFull::DropOld, OnFull::Conflate];

/// What is left to be read.
pub(super) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte; beyond the end all are zero.
    pub(super) fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        byte
    }

    /// Two or three types; those that do not go together are the exception.
    pub(super) fn kinds(&mut self) -> Vec<SocketType> {
        let any = |byte: u8| SocketType::ALL[usize::from(byte) % SocketType::ALL.len()];
        let first = any(self.byte());
        let choice = self.byte();
        let partners = first.partners();
        let second = match usize::from(choice & 7) {
            7 => any(choice >> 3),
            at => partners[at % partners.len()],
        };
        let mut kinds = vec![first, second];
        match choice >> 6 {
            0 => kinds.push(first),
            1 => kinds.push(second),
            2 => kinds.push(any(choice >> 3 & 7)),
            _ => {}
        }
        kinds
    }

    /// Options with marks so low that they matter.
    pub(super) fn options(&mut self, kind: SocketType) -> SocketOptions {
        let [marks, flags, limits] = [self.byte(), self.byte(), self.byte()];
        let pick = |byte: u8, shift: u8| usize::from(byte >> shift & 3);
        let is = |bit: u8, kinds: &[SocketType]| flags >> bit & 1 != 0 && kinds.contains(&kind);
        let mut options = SocketOptions {
            hwm_messages: [1, 2, 3, 8][pick(marks, 0)],
            hwm_bytes: [1, 150, 400, 1 << 20][pick(marks, 2)],
            on_full: POLICIES.get(usize::from(marks >> 4 & 7)).copied(),
            immediate: is(0, &[Push, Dealer, Req, Pair]),
            probe_router: is(1, &[Dealer, Req, Router]),
            router_mandatory: !is(2, &[Router]),
            router_handover: is(3, &[Router]),
            req_correlate: is(4, &[Req]),
            req_relaxed: is(5, &[Req]),
            xpub_verbose: is(6, &[XPub]),
            routing_id: [&b""[..], b"", b"x", b"y"][pick(limits, 0)].into(),
            max_message_bytes: [1 << 30, 1 << 30, 300, 60][pick(limits, 2)],
            max_parts: [1024, 1024, 3, 2][pick(limits, 4)],
            max_peers: [4096, 4096, 1, 2][pick(limits, 6)],
            // An attempt that failed is repeated in the next turn.
            reconnect_interval: Duration::from_nanos(1),
            reconnect_max: Duration::from_nanos(1),
            ..SocketOptions::default()
        };
        if is(7, &[Pub, XPub]) {
            options.max_subscriptions = 2;
        }
        if options.validate(kind).is_err() {
            options.on_full = None;
        }
        options
    }
}
