//! Peers that never read or never pause: the others go on, and lose nothing.

use std::os::fd::AsFd;
use std::time::Duration;

use busduct::link::Message;
use busduct::zmtp::SocketType::{Pull, Push};

use crate::bounded::{beside, bounded};
use crate::drive::{core, open, open_with, settle, until, until_peers};
use crate::half::{BYE, Moved, PART, PING, RING_BYTES, SLOT, Segment, record};
use crate::scene::Scene;
use crate::words::Word;

#[test]
fn a_line_that_never_pauses_does_not_hold_up_others() {
    bounded(|| {
        let mut scene = Scene::new(|_| {});
        let Moved { mut raw, .. } = scene.moved();
        let pings = PING.repeat(1024);
        let mut at = 0;
        beside(
            || at = (at + raw.flood(&pings[at..])) % pings.len(),
            || {
                for _ in 0..10 {
                    scene.context.run_once(Some(Duration::from_millis(1))).unwrap();
                    scene.honest_goes_on();
                }
            },
        );
        drop(raw);
        scene.ended();
        assert_eq!(scene.context.faults(scene.pull), []);
    });
}

#[test]
fn few_notices_are_answered_in_one_turn() {
    let mut scene = Scene::new(|_| {});
    let mut peer = scene.moved();
    settle(&mut scene.context);
    peer.raw.write(&PING.repeat(1000));
    let mut num_answered = 0;
    while num_answered < 1000 {
        scene.context.run_once(Some(Duration::ZERO)).unwrap();
        peer.raw.read();
        let num_now = peer.raw.received.len() / PING.len();
        assert!((1..=64).contains(&(num_now - num_answered)), "{num_now} after {num_answered}");
        num_answered = num_now;
    }
}

#[test]
fn few_messages_that_nobody_wants_are_read_in_one_turn() {
    let mut scene = Scene::new(|_| {});
    let push = open_with(&mut scene.context, Push, |options| options.hwm_messages = 1);
    scene.context.bind(push, &scene.place.endpoint("q"), false).unwrap();
    let mut peer = Moved::up(&mut scene.context, &scene.place.path("q"), Pull);
    settle(&mut scene.context);
    let num_sent = RING_BYTES / 16;
    (0..num_sent).for_each(|_| peer.ours.write(&record(PART, 0, b"unwanted")));
    peer.ours.publish();
    peer.ring();
    let mut num_read = 0;
    while num_read < num_sent as u64 {
        scene.context.run_once(Some(Duration::ZERO)).unwrap();
        let num_now = scene.context.statistics(push).counters.num_messages_received;
        assert!((1..=4).contains(&(num_now - num_read)), "{num_now} after {num_read}");
        num_read = num_now;
    }
}

#[test]
fn what_is_handed_over_is_found_behind_any_number_of_notices() {
    let mut scene = Scene::new(|_| {});
    let mut peer = scene.moved();
    for num_notices in [0, 1, 63, 64, 65, 127, 128, 1000] {
        let segment = Segment::make(num_notices as u32, 8, 4, 32 << 10);
        settle(&mut scene.context);
        peer.raw.write(&PING.repeat(num_notices));
        peer.announce(segment.told, segment.fd.as_fd());
        peer.say_slot(segment.descriptor(0, 10));
        assert_eq!(scene.recv(), [0; 10], "{num_notices}");
    }
}

#[test]
fn a_bell_that_never_rests_does_not_hold_up_others() {
    bounded(|| {
        let mut scene = Scene::new(|_| {});
        let peer = scene.moved();
        beside(|| peer.ring(), || (0..100).for_each(|_| scene.honest_goes_on()));
    });
}

/// Send numbers, every third as a large payload, while a raw peer does what `act` says.
#[track_caller]
fn numbers_reach_the_next(act: impl Fn(&mut Moved, &mut crate::drive::Core)) {
    const NUM_SENT: u32 = 200;
    let mut scene = Scene::new(|_| {});
    let push = open_with(&mut scene.context, Push, |options| options.hwm_messages = 4);
    let endpoint = scene.context.bind(push, &scene.place.endpoint("q"), false).unwrap();
    let mut peer = Some(Moved::up(&mut scene.context, &scene.place.path("q"), Pull));
    let mut next = core();
    let pull = open(&mut next, Pull);
    let mut waiting: Vec<_> = (0..NUM_SENT).rev().collect();
    let mut received = Vec::new();
    until(&mut scene.context, |context| {
        while let Some(&number) = waiting.last() {
            let nbytes = if number % 3 == 0 { 50_000 } else { 100 };
            let mut payload = vec![number as u8; nbytes];
            payload[..4].copy_from_slice(&number.to_le_bytes());
            if context.try_send(push, Message::Single(payload)).is_err() {
                break;
            }
            waiting.pop();
        }
        context.flush();
        if let Some(mut gone) = peer.take_if(|_| context.statistics(push).num_send_queued > 0) {
            act(&mut gone, context);
            drop(gone);
            next.connect(pull, &endpoint).unwrap();
        }
        next.run_once(Some(Duration::ZERO)).unwrap();
        while let Some(message) = next.try_recv(pull).unwrap() {
            let payload = message.into_parts().remove(0);
            assert!(payload[4..].iter().all(|&byte| byte == payload[0]), "torn");
            received.push(u32::from_le_bytes(payload[..4].try_into().unwrap()));
        }
        received.len() as u32 >= NUM_SENT
    });
    received.sort_unstable();
    assert!(received.into_iter().eq(0..NUM_SENT));
    scene.honest_goes_on();
}

#[test]
fn what_a_peer_never_read_reaches_the_next() {
    numbers_reach_the_next(|_, _| {});
    numbers_reach_the_next(|peer, _| assert!(peer.raw.write(&BYE)));
}

#[test]
fn what_a_peer_holds_without_having_taken_it_reaches_the_next() {
    numbers_reach_the_next(|peer, context| {
        while peer.take_record(context).0 != SLOT {}
        peer.ring();
    });
}

#[test]
fn a_full_inbox_holds_up_its_own_peer_only() {
    let mut scene = Scene::new(|_| {});
    let other = open_with(&mut scene.context, Pull, |options| options.hwm_messages = 2);
    scene.context.bind(other, &scene.place.endpoint("q"), false).unwrap();
    let mut peer = Moved::up(&mut scene.context, &scene.place.path("q"), Push);
    let payload = [7; 56];
    while peer.ours.tail < RING_BYTES as u64 {
        peer.ours.write(&record(PART, 0, &payload));
    }
    peer.ours.publish();
    peer.ring();
    for _ in 0..10 {
        scene.honest_goes_on();
        settle(&mut scene.context);
    }
    assert_eq!(peer.ours.words.get(Word::Head), 0);
    assert_eq!(scene.context.statistics(other).num_recv_queued, 2);
    let mut num_taken = 0;
    until(&mut scene.context, |context| {
        while let Some(message) = context.try_recv(other).unwrap() {
            assert_eq!(message.parts(), [payload]);
            num_taken += 1;
        }
        num_taken == RING_BYTES / 64
    });
    assert_eq!(peer.ours.words.get(Word::Head), RING_BYTES as u64);
    drop(peer);
    until_peers(&mut scene.context, other, 0);
}
