//! Which options a socket may be opened with.

use std::time::Duration;

use super::{OnFull, OptionError, SocketOptions};
use crate::zmtp::SocketType::{self, Dealer, Pair, Pub, Push, Req, Router, XPub};

/// The longest heartbeat ttl that a PING can carry, in milliseconds.
const MAX_TTL_MS: u64 = 6_553_500;

/// An option that holds or not, its name, and what it may be.
type Check = (bool, &'static str, &'static str);

const NONZERO: &str = "at least 1";
const POSITIVE: &str = "more than 0";
const OF_ROUTER: &str = "left alone; it is an option of ROUTER";
const OF_REQ: &str = "left alone; it is an option of REQ";

impl SocketOptions {
    /// Check every range, and that nothing is asked for that a socket of type `kind` does
    /// not have.
    ///
    /// # Errors
    ///
    /// The first option that is not allowed.
    pub fn validate(&self, kind: SocketType) -> Result<(), OptionError> {
        let (policies, words) = OnFull::allowed(kind);
        let on_full = (policies.contains(&self.on_full(kind)), "on_full", words);
        let mut checks = self
            .check_sizes()
            .into_iter()
            .chain(self.check_durations())
            .chain(self.check_routing_id())
            .chain([on_full])
            .chain(self.check_kind(kind));
        match checks.find(|(holds, ..)| !holds) {
            Some((_, name, allowed)) => Err(OptionError { name, allowed }),
            None => Ok(()),
        }
    }

    fn check_sizes(&self) -> [Check; 8] {
        let addressable =
            usize::try_from(self.max_message_bytes).is_ok_and(|n| n <= isize::MAX as usize);
        [
            (self.hwm_messages > 0, "hwm_messages", NONZERO),
            (self.hwm_bytes > 0, "hwm_bytes", NONZERO),
            (self.max_message_bytes > 0, "max_message_bytes", NONZERO),
            (addressable, "max_message_bytes", "a size that this machine can address"),
            (self.max_parts > 0, "max_parts", NONZERO),
            (self.max_peers > 0, "max_peers", NONZERO),
            (self.backlog > 0, "backlog", NONZERO),
            (self.tcp_keepalive_count > 0, "tcp_keepalive_count", NONZERO),
        ]
    }

    fn check_durations(&self) -> [Check; 9] {
        let is_positive = |wait: Option<Duration>| wait.is_none_or(|wait| !wait.is_zero());
        let is_second = |wait: Option<Duration>| wait.is_none_or(|wait| wait.as_secs() > 0);
        let max_ttl = Duration::from_millis(MAX_TTL_MS);
        let second = "at least 1 second";
        [
            (!self.handshake_timeout.is_zero(), "handshake_timeout", POSITIVE),
            (!self.reconnect_interval.is_zero(), "reconnect_interval", POSITIVE),
            (
                self.reconnect_max >= self.reconnect_interval,
                "reconnect_max",
                "at least reconnect_interval",
            ),
            (is_positive(self.heartbeat_interval), "heartbeat_interval", POSITIVE),
            (is_positive(self.heartbeat_timeout), "heartbeat_timeout", POSITIVE),
            (is_positive(self.heartbeat_ttl), "heartbeat_ttl", POSITIVE),
            (
                self.heartbeat_ttl.is_none_or(|ttl| ttl <= max_ttl),
                "heartbeat_ttl",
                "at most 6553.5 seconds",
            ),
            (is_second(self.tcp_keepalive_idle), "tcp_keepalive_idle", second),
            (is_second(Some(self.tcp_keepalive_interval)), "tcp_keepalive_interval", second),
        ]
    }

    fn check_routing_id(&self) -> [Check; 2] {
        [
            (self.routing_id.len() <= 255, "routing_id", "at most 255 bytes"),
            (self.routing_id.first() != Some(&0), "routing_id", "without a zero as its first byte"),
        ]
    }

    /// What is told to a kind of socket that has no use for it is a mistake.
    fn check_kind(&self, kind: SocketType) -> [Check; 9] {
        let of = |kinds: &[SocketType], is_default: bool| is_default || kinds.contains(&kind);
        let subscriptions = self.max_subscriptions == Self::default().max_subscriptions;
        [
            (self.max_subscriptions > 0, "max_subscriptions", NONZERO),
            (
                of(&[Dealer, Pair, Push, Req], !self.immediate),
                "immediate",
                "left alone; it is an option of DEALER, PAIR, PUSH and REQ",
            ),
            (
                of(&[Dealer, Req, Router], !self.probe_router),
                "probe_router",
                "left alone; it is an option of DEALER, REQ and ROUTER",
            ),
            (of(&[Router], self.router_mandatory), "router_mandatory", OF_ROUTER),
            (of(&[Router], !self.router_handover), "router_handover", OF_ROUTER),
            (of(&[Req], !self.req_correlate), "req_correlate", OF_REQ),
            (of(&[Req], !self.req_relaxed), "req_relaxed", OF_REQ),
            (
                of(&[XPub], !self.xpub_verbose),
                "xpub_verbose",
                "left alone; it is an option of XPUB",
            ),
            (
                of(&[Pub, XPub], subscriptions),
                "max_subscriptions",
                "left alone; it is an option of PUB and XPUB",
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut SocketOptions);

    fn refused(kind: SocketType, change: Change) -> Option<&'static str> {
        let mut options = SocketOptions::default();
        change(&mut options);
        options.validate(kind).err().map(|error| error.name)
    }

    #[test]
    fn defaults_suit_every_kind_and_each_bad_value_is_named() {
        for kind in SocketType::ALL {
            assert_eq!(SocketOptions::default().validate(kind), Ok(()));
        }
        let bad: [(&str, Change); 13] = [
            ("hwm_messages", |o| o.hwm_messages = 0),
            ("hwm_bytes", |o| o.hwm_bytes = 0),
            ("max_message_bytes", |o| o.max_message_bytes = u64::MAX),
            ("reconnect_max", |o| o.reconnect_max = Duration::from_millis(1)),
            ("routing_id", |o| o.routing_id = vec![1; 256]),
            ("routing_id", |o| o.routing_id = vec![0, 1]),
            ("backlog", |o| o.backlog = 0),
            ("heartbeat_interval", |o| o.heartbeat_interval = Some(Duration::ZERO)),
            ("heartbeat_timeout", |o| o.heartbeat_timeout = Some(Duration::ZERO)),
            ("heartbeat_ttl", |o| o.heartbeat_ttl = Some(Duration::from_millis(6_553_501))),
            ("tcp_keepalive_idle", |o| o.tcp_keepalive_idle = Some(Duration::from_millis(999))),
            ("tcp_keepalive_interval", |o| o.tcp_keepalive_interval = Duration::ZERO),
            ("tcp_keepalive_count", |o| o.tcp_keepalive_count = 0),
        ];
        for (name, spoil) in bad {
            assert_eq!(refused(Push, spoil), Some(name));
        }
        assert_eq!(refused(Pub, |o| o.max_subscriptions = 0), Some("max_subscriptions"));
        assert_eq!(
            refused(Push, |o| o.heartbeat_ttl = Some(Duration::from_millis(6_553_500))),
            None
        );
    }

    #[test]
    fn options_of_other_kinds_are_refused() {
        let options: [(&str, &[SocketType], Change); 8] = [
            ("immediate", &[Push, Dealer, Req, Pair], |o| o.immediate = true),
            ("probe_router", &[Dealer, Req, Router], |o| o.probe_router = true),
            ("router_mandatory", &[Router], |o| o.router_mandatory = false),
            ("router_handover", &[Router], |o| o.router_handover = true),
            ("req_correlate", &[Req], |o| o.req_correlate = true),
            ("req_relaxed", &[Req], |o| o.req_relaxed = true),
            ("xpub_verbose", &[XPub], |o| o.xpub_verbose = true),
            ("max_subscriptions", &[Pub, XPub], |o| o.max_subscriptions = 1),
        ];
        for (name, kinds, change) in options {
            for kind in SocketType::ALL {
                let expected = (!kinds.contains(&kind)).then_some(name);
                assert_eq!(refused(kind, change), expected, "{kind:?}");
            }
        }
    }

    #[test]
    fn policies_that_make_no_sense_for_a_kind_are_refused() {
        use SocketType::{Pull, Rep, Sub, XSub};
        let receiving = [Pull, Sub, XSub];
        for kind in SocketType::ALL {
            let accepts = |word| {
                let on_full = OnFull::parse(word);
                assert!(on_full.is_some());
                SocketOptions { on_full, ..SocketOptions::default() }.validate(kind).is_ok()
            };
            let is_paired = [Req, Rep].contains(&kind);
            assert!(accepts("wait"), "{kind:?}");
            assert_eq!(accepts("error"), !receiving.contains(&kind), "{kind:?}");
            assert_eq!(accepts("drop_new"), !is_paired, "{kind:?}");
            assert_eq!(accepts("drop_old"), !is_paired, "{kind:?}");
            assert_eq!(accepts("conflate"), !is_paired && kind != Router, "{kind:?}");
        }
        assert_eq!(OnFull::parse("block"), None);
        assert_eq!(SocketOptions::default().on_full(Pub), OnFull::DropNew);
        assert_eq!(SocketOptions::default().on_full(Pull), OnFull::Wait);
    }
}
