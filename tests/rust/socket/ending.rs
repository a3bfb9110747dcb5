//! Links that end while something of theirs is still under way.

use std::time::Duration;

use busduct::zmtp::SocketType::{Dealer, Pull, Push, Router};

use crate::drive::{
    Place, core, message, open_with, recv, recv_parts, send, settle, until, until_peers,
};
use crate::raw::{Raw, frame, ping, ready};

const LONG: Option<Duration> = Some(Duration::from_secs(30));

#[test]
fn routing_id_is_free_once_its_holder_hung_up_even_with_messages_unread() {
    let (place, mut context) = (Place::new(), core());
    let router = open_with(&mut context, Router, |options| options.hwm_messages = 2);
    context.bind(router, &place.endpoint("r"), false).unwrap();
    let path = place.path("r");
    let mut first = Raw::up(&mut context, &path, Dealer, b"x");
    let mut second = Raw::greeted(&mut context, &path);
    until_peers(&mut context, router, 1);
    first.write(&[&frame(b"last", false).repeat(9)[..], &ping(b"")].concat());
    until(&mut context, |context| context.num_readable(router) == 2);

    let mut early = Raw::greeted(&mut context, &path);
    early.write(&ready(Dealer, b"x"));
    early.until_ended(&mut context);
    assert_eq!(context.statistics(router).counters.num_refused, 1);
    drop(first);
    second.write(&ready(Dealer, b"x"));
    until(&mut context, |context| context.statistics(router).counters.num_connected == 2);
    assert_eq!(context.statistics(router).num_peers, 1);
    for _ in 0..9 {
        assert_eq!(recv_parts(&mut context, router), [&b"x"[..], b"last"]);
    }
    second.write(&frame(b"next", false));
    assert_eq!(recv_parts(&mut context, router), [&b"x"[..], b"next"]);
}

#[test]
fn peer_that_ends_in_the_turn_that_gave_it_messages_is_forgotten() {
    // The order in which the two ends are seen is the kernel's: try both.
    for stuck_is_first in [true, false] {
        let (place, mut context) = (Place::new(), core());
        let dealer = open_with(&mut context, Dealer, |_| {});
        context.bind(dealer, &place.endpoint("d"), false).unwrap();
        let path = place.path("d");
        let stuck = Raw::up(&mut context, &path, Dealer, b"");
        until_peers(&mut context, dealer, 1);
        send(&mut context, dealer, vec![1; 4 << 20]);
        context.flush();
        let mut leaver = Raw::up(&mut context, &path, Dealer, b"");
        until_peers(&mut context, dealer, 2);
        // One read that gives a message, a PING and, as it is full, a second read: the end.
        let rest = ping(b"");
        let message = frame(&vec![2; (128 << 10) - 9 - rest.len()], false);
        let mut stuck = Some(stuck);
        settle(&mut context);
        if stuck_is_first {
            stuck = None;
        }
        leaver.write(&[message, rest].concat());
        drop((leaver, stuck));
        assert_eq!(recv(&mut context, dealer).len(), (128 << 10) - 9 - ping(b"").len());
        let mut other = Raw::up(&mut context, &path, Dealer, b"");
        assert_eq!(other.take_frame(&mut context), vec![1; 4 << 20]);
    }
}

#[test]
fn claim_to_a_routing_id_while_its_holder_ends_a_closing_router_is_survived() {
    let (place, mut context) = (Place::new(), core());
    let router = open_with(&mut context, Router, |_| {});
    context.bind(router, &place.endpoint("r"), false).unwrap();
    let path = place.path("r");
    let holder = Raw::up(&mut context, &path, Dealer, b"x");
    let mut claimant = Raw::greeted(&mut context, &path);
    until_peers(&mut context, router, 1);
    for _ in 0..64 {
        let parts = vec![b"x".to_vec(), vec![0; 1 << 18]];
        context.try_send(router, busduct::link::Message::Multi(parts)).unwrap();
    }
    context.close(router, LONG);
    assert!(!context.is_closed());

    claimant.write(&ready(Dealer, b"x"));
    drop(holder);
    until(&mut context, |context| context.is_closed());
    assert!(context.statistics(router).counters.num_undelivered > 0);
}

#[test]
fn closing_socket_sends_all_while_its_peer_goes_on_sending() {
    let (place, mut context) = (Place::new(), core());
    let dealer = open_with(&mut context, Dealer, |options| options.hwm_messages = 4);
    context.bind(dealer, &place.endpoint("d"), false).unwrap();
    let mut raw = Raw::up(&mut context, &place.path("d"), Dealer, b"");
    until_peers(&mut context, dealer, 1);
    // Reads end amid a frame, as they do when there is much to read.
    let flood = frame(b"unwanted", false).repeat(101);
    let (start, end) = flood.split_at(flood.len() - 5);
    raw.write(start);
    until(&mut context, |context| context.num_readable(dealer) == 4);
    // Part of what was read and held back is parsed by this.
    for _ in 0..3 {
        assert_eq!(recv(&mut context, dealer), b"unwanted");
    }
    for _ in 0..4 {
        context.try_send(dealer, message(vec![7; 1 << 20])).unwrap();
    }
    context.close(dealer, LONG);
    assert!(!context.is_closed());

    raw.write(end);
    raw.write_through(&mut context, &flood);
    for _ in 0..4 {
        assert_eq!(raw.take_frame(&mut context), vec![7; 1 << 20]);
    }
    raw.until_ended(&mut context);
    assert_eq!(context.faults(dealer), []);
    assert_eq!(context.statistics(dealer).counters.num_undelivered, 0);
}

#[test]
fn ping_behind_messages_that_wait_is_answered_when_they_are_taken() {
    let (place, mut context) = (Place::new(), core());
    let pull = open_with(&mut context, Pull, |options| options.hwm_messages = 2);
    context.bind(pull, &place.endpoint("p"), false).unwrap();
    let mut raw = Raw::up(&mut context, &place.path("p"), Push, b"");
    raw.write(&[frame(b"a", false).repeat(6), ping(b"here")].concat());
    for _ in 0..6 {
        assert_eq!(recv(&mut context, pull), b"a");
    }
    assert_eq!(raw.take_frame(&mut context), b"\x04PONGhere");
}

#[test]
fn socket_sends_to_a_peer_after_another_was_lost_amid_a_large_message() {
    let (place, mut context) = (Place::new(), core());
    let push = open_with(&mut context, Push, |_| {});
    context.bind(push, &place.endpoint("p"), false).unwrap();
    let path = place.path("p");
    let first = Raw::up(&mut context, &path, Pull, b"");
    until_peers(&mut context, push, 1);
    send(&mut context, push, vec![1; 8 << 20]);
    send(&mut context, push, b"second".to_vec());
    let mut other = Raw::up(&mut context, &path, Pull, b"");
    drop(first);
    assert_eq!(other.take_frame(&mut context), vec![1; 8 << 20]);
    assert_eq!(other.take_frame(&mut context), b"second");
}
