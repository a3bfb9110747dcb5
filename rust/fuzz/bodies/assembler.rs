//! Any bytes, cut anywhere: no panic, the limits hold, and the cuts change nothing.
//!
//! The first five bytes choose limits and cuts; the rest is the stream.

use busduct::link::{Assembler, Filling, Item, Limits};
use busduct::zmtp::{Error, MAX_COMMAND_BYTES};

type Outcome = (Vec<Item<Vec<u8>>>, Option<Error>, u64);

pub(crate) fn run(data: &[u8]) {
    let Some((head, stream)) = data.split_at_checked(5) else {
        return;
    };
    let limits =
        Limits { max_message_bytes: 1 << (head[0] % 20), max_parts: 1 + usize::from(head[1] % 16) };
    let whole = assemble(limits, stream, usize::MAX, usize::MAX);
    let cut = 1 + usize::from(u16::from_be_bytes([head[2], head[3]]));
    let threshold = 1 + usize::from(head[4]);
    assert_eq!(assemble(limits, stream, cut, usize::MAX), whole);
    assert_eq!(assemble(limits, stream, cut, threshold), whole);
    whole.0.iter().for_each(|item| check(item, limits));
}

fn check(item: &Item<Vec<u8>>, limits: Limits) {
    match item {
        Item::Message(message) => {
            assert!(message.nbytes() as u64 <= limits.max_message_bytes);
            assert!(message.parts().len() <= limits.max_parts);
        }
        Item::Command(body) => assert!(body.len() as u64 <= MAX_COMMAND_BYTES),
    }
}

/// Read `stream` in pieces of `cut`; frames of which `threshold` is missing are filled in
/// place.
fn assemble(limits: Limits, stream: &[u8], cut: usize, threshold: usize) -> Outcome {
    let mut assembler = Assembler::<Vec<u8>>::new(limits, 0);
    let mut items = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let (mut piece, behind) = rest.split_at(cut.min(rest.len()));
        if let Some(filling) = assembler.large_part(threshold) {
            let taken = filling.extend(piece);
            assembler.advance(taken);
            rest = &rest[taken..];
            piece = &[];
        } else {
            rest = behind;
        }
        loop {
            match assembler.next(&mut piece) {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(error) => return (items, Some(error), 0),
            }
        }
        assert!(piece.is_empty());
    }
    (items, None, assembler.offset())
}
