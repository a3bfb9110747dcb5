//! High-water marks, by messages and by bytes, on both sides.

use busduct::link::{Message, PART_OVERHEAD_BYTES};
use busduct::socket::{SendFault, SocketKey};
use busduct::zmtp::SocketType::{Dealer, Pull, Push, Router};

use crate::drive::{Core, Place, core, message, open_with, recv, settle, until, until_peers};
use crate::raw::{Raw, frame};

const NBYTES: usize = 100;
const COST: usize = NBYTES + PART_OVERHEAD_BYTES;

/// Send until there is no room; return how many were accepted.
fn fill(context: &mut Core, push: SocketKey, nbytes: usize) -> usize {
    let mut num_accepted = 0;
    loop {
        let mut payload = vec![0; nbytes];
        payload[..8].copy_from_slice(&(num_accepted as u64).to_be_bytes());
        match context.try_send(push, message(payload)) {
            Ok(()) => num_accepted += 1,
            Err((SendFault::Full { .. }, _)) => return num_accepted,
            Err((fault, _)) => panic!("{fault:?}"),
        }
    }
}

fn number(payload: &[u8]) -> usize {
    u64::from_be_bytes(payload[..8].try_into().unwrap()) as usize
}

#[test]
fn socket_without_peers_queues_exactly_as_many_messages_as_its_mark_says() {
    let mut context = core();
    let push = open_with(&mut context, Push, |options| options.hwm_messages = 10);
    assert_eq!(fill(&mut context, push, NBYTES), 10);
    assert_eq!(context.statistics(push).num_send_queued, 10);
    assert!(!context.is_writable(push));
}

#[test]
fn socket_without_peers_queues_exactly_as_many_bytes_as_its_mark_says() {
    let mut context = core();
    let push = open_with(&mut context, Push, |options| options.hwm_bytes = 10 * COST);
    assert_eq!(fill(&mut context, push, NBYTES), 10);
    assert_eq!(context.statistics(push).num_send_queued_bytes, 10 * COST);
    let tight = open_with(&mut context, Push, |options| options.hwm_bytes = 10 * COST - 1);
    assert_eq!(fill(&mut context, tight, NBYTES), 9);
}

#[test]
fn message_over_the_mark_of_bytes_is_accepted_alone() {
    let mut context = core();
    let push = open_with(&mut context, Push, |options| options.hwm_bytes = 1);
    assert_eq!(fill(&mut context, push, NBYTES), 1);
}

#[test]
fn full_queue_to_a_peer_that_does_not_read_holds_what_the_marks_say_and_loses_nothing() {
    for (hwm_messages, hwm_bytes, num_queued) in [(10, 1 << 30, 10), (1000, 6 * COST, 6)] {
        let (place, mut context) = (Place::new(), core());
        let push = open_with(&mut context, Push, |options| {
            options.hwm_messages = hwm_messages;
            options.hwm_bytes = hwm_bytes;
        });
        context.bind(push, &place.endpoint("p"), false).unwrap();
        let mut raw = Raw::up(&mut context, &place.path("p"), Pull, b"");
        until_peers(&mut context, push, 1);
        let num_accepted = fill(&mut context, push, NBYTES);
        assert_eq!(context.statistics(push).num_send_queued, num_queued);
        assert!(!context.is_writable(push));
        for index in 0..num_accepted {
            assert_eq!(number(&raw.take_frame(&mut context)), index);
        }
        settle(&mut context);
        assert!(context.is_writable(push));
        assert_eq!(context.statistics(push).num_send_queued, 0);
        assert_eq!(context.statistics(push).num_send_queued_bytes, 0);
    }
}

#[test]
fn receiver_that_does_not_take_holds_what_its_mark_of_messages_says_and_loses_nothing() {
    let (place, mut context) = (Place::new(), core());
    let pull = open_with(&mut context, Pull, |options| options.hwm_messages = 7);
    context.bind(pull, &place.endpoint("p"), false).unwrap();
    let mut raw = Raw::up(&mut context, &place.path("p"), Push, b"");
    let frames: Vec<u8> = (0..1_000_u64).flat_map(|n| frame(&n.to_be_bytes(), false)).collect();
    raw.write(&frames);
    settle(&mut context);
    assert_eq!(context.num_readable(pull), 7);
    for index in 0..1_000 {
        assert_eq!(number(&recv(&mut context, pull)), index);
        assert!(context.statistics(pull).num_recv_queued <= 7);
    }
    assert!(!context.is_readable(pull));
}

#[test]
fn receiver_that_does_not_take_holds_one_message_over_its_mark_of_bytes_at_most() {
    let (place, mut context) = (Place::new(), core());
    let pull = open_with(&mut context, Pull, |options| options.hwm_bytes = 5 * COST);
    context.bind(pull, &place.endpoint("p"), false).unwrap();
    let mut raw = Raw::up(&mut context, &place.path("p"), Push, b"");
    raw.write(&frame(&[3; NBYTES], false).repeat(500));
    settle(&mut context);
    assert_eq!(context.statistics(pull).num_recv_queued_bytes, 6 * COST);
    for _ in 0..500 {
        assert_eq!(recv(&mut context, pull), [3; NBYTES]);
        assert!(context.statistics(pull).num_recv_queued_bytes <= 6 * COST);
    }
    assert_eq!(context.statistics(pull).num_recv_queued_bytes, 0);
}

#[test]
fn starved_sender_is_woken_when_its_peer_reads() {
    let (place, mut context) = (Place::new(), core());
    let push = open_with(&mut context, Push, |options| options.hwm_messages = 4);
    context.bind(push, &place.endpoint("p"), false).unwrap();
    let mut raw = Raw::up(&mut context, &place.path("p"), Pull, b"");
    until_peers(&mut context, push, 1);
    let num_accepted = fill(&mut context, push, 64 << 10);
    context.take_woken(&mut Vec::new());
    for _ in 0..num_accepted {
        raw.take_frame(&mut context);
    }
    settle(&mut context);
    let mut woken = Vec::new();
    context.take_woken(&mut woken);
    assert_eq!(woken, [push]);
}

/// A ROUTER that is full for a peer "x" which does not read, and a peer "y".
fn router_with_one_stuck(context: &mut Core, place: &Place) -> (SocketKey, Raw, Raw) {
    let router = open_with(context, Router, |options| options.hwm_messages = 8);
    context.bind(router, &place.endpoint("r"), false).unwrap();
    let x = Raw::up(context, &place.path("r"), Dealer, b"x");
    let y = Raw::up(context, &place.path("r"), Dealer, b"y");
    until_peers(context, router, 2);
    fill_route(context, router, b"x", 64 << 10);
    (router, x, y)
}

/// Send to one peer until it has no room; return how many were accepted.
fn fill_route(context: &mut Core, router: SocketKey, id: &[u8], nbytes: usize) -> usize {
    let mut num_accepted = 0;
    while send_to(context, router, id, nbytes) {
        num_accepted += 1;
    }
    num_accepted
}

fn send_to(context: &mut Core, router: SocketKey, id: &[u8], nbytes: usize) -> bool {
    let parts = vec![id.to_vec(), vec![0; nbytes]];
    match context.try_send(router, Message::Multi(parts)) {
        Ok(()) => true,
        Err((SendFault::Full { .. }, _)) => false,
        Err((fault, _)) => panic!("{fault:?}"),
    }
}

fn is_woken(context: &mut Core, key: SocketKey) -> bool {
    let mut woken = Vec::new();
    context.take_woken(&mut woken);
    woken.contains(&key) && context.take_relief(key)
}

/// Send to "y" until one more was accepted because writing made room, and only some.
fn find_some_room(context: &mut Core, router: SocketKey, nbytes: usize) -> bool {
    let mut before = 0;
    while send_to(context, router, b"y", nbytes) {
        let num_queued = context.statistics(router).num_send_queued;
        if before == 16 && num_queued > 8 + 5 {
            return true;
        }
        before = num_queued;
    }
    false
}

#[test]
fn sender_to_one_peer_is_woken_though_one_to_another_found_room_by_writing() {
    let mut num_found = 0;
    // How much the kernel takes of the last batch differs by size.
    for nbytes in (1_000..16_000).step_by(500) {
        let (place, mut context) = (Place::new(), core());
        let (router, mut x, _y) = router_with_one_stuck(&mut context, &place);
        if !find_some_room(&mut context, router, nbytes) {
            continue;
        }
        num_found += 1;
        is_woken(&mut context, router);
        let num_queued = context.statistics(router).num_send_queued;
        until(&mut context, |context| {
            x.read();
            context.statistics(router).num_send_queued <= num_queued - 8
        });
        assert!(is_woken(&mut context, router), "{nbytes}");
    }
    assert!(num_found > 0);
}

#[test]
fn sender_to_a_full_peer_is_woken_when_that_leaves_and_all_others_are_full() {
    let (place, mut context) = (Place::new(), core());
    let (router, x, _y) = router_with_one_stuck(&mut context, &place);
    fill_route(&mut context, router, b"y", 64 << 10);
    is_woken(&mut context, router);
    assert!(!context.take_relief(router));
    drop(x);
    until_peers(&mut context, router, 1);
    assert!(is_woken(&mut context, router));
    assert!(!send_to(&mut context, router, b"y", 64 << 10));
    assert!(!context.take_relief(router));
}
