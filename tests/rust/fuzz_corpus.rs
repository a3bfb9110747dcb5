//! The inputs that fuzzing found to matter, each run once through its target's body.
//!
//! `rust/fuzz/corpus/TARGET.hex` holds one input a line, in hexadecimal digits.

#[path = "../../rust/fuzz/bodies/assembler.rs"]
mod assembler;
#[path = "../../rust/fuzz/bodies/auth.rs"]
mod auth;
#[path = "../../rust/fuzz/bodies/endpoint.rs"]
mod endpoint;
#[path = "../../rust/fuzz/bodies/handshake.rs"]
mod handshake;
#[path = "../../rust/fuzz/bodies/moved/mod.rs"]
mod moved;
#[path = "../../rust/fuzz/bodies/patterns/mod.rs"]
mod patterns;
#[path = "../../rust/fuzz/bodies/subscriptions.rs"]
mod subscriptions;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Run each line of `corpus`; name the one that fails.
#[track_caller]
fn replay(corpus: &str, body: fn(&[u8])) {
    assert!(corpus.lines().count() > 1);
    for (index, line) in corpus.lines().enumerate() {
        let input = bytes_of(line);
        let ran = catch_unwind(AssertUnwindSafe(|| body(&input)));
        assert!(ran.is_ok(), "line {}: {line}", index + 1);
    }
}

fn bytes_of(line: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hexadecimal digit") as u8;
    let (pairs, rest) = line.as_bytes().as_chunks();
    assert!(rest.is_empty(), "half a byte");
    pairs.iter().map(|[high, low]| digit(*high) << 4 | digit(*low)).collect()
}

#[test]
fn inputs_of_assembler_pass() {
    replay(include_str!("../../rust/fuzz/corpus/assembler.hex"), assembler::run);
}

#[test]
fn inputs_of_auth_pass() {
    replay(include_str!("../../rust/fuzz/corpus/auth.hex"), auth::run);
}

#[test]
fn inputs_of_endpoint_pass() {
    replay(include_str!("../../rust/fuzz/corpus/endpoint.hex"), endpoint::run);
}

#[test]
fn inputs_of_handshake_pass() {
    replay(include_str!("../../rust/fuzz/corpus/handshake.hex"), handshake::run);
}

#[test]
fn inputs_of_moved_pass() {
    replay(include_str!("../../rust/fuzz/corpus/moved.hex"), moved::run);
}

#[test]
fn inputs_of_patterns_pass() {
    replay(include_str!("../../rust/fuzz/corpus/patterns.hex"), patterns::run);
}

#[test]
fn inputs_of_subscriptions_pass() {
    replay(include_str!("../../rust/fuzz/corpus/subscriptions.hex"), subscriptions::run);
}
