//! The byte vectors of keys: whole handshakes, and streams of records.

use busduct::zmtp::{Error, GREETING_BYTES, Handshake, Key, Opener, Role};
use serde_json::Value;

use crate::{CUTS, bytes, load, matches, name};

fn open_all(opener: &mut Opener, input: &[u8], cut: usize) -> (Vec<u8>, Result<(), Error>) {
    let mut plain = Vec::new();
    for piece in input.chunks(cut) {
        let opened = opener.open(piece, |payload| {
            plain.extend_from_slice(payload);
            Ok(())
        });
        if opened.is_err() {
            return (plain, opened);
        }
    }
    (plain, Ok(()))
}

fn array(hex: &Value) -> [u8; 32] {
    bytes(hex).try_into().unwrap()
}

/// Let a handshake hear a peer's whole stream; return what it opened of it, or `None` if the
/// handshake is not complete.
fn hear(
    handshake: &mut Handshake,
    stream: &[u8],
    cut: usize,
    said: &mut Vec<u8>,
) -> Result<Option<Vec<u8>>, Error> {
    let (greeting, commands) = stream.split_at(GREETING_BYTES);
    assert!(handshake.mechanism().check(greeting)?.is_some());
    handshake.begin(greeting, said);
    let mut opener = None;
    let mut records = Vec::new();
    for mut piece in commands.chunks(cut) {
        if opener.is_none() {
            opener = handshake.feed(&mut piece, said)?.map(|(_, opener)| opener);
        }
        records.extend_from_slice(piece);
    }
    let Some(mut opener) = opener else {
        return Ok(None);
    };
    let (plain, opened) = open_all(&mut opener, &records, cut);
    opened.map(|()| Some(plain))
}

fn assert_outcome(error: Option<&Error>, expected: &Value, name: &str) {
    let agrees = match error {
        None => expected.is_null(),
        Some(error) => !expected.is_null() && matches(error, expected, 0),
    };
    assert!(agrees, "{name}: {error:?}, not {expected}");
}

#[test]
fn handshakes_end_as_written() {
    for vector in load("key_handshakes.json") {
        for cut in CUTS {
            let role = match vector["role"].as_str() {
                Some("client") => Role::Client,
                _ => Role::Server,
            };
            let key = Key::new(array(&vector["key"]));
            let mut handshake = Handshake::new(key, role, array(&vector["nonce"]));
            let mut said = handshake.mechanism().greeting().to_vec();
            let heard = hear(&mut handshake, &bytes(&vector["hears"]), cut, &mut said);
            assert!(said == bytes(&vector["says"]), "{}", name(&vector));
            if vector["error"]["kind"] == "unfinished" {
                assert_eq!(heard, Ok(None), "{}", name(&vector));
            } else {
                assert_outcome(heard.as_ref().err(), &vector["error"], name(&vector));
                let plain = heard.ok().map_or_else(Vec::new, Option::unwrap);
                assert_eq!(plain, bytes(&vector["plain"]), "{}", name(&vector));
            }
        }
    }
}

#[test]
fn records_open_as_written() {
    for vector in load("records.json") {
        for cut in CUTS {
            let mut opener = Opener::new(&array(&vector["key"]));
            let (plain, opened) = open_all(&mut opener, &bytes(&vector["hex"]), cut);
            assert_eq!(plain, bytes(&vector["plain"]), "{}", name(&vector));
            assert_outcome(opened.as_ref().err(), &vector["error"], name(&vector));
            if opened.is_ok() {
                let is_amid = vector["amid_record"].as_bool();
                assert_eq!(Some(opener.is_amid_record()), is_amid, "{}", name(&vector));
            }
        }
    }
}
