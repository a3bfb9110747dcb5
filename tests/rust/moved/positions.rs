//! Peers that store what they like in the words that both sides share.

use std::time::Duration;

use busduct::context::ShmOptions;
use busduct::link::Message;
use busduct::socket::SocketKey;
use busduct::zmtp::SocketType::{Pull, Push};

use crate::bounded::{beside, bounded};
use crate::drive::{open_with, until};
use crate::half::{BYE, Moved, PART, RING_BYTES, STREAM, record};
use crate::raw::accept;
use crate::scene::Scene;
use crate::words::Word;

const MALFORMED: &str = "position in a ring that cannot be";
const SMALL: usize = 4096;

/// A scene whose context also sends, to a raw peer that has moved.
fn sender(ring_bytes: usize) -> (Scene, SocketKey, Moved) {
    let mut scene = Scene::with(ShmOptions { ring_bytes, ..ShmOptions::default() }, |_| {});
    let push = open_with(&mut scene.context, Push, |options| options.hwm_messages = 4);
    scene.context.bind(push, &scene.place.endpoint("q"), false).unwrap();
    let path = scene.place.path("q");
    let peer = Moved::up(&mut scene.context, &path, Pull);
    (scene, push, peer)
}

#[track_caller]
fn send(scene: &mut Scene, key: SocketKey, payload: &[u8]) {
    scene.context.try_send(key, Message::Single(payload.to_vec())).unwrap();
    scene.context.flush();
}

/// Wait until the raw peer of `key` is let go; how the context calls its fault.
#[track_caller]
fn fault(scene: &mut Scene, key: SocketKey) -> String {
    until(&mut scene.context, |context| context.statistics(key).num_peers == 0);
    let faults = scene.context.faults(key);
    scene.honest_goes_on();
    faults.iter().map(|error| format!("{:?}", error.fault)).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_reader_that_says_it_is_amid_a_record_is_written_whole_ones() {
    bounded(|| {
        for head in 1..32 {
            let (mut scene, push, mut peer) = sender(SMALL);
            send(&mut scene, push, &[1; 24]);
            assert_eq!(peer.take_record(&mut scene.context), (PART, vec![1; 24]));
            peer.reader.release(head);
            // Too long for the ring: it goes in pieces that fill all the room there is.
            send(&mut scene, push, &[2; 2 * SMALL]);
            peer.ring();
            scene.honest_goes_on();
            let mut stream = Vec::new();
            while stream.len() < 9 + 2 * SMALL {
                let (kind, bytes) = peer.take_record(&mut scene.context);
                assert_eq!(kind, STREAM);
                stream.extend(bytes);
                peer.reader.release(peer.reader.position());
                peer.ring();
            }
            assert_eq!(stream[9..], [2; 2 * SMALL]);
        }
    });
}

#[test]
fn a_head_that_cannot_be_ends_the_link() {
    bounded(|| {
        for head in [33, 1 << 32, u64::MAX] {
            let (mut scene, push, peer) = sender(SMALL);
            send(&mut scene, push, &[1; 24]);
            peer.words.set(Word::Head, head);
            send(&mut scene, push, &[2; 100_000]);
            let fault = fault(&mut scene, push);
            assert!(fault.contains(MALFORMED), "{head}: {fault}");
        }
    });
}

#[test]
fn what_looks_like_records_in_a_payload_is_not_sent_again() {
    let (mut scene, push, peer) = sender(SMALL);
    // A record of 1000 bytes that holds 125 empty ones.
    send(&mut scene, push, &record(PART, 0, b"").repeat(125));
    peer.words.set(Word::Head, 8);
    drop(peer);
    until(&mut scene.context, |context| context.statistics(push).num_peers == 0);
    let statistics = scene.context.statistics(push);
    assert_eq!(statistics.num_send_queued, 0);
    assert_eq!(statistics.counters.num_messages_sent, 1);
}

#[test]
fn what_was_not_read_by_one_that_is_gone_goes_to_the_next() {
    let (mut scene, push, mut peer) = sender(SMALL);
    for payload in [&[1; 24][..], &[2; 100], &[3; 20_000], b""] {
        send(&mut scene, push, payload);
    }
    peer.take_record(&mut scene.context);
    peer.words.set(Word::Head, peer.reader.position());
    drop(peer);
    until(&mut scene.context, |context| context.statistics(push).num_peers == 0);
    let statistics = scene.context.statistics(push);
    assert_eq!(statistics.num_send_queued, 3);
    assert_eq!(statistics.counters.num_messages_sent, 1);
    let path = scene.place.path("q");
    let mut next = Moved::up(&mut scene.context, &path, Pull);
    assert_eq!(next.take_record(&mut scene.context).1, [2; 100]);
    let told = next.take_slot(&mut scene.context);
    assert_eq!(told.nbytes, 20_000);
    assert_eq!(next.take_record(&mut scene.context), (PART, vec![]));
    assert_eq!(scene.context.statistics(push).counters.num_messages_sent, 4);
}

#[test]
fn a_peer_that_talks_of_moving_once_it_has_moved_leaves_nothing_lent() {
    let (mut scene, push, mut peer) = sender(SMALL);
    send(&mut scene, push, &[1; 100_000]);
    let told = peer.take_slot(&mut scene.context);
    assert!(peer.words.is_held(told.slot));
    assert_eq!(scene.context.shm_statistics().num_shm_slots_held, 1);
    peer.say(&record(STREAM, 0, &accept()));
    let fault = fault(&mut scene, push);
    assert!(fault.contains("SHM out of place"), "{fault}");
    drop(peer);
    until(&mut scene.context, |context| context.shm_statistics().num_shm_slots_held == 0);
}

#[test]
fn a_reader_that_leaves_and_then_floods_its_line_holds_nobody_up() {
    bounded(|| {
        let (mut scene, push, mut peer) = sender(SMALL);
        send(&mut scene, push, &[1; 100_000]);
        peer.take_slot(&mut scene.context);
        peer.raw.write(&BYE);
        fault(&mut scene, push);
        assert_eq!(scene.context.shm_statistics().num_shm_slots_held, 1);
        let flood = [7; 4096];
        beside(
            || {
                peer.raw.flood(&flood);
            },
            || {
                for _ in 0..10 {
                    scene.honest_goes_on();
                }
            },
        );
        drop(peer);
        until(&mut scene.context, |context| context.shm_statistics().num_shm_slots_held == 0);
    });
}

/// Fill a peer's ring with whole records, to be published again and again.
fn fill(peer: &mut Moved) {
    while peer.ours.tail < RING_BYTES as u64 {
        peer.ours.write(&record(PART, 0, b"unwanted"));
    }
}

/// Publish as much as there is room for, and ring if nobody looks.
fn refill(peer: &Moved) {
    let words = &peer.ours.words;
    words.set(Word::Tail, words.get(Word::Head) + RING_BYTES as u64);
    if words.get(Word::ReaderSleeps) != 0 {
        words.set(Word::ReaderSleeps, 0);
        peer.ring();
    }
}

#[test]
fn a_writer_that_never_pauses_does_not_hold_up_a_socket_that_only_sends() {
    bounded(|| {
        let mut scene = Scene::new(|_| {});
        let push = open_with(&mut scene.context, Push, |options| options.hwm_messages = 1);
        scene.context.bind(push, &scene.place.endpoint("q"), false).unwrap();
        let path = scene.place.path("q");
        let mut peer = Moved::up(&mut scene.context, &path, Pull);
        fill(&mut peer);
        refill(&peer);
        peer.ring();
        beside(
            || refill(&peer),
            || {
                for _ in 0..10 {
                    scene.context.run_once(Some(Duration::from_millis(1))).unwrap();
                    scene.honest_goes_on();
                }
                // Even so, what there is to read is read.
                let num_received = |context: &mut crate::drive::Core| {
                    context.statistics(push).counters.num_messages_received
                };
                until(&mut scene.context, |context| num_received(context) > 10_000);
                scene.context.close(push, Some(Duration::ZERO));
            },
        );
    });
}

#[test]
fn a_writer_that_has_left_is_not_read_any_more() {
    bounded(|| {
        let mut scene = Scene::new(|options| options.max_peers = 2);
        for _ in 0..3 {
            let mut peer = scene.moved();
            fill(&mut peer);
            refill(&peer);
            peer.raw.write(&BYE);
            beside(
                || refill(&peer),
                || {
                    let pull = scene.pull;
                    until(&mut scene.context, |context| context.statistics(pull).num_peers == 1);
                    let mut num_received = 0;
                    while let Some(message) = scene.context.try_recv(pull).unwrap() {
                        assert_eq!(message.parts(), [b"unwanted"]);
                        num_received += 1;
                        assert!(num_received < 10_000, "it is read for ever");
                    }
                },
            );
            refill(&peer);
        }
        scene.ended();
    });
}
