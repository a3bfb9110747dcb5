//! Peers that publish what is no record, or too much.

use busduct::zmtp::{SocketType::Push, encode_header};

use crate::drive::until;
use crate::half::{Moved, PART, RING_BYTES, SLOT, STREAM, record};
use crate::raw::{accept, command, decline, frame, offer, ready};
use crate::scene::Scene;
use crate::words::Word;

const MORE: u8 = 1;

/// How the context calls what `say` does, behind a message that is received all the same.
#[track_caller]
fn error_of(say: impl FnOnce(&mut Moved)) -> String {
    let mut scene = Scene::new(|options| {
        options.max_message_bytes = 200_000;
        options.max_parts = 4;
    });
    let mut peer = scene.moved();
    peer.say_part(b"before");
    let pull = scene.pull;
    until(&mut scene.context, |context| context.statistics(pull).num_recv_queued == 1);
    say(&mut peer);
    let error = scene.first_error();
    assert_eq!(scene.recv(), b"before");
    drop(peer);
    scene.ended();
    error
}

#[test]
fn a_tail_that_cannot_be_ends_the_link() {
    let size = RING_BYTES as u64;
    // After 16 bytes that were read, or not.
    for tail in [1, 12, 15, 17, 20, 23, 17 + size, 24 + size, 1 << 32, 1 << 63, u64::MAX] {
        let error = error_of(|peer| {
            peer.ours.words.set(Word::Tail, tail);
            peer.ring();
        });
        assert!(error.contains("a ring"), "{tail}: {error}");
    }
}

#[test]
fn a_tail_that_goes_back_ends_the_link() {
    for tail in [0, 8, 15] {
        let mut scene = Scene::new(|_| {});
        let mut peer = scene.moved();
        peer.say_part(b"before");
        assert_eq!(scene.recv(), b"before");
        peer.ours.words.set(Word::Tail, tail);
        peer.ring();
        assert!(scene.error().contains("position in a ring that cannot be"));
    }
}

#[test]
fn what_is_no_record_ends_the_link() {
    let header = |nbytes: u32, rest: [u8; 4]| [nbytes.to_le_bytes(), rest].concat();
    let hostile: [(Vec<u8>, &str); 12] = [
        (record(0, 0, b""), "record of an unknown kind"),
        (record(4, 0, b""), "record of an unknown kind"),
        (record(255, 0, b""), "record of an unknown kind"),
        (record(PART, 2, b""), "record of an unknown kind"),
        (record(SLOT, 0x81, b""), "record of an unknown kind"),
        (record(STREAM, MORE, b""), "record of an unknown kind"),
        (header(0, [PART, 0, 1, 0]), "record with reserved bits"),
        (header(0, [PART, 0, 0, 1]), "record with reserved bits"),
        (header(1, [PART, 0, 0, 0]), "record past the end of the ring"),
        (header(u32::MAX, [PART, 0, 0, 0]), "record past the end of the ring"),
        (header(u32::MAX - 7, [STREAM, 0, 0, 0]), "record past the end of the ring"),
        (vec![0xff; 64], "record with reserved bits"),
    ];
    for (bytes, expected) in hostile {
        let error = error_of(|peer| peer.say(&bytes));
        assert!(error.contains(expected), "{error}, not {expected}");
    }
}

#[test]
fn a_message_that_is_not_whole_ends_the_link() {
    let part = record(PART, MORE, b"part");
    let error = error_of(|peer| peer.say(&part));
    assert!(error.contains("message cut in a ring"), "{error}");
    let stream = record(STREAM, 0, &frame(b"whole"));
    let error = error_of(|peer| peer.say(&[part, stream].concat()));
    assert!(error.contains("stream amid a message"), "{error}");
}

#[test]
fn a_message_over_a_limit_ends_the_link() {
    let parts = [record(PART, MORE, b"").repeat(4), record(PART, 0, b"")].concat();
    let error = error_of(|peer| peer.say(&parts));
    assert!(error.contains("5 parts exceeds limit of 4 parts"), "{error}");
    let mut header = Vec::new();
    encode_header(&mut header, 200_001, false, false);
    let error = error_of(|peer| peer.say(&record(STREAM, 0, &header)));
    assert!(error.contains("exceeds limit of 200000 bytes"), "{error}");
}

#[test]
fn what_no_stream_holds_ends_the_link() {
    let again = "SHM out of place";
    let hostile: [(Vec<u8>, &str); 8] = [
        (vec![0xff; 16], "reserved flag bits are set"),
        (command(b""), "command without a name"),
        (command(&[1; 9000]), "exceeds limit"),
        (ready(Push, None), "second READY"),
        (accept(), again),
        (decline(), again),
        (offer(RING_BYTES as u64), again),
        (command(b"\x09SUBSCRIBE"), "SUBSCRIBE to a socket that does not publish"),
    ];
    for (bytes, expected) in hostile {
        let bytes = &bytes[..bytes.len().min(1000)];
        let error = error_of(|peer| peer.say(&record(STREAM, 0, bytes)));
        assert!(error.contains(expected), "{error}, not {expected}");
    }
}

#[test]
fn frames_may_be_cut_anywhere_and_mixed_with_records() {
    let mut scene = Scene::new(|_| {});
    let mut peer = scene.moved();
    let stream = [frame(b"first"), command(b"\x04PING\0\0"), frame(&[7; 300])].concat();
    for cut in 0..=stream.len() {
        let (front, back) = stream.split_at(cut);
        peer.say(&record(STREAM, 0, front));
        peer.say(&record(STREAM, 0, b""));
        peer.say(&record(STREAM, 0, back));
        peer.say_part(b"after");
        for expected in [&b"first"[..], &[7; 300], b"after"] {
            assert_eq!(scene.recv(), expected, "cut at {cut}");
        }
    }
    assert_eq!(scene.context.faults(scene.pull), []);
}

/// Nothing is published beyond what was given back, however it is counted.
#[test]
fn records_of_any_size_pass_the_end_of_the_ring() {
    let mut scene = Scene::new(|_| {});
    let mut peer = scene.moved();
    for round in 0..600 {
        let payload = vec![round as u8; round * 37 % (RING_BYTES - 7)];
        peer.say_part(&payload);
        assert_eq!(scene.recv(), payload);
        assert_eq!(peer.ours.words.get(Word::Head), peer.ours.tail);
    }
}
