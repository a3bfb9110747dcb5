//! A monitor tells what happens to connections, in order and within its bound.

use std::time::Duration;

use busduct::context::SetupError;
use busduct::socket::EventKind::{self, Accepted, Closed, Connected, Disconnected, Listening};
use busduct::socket::{EventLog, PeerFault, Taken};
use busduct::zmtp::SocketType::{Dealer, Pull, Push, Router};

use crate::drive::{Core, Place, core, open, open_with, until};
use crate::raw::Raw;

fn kinds(log: &EventLog) -> Vec<EventKind> {
    let next = || match log.take() {
        Taken::Event(event) => Some(event.kind),
        Taken::Nothing | Taken::Ended => None,
    };
    std::iter::from_fn(next).collect()
}

/// Wait for an event of this kind; its routing id and fault.
#[track_caller]
fn until_told(context: &mut Core, log: &EventLog, kind: EventKind) -> (Vec<u8>, Option<PeerFault>) {
    let mut found = None;
    until(context, |_| {
        while let Taken::Event(event) = log.take() {
            if event.kind == kind {
                found = Some((event.routing_id, event.fault));
                return true;
            }
        }
        false
    });
    found.unwrap()
}

#[test]
fn life_of_a_connection_is_told_with_routing_id_and_fault() {
    let (place, mut context) = (Place::new(), core());
    let router = open_with(&mut context, Router, |options| {
        options.heartbeat_interval = Some(Duration::from_millis(20));
    });
    let log = context.monitor(router, 16).unwrap();
    context.bind(router, &place.endpoint("r"), false).unwrap();
    let _raw = Raw::up(&mut context, &place.path("r"), Dealer, b"me");
    assert_eq!(kinds(&log)[..2], [Listening, Accepted]);
    // It answers no PING.
    let (id, fault) = until_told(&mut context, &log, Disconnected);
    assert_eq!((&id[..], fault), (&b"me"[..], Some(PeerFault::Unresponsive)));
    context.unbind(router, &place.endpoint("r")).unwrap();
    assert_eq!(kinds(&log), [Closed]);
}

#[test]
fn news_are_announced_once_and_oldest_events_make_way() {
    let (place, mut context) = (Place::new(), core());
    let pull = open(&mut context, Pull);
    let log = context.monitor(pull, 2).unwrap();
    for name in ["a", "b", "c"] {
        context.bind(pull, &place.endpoint(name), false).unwrap();
    }
    let mut woken = Vec::new();
    context.take_woken(&mut woken);
    assert_eq!(woken, [pull]);
    assert!(context.take_news(pull) && !context.take_news(pull));
    assert_eq!((kinds(&log).len(), log.num_dropped()), (2, 1));
}

#[test]
fn log_ends_with_its_socket_or_when_another_takes_its_place() {
    let (place, mut context) = (Place::new(), core());
    let push = open(&mut context, Push);
    let first = context.monitor(push, 16).unwrap();
    let second = context.monitor(push, 16).unwrap();
    assert_eq!((first.take(), second.take()), (Taken::Ended, Taken::Nothing));
    let pull = open(&mut context, Pull);
    context.bind(pull, &place.endpoint("p"), false).unwrap();
    context.connect(push, &place.endpoint("p")).unwrap();
    until_told(&mut context, &second, Connected);
    context.close(push, Some(Duration::ZERO));
    assert_eq!(second.take(), Taken::Ended);
    assert!(matches!(context.monitor(push, 16), Err(SetupError::Closed)));
}
