//! Closing: what is sent still, what is known to be lost, and what is left behind.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use busduct::socket::RecvFault;
use busduct::socket::{SendFault, SocketKey, State};
use busduct::zmtp::SocketType::{Dealer, Pull, Push};
use busduct::zmtp::encode_greeting;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::drive::{
    Core, Place, core, message, open, open_with, recv, send, settle, until, until_peers,
};
use crate::raw::{Raw, frame, ready};

const LONG: Option<Duration> = Some(Duration::from_secs(30));

#[test]
fn released_sockets_are_forgotten_once_they_are_closed() {
    let (place, mut context) = (Place::new(), core());
    let pull = open(&mut context, Pull);
    context.bind(pull, &place.endpoint("p"), false).unwrap();
    let pushes = [(); 3].map(|()| open(&mut context, Push));
    for push in pushes {
        context.connect(push, &place.endpoint("p")).unwrap();
    }
    until_peers(&mut context, pull, 3);
    until(&mut context, |context| {
        pushes.iter().all(|&push| context.statistics(push).num_peers == 1)
    });
    // One is closed first; all have a message that no write was tried for.
    for push in pushes {
        context.try_send(push, message("last")).unwrap();
        context.release(push);
    }
    context.close(pushes[2], LONG);
    for _ in 0..3 {
        assert_eq!(recv(&mut context, pull), b"last");
    }
    context.close_all();
    until(&mut context, |context| context.is_closed());
    assert!(pushes.iter().all(|&push| context.socket(push).is_none()));
}

#[test]
fn releasing_and_closing_all_at_once_sends_what_was_accepted() {
    let (place, mut context, mut receiver) = (Place::new(), core(), core());
    let pull = open(&mut receiver, Pull);
    receiver.bind(pull, &place.endpoint("p"), false).unwrap();
    let pushes = [(); 3].map(|()| open(&mut context, Push));
    for push in pushes {
        context.connect(push, &place.endpoint("p")).unwrap();
    }
    until(&mut receiver, |receiver| {
        context.run_once(Some(Duration::ZERO)).unwrap();
        let num_up = pushes.iter().filter(|&&push| context.statistics(push).num_peers == 1);
        num_up.count() == 3 && receiver.statistics(pull).num_peers == 3
    });
    for push in pushes {
        context.try_send(push, message("last")).unwrap();
        context.release(push);
    }
    context.close_all();
    until(&mut context, |context| context.is_closed());
    for _ in 0..3 {
        assert_eq!(recv(&mut receiver, pull), b"last");
    }
}

#[test]
fn closing_a_socket_of_many_peers_takes_no_stack_per_peer() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let builder = std::thread::Builder::new().stack_size(256 << 10);
    builder.spawn(close_with_many_peers).unwrap().join().unwrap();
}

fn close_with_many_peers() {
    for linger in [LONG, Some(Duration::ZERO)] {
        let (place, mut context) = (Place::new(), core());
        let pull = open(&mut context, Pull);
        context.bind(pull, &place.endpoint("p"), false).unwrap();
        let path = place.path("p");
        let peers: Vec<Raw> = (0..1_000).map(|_| Raw::up(&mut context, &path, Push, b"")).collect();
        until_peers(&mut context, pull, peers.len());
        context.close(pull, linger);
        until(&mut context, |context| context.is_closed());
        assert_eq!(context.statistics(pull).num_peers, 0);
    }
}

/// A PUSH with five messages of 4 MiB for a peer that does not read.
fn stuck(context: &mut Core, place: &Place) -> (SocketKey, Raw) {
    let push = open(context, Push);
    context.bind(push, &place.endpoint("p"), false).unwrap();
    let raw = Raw::up(context, &place.path("p"), Pull, b"");
    until_peers(context, push, 1);
    for first in 0..5_u8 {
        context.try_send(push, message(vec![first; 4 << 20])).unwrap();
    }
    (push, raw)
}

#[test]
fn linger_of_zero_gives_back_what_was_not_sent() {
    let (place, mut context) = (Place::new(), core());
    let (push, mut raw) = stuck(&mut context, &place);
    context.close(push, Some(Duration::ZERO));
    assert!(context.is_closed());
    let lost = context.take_undelivered(push);
    let firsts: Vec<u8> = lost.into_iter().map(|lost| lost.into_parts()[0][0]).collect();
    assert_eq!(firsts, [0, 1, 2, 3, 4]);
    assert_eq!(context.statistics(push).counters.num_undelivered, 5);
    raw.until_ended(&mut context);
    let refused = context.try_send(push, message("late")).unwrap_err();
    assert_eq!(refused, (SendFault::Closed, message("late")));
    assert_eq!(context.try_recv(push), Err(RecvFault::Closed));
}

#[test]
fn bounded_linger_ends_at_its_bound() {
    let (place, mut context) = (Place::new(), core());
    let (push, _raw) = stuck(&mut context, &place);
    let bound = Duration::from_millis(200);
    let begin = Instant::now();
    context.close(push, Some(bound));
    until(&mut context, |context| context.is_closed());
    assert!(begin.elapsed() >= bound);
    assert_eq!(context.take_undelivered(push).len(), 5);
}

#[test]
fn lingering_ends_as_soon_as_all_is_sent() {
    let (place, mut context) = (Place::new(), core());
    let (push, mut raw) = stuck(&mut context, &place);
    context.close(push, None);
    for first in 0..5_u8 {
        assert!(!context.is_closed());
        assert_eq!(raw.take_frame(&mut context), vec![first; 4 << 20]);
    }
    raw.until_ended(&mut context);
    assert!(context.is_closed());
    assert_eq!(context.take_undelivered(push), []);
}

#[test]
fn lingering_socket_waits_for_a_peer_that_is_not_there_yet() {
    let (place, mut context) = (Place::new(), core());
    let push = open_with(&mut context, Push, |options| {
        options.reconnect_interval = Duration::from_millis(1);
    });
    context.connect(push, &place.endpoint("p")).unwrap();
    context.try_send(push, message("early")).unwrap();
    context.close(push, None);
    assert!(!context.is_closed());
    let pull = open(&mut context, Pull);
    context.bind(pull, &place.endpoint("p"), false).unwrap();
    assert_eq!(recv(&mut context, pull), b"early");
    until(&mut context, |context| context.socket(push).unwrap().state() == State::Closed);
}

#[test]
fn socket_that_closes_with_messages_unread_still_delivers_its_own_over_tcp() {
    let mut context = core();
    let (left, right) = (open(&mut context, Dealer), open(&mut context, Dealer));
    let endpoint = context.bind(left, "tcp://127.0.0.1:0", false).unwrap();
    context.connect(right, &endpoint).unwrap();
    until_peers(&mut context, left, 1);
    for _ in 0..50 {
        send(&mut context, left, vec![1; 10_000]);
        send(&mut context, right, vec![2; 100_000]);
    }
    context.close(right, LONG);
    for _ in 0..50 {
        assert_eq!(recv(&mut context, left), vec![2; 100_000]);
    }
    until(&mut context, |context| context.socket(right).unwrap().state() == State::Closed);
    assert_eq!(context.statistics(right).counters.num_undelivered, 0);
}

#[test]
fn socket_that_disconnects_with_messages_unread_still_delivers_its_own_over_tcp() {
    let mut context = core();
    let left = open(&mut context, Dealer);
    let right = open_with(&mut context, Dealer, |options| options.hwm_messages = 2);
    let endpoint = context.bind(left, "tcp://127.0.0.1:0", false).unwrap();
    context.connect(right, &endpoint).unwrap();
    until_peers(&mut context, left, 1);
    for _ in 0..50 {
        send(&mut context, left, vec![1; 10_000]);
    }
    settle(&mut context);
    while context.try_send(right, message(vec![2; 200_000])).is_ok() {}
    context.disconnect(right, &endpoint).unwrap();
    let num_sent = context.statistics(right).counters.num_messages_sent;
    assert!(num_sent > 0);
    for _ in 0..num_sent {
        assert_eq!(recv(&mut context, left), vec![2; 200_000]);
    }
    // What was received before can still be taken.
    assert_eq!(recv(&mut context, right), vec![1; 10_000]);
    until_peers(&mut context, right, 0);
    assert!(context.connect(right, &endpoint).is_ok());
    send(&mut context, right, "again");
    until(&mut context, |context| {
        let parts = context.try_recv(left).unwrap().map(busduct::link::Message::into_parts);
        parts.is_some_and(|parts| parts[0] == b"again")
    });
}

/// A peer over TCP that reads all and never ends its half.
fn listener_that_stays(context: &mut Core, push: SocketKey) -> TcpStream {
    let endpoint = context.bind(push, "tcp://127.0.0.1:0", false).unwrap();
    let mut stream = TcpStream::connect(endpoint.strip_prefix("tcp://").unwrap()).unwrap();
    stream.write_all(&encode_greeting()).unwrap();
    stream.write_all(&ready(Pull, b"")).unwrap();
    until_peers(context, push, 1);
    stream
}

#[test]
fn unbounded_linger_ends_though_a_peer_never_ends_its_half() {
    let mut context = core();
    let push = open(&mut context, Push);
    let mut stream = listener_that_stays(&mut context, push);
    context.try_send(push, message("last")).unwrap();
    context.close(push, None);
    assert!(!context.is_closed());
    until(&mut context, |context| context.is_closed());
    assert_eq!(context.statistics(push).counters.num_undelivered, 0);
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert!(received.ends_with(b"last"));
}

#[test]
fn peer_that_is_cut_off_amid_a_message_while_its_listener_drains_is_no_fault() {
    let mut context = core();
    let dealer = open(&mut context, Dealer);
    let endpoint = context.bind(dealer, "tcp://127.0.0.1:0", false).unwrap();
    let mut stream = TcpStream::connect(endpoint.strip_prefix("tcp://").unwrap()).unwrap();
    stream.write_all(&encode_greeting()).unwrap();
    stream.write_all(&ready(Dealer, b"")).unwrap();
    until_peers(&mut context, dealer, 1);
    let whole = frame(&[7; 100], false);
    stream.write_all(&whole[..50]).unwrap();
    context.try_send(dealer, message("last")).unwrap();
    settle(&mut context);
    context.close(dealer, LONG);
    stream.read_to_end(&mut Vec::new()).unwrap();
    drop(stream);
    until(&mut context, |context| context.is_closed());
    assert_eq!(context.faults(dealer), []);
}

#[test]
fn closing_twice_is_closing_once() {
    let mut context = core();
    let push = open(&mut context, Push);
    context.close(push, None);
    context.close(push, None);
    assert!(context.is_closed());
}
