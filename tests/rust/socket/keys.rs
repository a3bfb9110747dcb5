//! Contexts with a key: who gets in, and that all arrives as on a plain connection.

use std::time::Duration;

use busduct::socket::{PeerFault, SocketKey};
use busduct::zmtp::SocketType::{Pull, Push};
use busduct::zmtp::{Error, KEY_BYTES, Key};

use crate::drive::{
    Core, Place, core, message, open, open_with, recv, send, settle, until, until_peers,
};

const ANYWHERE: &str = "tcp://127.0.0.1:0";

fn keyed(byte: u8) -> Core {
    Core::with_key(Key::new([byte; KEY_BYTES])).unwrap()
}

fn last_fault(context: &Core, key: SocketKey) -> Option<PeerFault> {
    context.faults(key).pop().map(|error| error.fault)
}

fn refused(reason: &str) -> PeerFault {
    PeerFault::Protocol(Error::Refused { reason: reason.into() })
}

/// Run both contexts until each has a fault of a peer; return these.
fn faults(left: (&mut Core, SocketKey), right: (&mut Core, SocketKey)) -> [PeerFault; 2] {
    until(left.0, |context| {
        right.0.run_once(Some(Duration::ZERO)).unwrap();
        last_fault(context, left.1).is_some() && last_fault(right.0, right.1).is_some()
    });
    [last_fault(left.0, left.1).unwrap(), last_fault(right.0, right.1).unwrap()]
}

#[test]
fn messages_of_all_sizes_arrive_in_order_and_are_counted() {
    let mut context = keyed(1);
    let (pull, push) = (open(&mut context, Pull), open(&mut context, Push));
    let endpoint = context.bind(pull, ANYWHERE, false).unwrap();
    context.connect(push, &endpoint).unwrap();
    let sizes: Vec<usize> = (0..600)
        .map(|step: usize| step.wrapping_mul(2_654_435_761) % 3_000)
        .chain([0, 1, 16_383, 16_384, 65_536, 131_072, 131_073, 3_000_000, 5])
        .collect();
    let (mut num_sent, mut num_received) = (0, 0);
    until(&mut context, |context| {
        while let Some(&nbytes) = sizes.get(num_sent)
            && context.try_send(push, message(vec![num_sent as u8; nbytes])).is_ok()
        {
            num_sent += 1;
        }
        while let Some(part) = context.try_recv_single(pull).unwrap() {
            assert!(part == vec![num_received as u8; sizes[num_received]]);
            num_received += 1;
        }
        num_received == sizes.len()
    });
    let sent = context.statistics(push).counters;
    let received = context.statistics(pull).counters;
    assert_eq!(sent.num_bytes_sent, sizes.iter().sum::<usize>() as u64);
    assert_eq!(received.num_bytes_received, sent.num_bytes_sent);
}

#[test]
fn a_full_inbox_holds_up_sealed_messages_without_losing_any() {
    let mut context = keyed(1);
    let pull = open_with(&mut context, Pull, |options| options.hwm_messages = 3);
    let push = open(&mut context, Push);
    let endpoint = context.bind(pull, ANYWHERE, false).unwrap();
    context.connect(push, &endpoint).unwrap();
    until_peers(&mut context, pull, 1);
    for index in 0..1000_u32 {
        send(&mut context, push, index.to_be_bytes());
    }
    settle(&mut context);
    assert!(context.num_readable(pull) <= 3);
    for index in 0..1000_u32 {
        assert_eq!(recv(&mut context, pull), index.to_be_bytes());
    }
}

#[test]
fn another_key_is_refused_and_the_next_peer_is_served() {
    let (mut server, mut stranger, mut friend) = (keyed(1), keyed(2), keyed(1));
    let pull = open(&mut server, Pull);
    let endpoint = server.bind(pull, ANYWHERE, false).unwrap();
    let intruding = open(&mut stranger, Push);
    stranger.connect(intruding, &endpoint).unwrap();
    let faults = faults((&mut server, pull), (&mut stranger, intruding));
    assert_eq!(faults, [refused("peer refused: wrong key"), PeerFault::Protocol(Error::WrongKey)]);
    let counters = server.statistics(pull).counters;
    assert_eq!((counters.num_connected, counters.num_handshakes_failed), (0, 1));
    let push = open(&mut friend, Push);
    friend.connect(push, &endpoint).unwrap();
    friend.try_send(push, message("hello")).unwrap();
    until(&mut server, |server| {
        friend.run_once(Some(Duration::ZERO)).unwrap();
        server.num_readable(pull) == 1
    });
}

#[test]
fn a_side_with_a_key_and_one_without_refuse_each_other_by_name() {
    for (mut server, mut client, names) in
        [(keyed(1), core(), ["NULL", "BUSDUCT"]), (core(), keyed(1), ["BUSDUCT", "NULL"])]
    {
        let (pull, push) = (open(&mut server, Pull), open(&mut client, Push));
        let endpoint = server.bind(pull, ANYWHERE, false).unwrap();
        client.connect(push, &endpoint).unwrap();
        let faults = faults((&mut server, pull), (&mut client, push));
        let [theirs, ours] = names;
        assert_eq!(
            faults,
            [
                refused(&format!("peer asks for mechanism {theirs}; this side speaks {ours}")),
                refused(&format!("peer asks for mechanism {ours}; this side speaks {theirs}")),
            ]
        );
    }
}

#[test]
fn insecure_endpoints_and_ipc_need_no_key() {
    let place = Place::new();
    for (endpoint, insecure) in [(ANYWHERE, true), (&place.endpoint("e"), false)] {
        let (mut server, mut client) = (keyed(1), core());
        let (pull, push) = (open(&mut server, Pull), open(&mut client, Push));
        let endpoint = server.bind(pull, endpoint, insecure).unwrap();
        client.connect(push, &endpoint).unwrap();
        client.try_send(push, message("hello")).unwrap();
        until(&mut server, |server| {
            client.run_once(Some(Duration::ZERO)).unwrap();
            server.num_readable(pull) == 1
        });
    }
    let (mut server, mut client) = (core(), keyed(1));
    let (pull, push) = (open(&mut server, Pull), open(&mut client, Push));
    let endpoint = server.bind(pull, ANYWHERE, false).unwrap();
    client.connect_insecure(push, &endpoint).unwrap();
    until(&mut server, |server| {
        client.run_once(Some(Duration::ZERO)).unwrap();
        server.statistics(pull).num_peers == 1
    });
}

#[test]
fn a_key_permits_addresses_other_than_loopback() {
    let mut context = keyed(1);
    let pull = open(&mut context, Pull);
    assert!(context.bind(pull, "tcp://0.0.0.0:0", false).is_ok());
}

#[test]
fn disconnecting_amid_a_full_stream_delivers_what_counts_as_sent() {
    let (mut receiver, mut sender) = (keyed(1), keyed(1));
    let pull = open_with(&mut receiver, Pull, |options| options.hwm_messages = 1);
    let push = open_with(&mut sender, Push, |options| options.linger = None);
    let endpoint = receiver.bind(pull, ANYWHERE, false).unwrap();
    sender.connect(push, &endpoint).unwrap();
    until(&mut receiver, |receiver| {
        sender.run_once(Some(Duration::ZERO)).unwrap();
        receiver.statistics(pull).num_peers == 1 && sender.statistics(push).num_peers == 1
    });
    // Nobody reads: the kernel fills up, then what is sealed waits.
    while sender.try_send(push, message(vec![7; 50_000])).is_ok() {
        sender.run_once(Some(Duration::ZERO)).unwrap();
    }
    let num_sent = sender.statistics(push).counters.num_messages_sent;
    sender.disconnect(push, &endpoint).unwrap();
    let mut num_received = 0;
    until(&mut receiver, |receiver| {
        sender.run_once(Some(Duration::ZERO)).unwrap();
        while receiver.try_recv_single(pull).unwrap().is_some() {
            num_received += 1;
        }
        receiver.statistics(pull).num_peers == 0
    });
    assert_eq!(num_received, num_sent);
}
