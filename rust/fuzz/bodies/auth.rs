//! A peer without the key that says anything, and a stranger who changes records of one
//! that has it: no panic, nobody proven, and no byte opened that was not sealed.
//!
//! The first byte chooses the side and what comes before the rest, the second where the
//! rest is cut.

use std::io::IoSlice;

use busduct::zmtp::{Error, Handshake, Key, Mechanism, Opener, Role, Sealer};

const KEY: [u8; 32] = [7; 32];

/// Let a side hear `bytes`, after a HELLO or a WELCOME without a proof if asked for.
fn persuade(role: Role, with_start: bool, cut: usize, bytes: &[u8]) {
    let mut side = Handshake::new(Key::new(KEY), role, [1; 32]);
    let peer = if role == Role::Server { Role::Client } else { Role::Server };
    let mut said = Vec::new();
    side.begin(&Mechanism::Busduct(peer).greeting(), &mut said);
    let mut start = Vec::new();
    if with_start && role == Role::Server {
        start = b"\x04\x27\x05HELLO\x01".to_vec();
        start.extend_from_slice(&[2; 32]);
    }
    for piece in std::iter::once(&start[..]).chain(bytes.chunks(cut)) {
        let mut rest = piece;
        match side.feed(&mut rest, &mut said) {
            Ok(proven) => assert!(proven.is_none() && rest.is_empty()),
            Err(_) => break,
        }
    }
    assert!(said.len() <= 128);
}

/// Open what was sealed, with `bytes` laid over it at `at`.
fn tamper(at: usize, cut: usize, bytes: &[u8]) {
    let plain: Vec<u8> = (0..9000).map(|at| (at % 251) as u8).collect();
    let mut sealer = Sealer::new(&KEY);
    let mut wire = Vec::new();
    for piece in [&plain[..40], &plain[40..41], &plain[41..]] {
        assert_eq!(sealer.seal(&[IoSlice::new(piece)], &mut wire), piece.len());
    }
    let sound = wire.clone();
    let start = at % wire.len();
    let nbytes = bytes.len().min(wire.len() - start);
    wire[start..start + nbytes].copy_from_slice(&bytes[..nbytes]);
    let mut opener = Opener::new(&KEY);
    let mut opened = Vec::new();
    let mut has_failed = false;
    for piece in wire.chunks(cut) {
        let give = |payload: &[u8]| {
            opened.extend_from_slice(payload);
            Ok::<_, Error>(())
        };
        has_failed |= opener.open(piece, give).is_err();
    }
    assert!(plain.starts_with(&opened));
    let is_whole = opened.len() == plain.len();
    assert_eq!(is_whole, wire == sound);
    assert!(is_whole || has_failed || opener.is_amid_record());
}

pub(crate) fn run(data: &[u8]) {
    let [choice, cut, bytes @ ..] = data else {
        return;
    };
    let cut = usize::from(*cut) + 1;
    match choice % 4 {
        0 => persuade(Role::Server, false, cut, bytes),
        1 => persuade(Role::Server, true, cut, bytes),
        2 => persuade(Role::Client, false, cut, bytes),
        _ => tamper(usize::from(*choice) * 37, cut * 29, bytes),
    }
}
