//! The byte vectors that every decoder of ours must agree on, one link for each.

mod keys;
mod peer;

use std::path::Path;

use busduct::socket::{PeerFault, SocketOptions};
use busduct::zmtp::{Error, SocketType, encode_greeting, encode_ready};
use serde_json::Value;

use crate::peer::{Peer, Step};

const CUTS: [usize; 3] = [usize::MAX, 1, 7];

fn load(name: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/vectors");
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn name(vector: &Value) -> &str {
    vector["name"].as_str().unwrap()
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn messages(vector: &Value) -> Vec<Vec<Vec<u8>>> {
    let messages = vector["messages"].as_array().unwrap();
    messages.iter().map(|parts| parts.as_array().unwrap().iter().map(bytes).collect()).collect()
}

/// Whether `error`, of a stream of which `skipped` bytes stood before the vector's, is the
/// one that `expected` describes.
fn matches(error: &Error, expected: &Value, skipped: u64) -> bool {
    let kind = expected["kind"].as_str().unwrap();
    match error {
        Error::Malformed { offset, .. } => {
            let wanted = expected.get("offset").map(|wanted| wanted.as_u64().unwrap());
            kind == "malformed" && wanted.is_none_or(|wanted| wanted + skipped == *offset)
        }
        Error::TooLarge { size, limit, unit } => {
            kind == "too_large"
                && expected["size"].as_u64() == Some(*size)
                && expected["limit"].as_u64() == Some(*limit)
                && expected["unit"].as_str() == Some(unit)
        }
        Error::Refused { .. } => kind == "refused",
        Error::WrongKey | Error::Tampered { .. } => kind == "auth",
        Error::OutOfMemory { .. } => false,
    }
}

#[track_caller]
fn assert_fault(fault: Option<PeerFault>, expected: &Value, skipped: u64, name: &str) {
    match fault {
        None => assert!(expected.is_null(), "{name}: no error"),
        Some(PeerFault::Protocol(error)) => {
            let agrees = !expected.is_null() && matches(&error, expected, skipped);
            assert!(agrees, "{name}: {error:?}, not {expected}");
        }
        Some(fault) => panic!("{name}: {fault:?}"),
    }
}

#[test]
fn messages_come_out_of_a_socket_as_written() {
    let mut introduction = encode_greeting().to_vec();
    encode_ready(&mut introduction, SocketType::Push, b"", None);
    for vector in load("messages.json") {
        for cut in CUTS {
            let options = SocketOptions {
                max_message_bytes: vector["max_message_bytes"].as_u64().unwrap(),
                max_parts: vector["max_parts"].as_u64().unwrap() as usize,
                ..SocketOptions::default()
            };
            let mut peer = Peer::connect(SocketType::Pull, options);
            peer.say(&introduction, usize::MAX);
            peer.until(Step::Up);
            peer.say(&bytes(&vector["hex"]), cut);
            let expected = messages(&vector);
            peer.until(Step::Settled { num_messages: expected.len(), error: &vector["error"] });
            assert_eq!(peer.messages, expected, "{}", name(&vector));
            let skipped = introduction.len() as u64;
            assert_fault(peer.fault(), &vector["error"], skipped, name(&vector));
            if vector["error"].is_null() {
                let replies = vector["replies"].as_array().unwrap();
                let replies: Vec<u8> = replies.iter().flat_map(bytes).collect();
                assert_eq!(peer.replies(replies.len()), replies, "{}", name(&vector));
            }
        }
    }
}

#[test]
fn handshakes_end_as_written() {
    for vector in load("handshakes.json") {
        for cut in CUTS {
            let mut peer = Peer::connect(SocketType::Router, SocketOptions::default());
            peer.say(&bytes(&vector["hex"]), cut);
            if !vector["error"].is_null() {
                peer.until(Step::Settled { num_messages: 0, error: &vector["error"] });
                assert_fault(peer.fault(), &vector["error"], 0, name(&vector));
                continue;
            }
            peer.say(b"\x00\x02me", cut);
            peer.until(Step::Settled { num_messages: 1, error: &Value::Null });
            assert_fault(peer.fault(), &vector["error"], 0, name(&vector));
            let id = bytes(&vector["routing_id"]);
            let got = &peer.messages[0];
            assert_eq!(got[1], b"me");
            // A peer without an id is given one that no peer may choose.
            let is_right = if id.is_empty() { got[0][0] == 0 } else { got[0] == id };
            assert!(is_right, "{}", name(&vector));
        }
    }
}
