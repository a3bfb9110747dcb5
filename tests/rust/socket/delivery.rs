//! Who gets a message, and in which order.

use std::time::Duration;

use busduct::link::Message;
use busduct::socket::{SendFault, SocketKey};
use busduct::zmtp::SocketType::{Dealer, Pull, Push, Router};

use crate::drive::{
    Core, Place, core, message, open, open_with, recv, recv_parts, send, settle, until, until_peers,
};
use crate::raw::{Raw, frame};

fn endpoints(place: &Place) -> [String; 2] {
    [place.endpoint("e"), "tcp://127.0.0.1:0".into()]
}

/// A length between 0 and `max`, different at each step.
fn scattered(step: usize, max: usize) -> usize {
    step.wrapping_mul(2_654_435_761) % (max + 1)
}

#[test]
fn eight_thousand_messages_of_all_sizes_arrive_in_order() {
    let place = Place::new();
    for endpoint in endpoints(&place) {
        let mut context = core();
        let (pull, push) = (open(&mut context, Pull), open(&mut context, Push));
        let endpoint = context.bind(pull, &endpoint, false).unwrap();
        context.connect(push, &endpoint).unwrap();
        let payload = |step: usize| {
            let max = if step.is_multiple_of(100) { 300_000 } else { 2_000 };
            vec![step as u8; scattered(step, max)]
        };
        let (mut num_sent, mut num_received) = (0, 0);
        let mut unsent = None;
        until(&mut context, |context| {
            while num_sent < 8_000 {
                let next = unsent.take().unwrap_or_else(|| message(payload(num_sent)));
                match context.try_send(push, next) {
                    Ok(()) => num_sent += 1,
                    Err((_, back)) => {
                        unsent = Some(back);
                        break;
                    }
                }
            }
            while let Some(part) = context.try_recv_single(pull).unwrap() {
                assert!(part == payload(num_received), "message {num_received}");
                num_received += 1;
            }
            num_received == 8_000
        });
        let sent = context.statistics(push).counters;
        assert_eq!(sent.num_messages_sent, 8_000);
        let received = context.statistics(pull).counters;
        assert_eq!(received.num_bytes_received, sent.num_bytes_sent);
    }
}

#[test]
fn router_answers_the_dealer_that_asked() {
    let place = Place::new();
    for endpoint in endpoints(&place) {
        let mut context = core();
        let router = open(&mut context, Router);
        let endpoint = context.bind(router, &endpoint, false).unwrap();
        let ids: [&[u8]; 3] = [b"a", b"b", b""];
        let dealers = ids.map(|id| open_with(&mut context, Dealer, |o| o.routing_id = id.into()));
        for (dealer, id) in dealers.into_iter().zip(ids) {
            context.connect(dealer, &endpoint).unwrap();
            let parts = vec![Vec::new(), [b"from ", id].concat()];
            context.try_send(dealer, Message::Multi(parts)).unwrap();
        }
        for _ in 0..ids.len() {
            let mut parts = recv_parts(&mut context, router);
            assert_eq!(parts.len(), 3);
            assert_eq!(parts.remove(1), b"");
            if parts[1] == b"from " {
                assert_eq!(parts[0].len(), 5);
            } else {
                assert_eq!(parts[1], [b"from ", &parts[0][..]].concat());
            }
            context.try_send(router, Message::Multi(parts)).unwrap();
        }
        for (dealer, id) in dealers.into_iter().zip(ids) {
            assert_eq!(recv(&mut context, dealer), [b"from ", id].concat());
        }
    }
}

#[test]
fn message_to_an_unknown_routing_id_is_given_back() {
    let mut context = core();
    let router = open(&mut context, Router);
    let parts = Message::Multi(vec![b"nobody".to_vec(), b"x".to_vec()]);
    let (fault, back) = context.try_send(router, parts.clone()).unwrap_err();
    assert_eq!(fault, SendFault::NoRoute(b"nobody".to_vec()));
    assert_eq!(back, parts);
}

fn pulls(context: &mut Core, endpoint: &str, count: usize) -> Vec<SocketKey> {
    let pulls: Vec<_> = (0..count).map(|_| open(context, Pull)).collect();
    for &pull in &pulls {
        context.connect(pull, endpoint).unwrap();
    }
    pulls
}

#[test]
fn messages_go_to_each_peer_in_turn() {
    let (place, mut context) = (Place::new(), core());
    let push = open(&mut context, Push);
    let endpoint = context.bind(push, &place.endpoint("p"), false).unwrap();
    let pulls = pulls(&mut context, &endpoint, 3);
    until_peers(&mut context, push, 3);
    for index in 0..300_usize {
        context.try_send(push, message(index.to_be_bytes())).unwrap();
    }
    let mut firsts = Vec::new();
    for pull in pulls {
        let mut got = Vec::new();
        for _ in 0..100 {
            let bytes = recv(&mut context, pull).try_into().unwrap();
            got.push(usize::from_be_bytes(bytes));
        }
        firsts.push(got[0]);
        assert!(got.windows(2).all(|pair| pair[1] == pair[0] + 3), "{got:?}");
        settle(&mut context);
        assert!(!context.is_readable(pull));
    }
    firsts.sort_unstable();
    assert_eq!(firsts, [0, 1, 2]);
}

#[test]
fn peer_that_is_full_is_left_out() {
    let (place, mut context) = (Place::new(), core());
    let push = open_with(&mut context, Push, |options| options.hwm_messages = 5);
    let endpoint = context.bind(push, &place.endpoint("p"), false).unwrap();
    let mut raw = Raw::up(&mut context, &place.path("p"), Pull, b"");
    let pull = pulls(&mut context, &endpoint, 1)[0];
    until_peers(&mut context, push, 2);
    let mut num_received = 0;
    for _ in 0..200 {
        send(&mut context, push, vec![1; 64 << 10]);
        while let Some(part) = context.try_recv_single(pull).unwrap() {
            assert_eq!(part.len(), 64 << 10);
            num_received += 1;
        }
    }
    let num_left = 200 - num_received;
    assert!(num_left < 60, "{num_left} went to the peer that does not read");
    let (mut num_raw, mut rest) = (0, num_received);
    until(&mut context, |context| {
        while context.try_recv_single(pull).unwrap().is_some() {
            rest += 1;
        }
        raw.read();
        num_raw = raw.received.len() / ((64 << 10) + 9);
        rest + num_raw == 200
    });
}

#[test]
fn each_peer_that_has_messages_gets_its_turn() {
    let (place, mut context) = (Place::new(), core());
    let pull = open(&mut context, Pull);
    context.bind(pull, &place.endpoint("p"), false).unwrap();
    let mut peers = [b"a", b"b", b"c"].map(|_| Raw::up(&mut context, &place.path("p"), Push, b""));
    for (name, peer) in [b"a", b"b", b"c"].into_iter().zip(&mut peers) {
        peer.write(&frame(name, false).repeat(100));
    }
    until(&mut context, |context| context.num_readable(pull) == 300);
    let got: Vec<u8> = (0..300).map(|_| recv(&mut context, pull)[0]).collect();
    for three in got.chunks(3) {
        let mut three = three.to_vec();
        three.sort_unstable();
        assert_eq!(three, b"abc");
    }
}

#[test]
fn messages_of_a_peer_that_is_killed_go_to_the_next_one() {
    let (place, mut context) = (Place::new(), core());
    let push = open(&mut context, Push);
    let endpoint = context.bind(push, &place.endpoint("p"), false).unwrap();
    let killed = Raw::up(&mut context, &place.path("p"), Pull, b"");
    until_peers(&mut context, push, 1);
    // The kernel takes a part of the first one only.
    for first in 0..5_u8 {
        context.try_send(push, message(vec![first; 4 << 20])).unwrap();
    }
    settle(&mut context);
    drop(killed);
    let pull = pulls(&mut context, &endpoint, 1)[0];
    for first in 0..5_u8 {
        assert_eq!(recv(&mut context, pull), vec![first; 4 << 20]);
    }
    assert_eq!(context.statistics(push).counters.num_undelivered, 0);
}

#[test]
fn message_to_a_killed_peer_of_a_router_is_known_to_be_lost() {
    let (place, mut context) = (Place::new(), core());
    let router = open(&mut context, Router);
    context.bind(router, &place.endpoint("r"), false).unwrap();
    let killed = Raw::up(&mut context, &place.path("r"), Dealer, b"x");
    until_peers(&mut context, router, 1);
    let lost = Message::Multi(vec![b"x".to_vec(), vec![5; 8 << 20]]);
    context.try_send(router, lost.clone()).unwrap();
    settle(&mut context);
    drop(killed);
    until_peers(&mut context, router, 0);
    assert_eq!(context.take_undelivered(router), [lost]);
    assert_eq!(context.statistics(router).counters.num_undelivered, 1);
}

#[test]
fn connection_comes_back_with_its_binder_and_nothing_is_lost() {
    let place = Place::new();
    for endpoint in endpoints(&place) {
        let mut context = core();
        let push = open_with(&mut context, Push, |options| {
            options.reconnect_interval = Duration::from_millis(1);
            options.reconnect_max = Duration::from_millis(20);
        });
        let first = open(&mut context, Pull);
        let endpoint = context.bind(first, &endpoint, false).unwrap();
        context.connect(push, &endpoint).unwrap();
        send(&mut context, push, "one");
        assert_eq!(recv(&mut context, first), b"one");
        context.close(first, Some(Duration::ZERO));
        until_peers(&mut context, push, 0);
        send(&mut context, push, "two");
        until(&mut context, |context| context.statistics(push).counters.num_retries > 2);
        let second = open(&mut context, Pull);
        context.bind(second, &endpoint, false).unwrap();
        assert_eq!(recv(&mut context, second), b"two");
        assert_eq!(context.statistics(push).counters.num_connected, 2);
    }
}

#[test]
fn turn_is_kept_when_a_peer_leaves() {
    let (place, mut context) = (Place::new(), core());
    let push = open(&mut context, Push);
    context.bind(push, &place.endpoint("p"), false).unwrap();
    let mut peers = Vec::new();
    for num_peers in 1..=3 {
        peers.push(Raw::up(&mut context, &place.path("p"), Pull, b""));
        until_peers(&mut context, push, num_peers);
    }
    send(&mut context, push, "first");
    assert_eq!(peers[0].take_frame(&mut context), b"first");
    drop(peers.remove(0));
    until_peers(&mut context, push, 2);
    send(&mut context, push, "second");
    assert_eq!(peers[0].take_frame(&mut context), b"second");
}
