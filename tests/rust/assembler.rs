//! The assembler against a model: any stream, cut anywhere, and its limits.

mod allocation;

use allocation::peak_nbytes;
use busduct::link::{Assembler, Filling, Item, Limits, Message};
use busduct::zmtp::{Error, MAX_COMMAND_BYTES, encode_header};
use proptest::prelude::*;

const START: u64 = 64;
const MAX_MESSAGE_BYTES: u64 = 8 << 20;
const MAX_PARTS: usize = 20;
const LIMITS: Limits = Limits { max_message_bytes: MAX_MESSAGE_BYTES, max_parts: MAX_PARTS };

/// What a test says that the stream holds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Unit {
    Message(Vec<Vec<u8>>),
    Command(Vec<u8>),
}

/// Where the reads cut the stream.
#[derive(Debug, Clone)]
enum Cuts {
    Whole,
    Bytes,
    /// These lengths, over and over.
    Lengths(Vec<usize>),
}

fn assembler(limits: Limits) -> Assembler<Vec<u8>> {
    Assembler::new(limits, START)
}

fn frame(out: &mut Vec<u8>, payload: &[u8], more: bool, command: bool) {
    encode_header(out, payload.len(), more, command);
    out.extend_from_slice(payload);
}

/// The bytes of `units`, and the positions at which one of them ends.
fn encode(units: &[Unit]) -> (Vec<u8>, Vec<usize>) {
    let mut stream = Vec::new();
    let mut ends = vec![0];
    for unit in units {
        match unit {
            Unit::Command(body) => frame(&mut stream, body, false, true),
            Unit::Message(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    frame(&mut stream, part, index + 1 < parts.len(), false);
                }
            }
        }
        ends.push(stream.len());
    }
    (stream, ends)
}

fn unit_of(item: Item<Vec<u8>>) -> Unit {
    match item {
        Item::Command(body) => Unit::Command(body),
        Item::Message(message) => Unit::Message(message.into_parts()),
    }
}

fn feed(
    assembler: &mut Assembler<Vec<u8>>,
    mut input: &[u8],
    units: &mut Vec<Unit>,
) -> Result<(), Error> {
    while let Some(item) = assembler.next(&mut input)? {
        units.push(unit_of(item));
    }
    assert!(input.is_empty(), "None while {} bytes are left", input.len());
    Ok(())
}

/// All units of `stream`, or the error that ends it.
fn units_of(stream: &[u8], limits: Limits) -> Result<Vec<Unit>, Error> {
    let mut units = Vec::new();
    feed(&mut assembler(limits), stream, &mut units)?;
    Ok(units)
}

/// The error that `stream` gives, whole and byte by byte, and the most memory it took.
fn error_of(stream: &[u8], limits: Limits) -> (Error, usize) {
    let (whole, nbytes) = peak_nbytes(|| units_of(stream, limits).unwrap_err());
    let mut cut = assembler(limits);
    let mut bytes = stream.chunks(1);
    let error = bytes.find_map(|byte| feed(&mut cut, byte, &mut Vec::new()).err());
    assert_eq!(error, Some(whole.clone()), "cut and whole differ");
    (whole, nbytes)
}

fn part() -> impl Strategy<Value = Vec<u8>> {
    let borders = prop::sample::select(vec![0, 1, 254, 255, 256, 257]);
    let nbytes = prop_oneof![8 => borders, 4 => 0..2_000_usize, 1 => 2_000..200_000_usize];
    (nbytes, any::<u8>()).prop_map(|(nbytes, first)| {
        (0..nbytes).map(|index| (index as u8).wrapping_mul(31).wrapping_add(first)).collect()
    })
}

fn unit() -> impl Strategy<Value = Unit> {
    let body = prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        3 => part().prop_map(|part| Unit::Message(vec![part])),
        3 => prop::collection::vec(part(), 1..=MAX_PARTS).prop_map(Unit::Message),
        1 => body.prop_map(Unit::Command),
    ]
}

fn cuts() -> impl Strategy<Value = Cuts> {
    let lengths = prop_oneof![1..20_usize, 1..5_000_usize, 1..100_000_usize];
    prop_oneof![
        Just(Cuts::Whole),
        Just(Cuts::Bytes),
        prop::collection::vec(lengths, 1..10).prop_map(Cuts::Lengths),
    ]
}

fn lengths(cuts: &Cuts, total: usize) -> Box<dyn Iterator<Item = usize> + '_> {
    match cuts {
        Cuts::Whole => Box::new(std::iter::once(total)),
        Cuts::Bytes => Box::new(std::iter::repeat(1)),
        Cuts::Lengths(lengths) => Box::new(lengths.iter().copied().cycle()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn stream_cut_anywhere_gives_what_was_sent(
        units in prop::collection::vec(unit(), 0..8),
        cuts in cuts(),
    ) {
        let (stream, ends) = encode(&units);
        let mut assembler = assembler(LIMITS);
        let mut got = Vec::new();
        let mut at = 0;
        for length in lengths(&cuts, stream.len()) {
            let end = (at + length).min(stream.len());
            feed(&mut assembler, &stream[at..end], &mut got).unwrap();
            at = end;
            prop_assert_eq!(assembler.is_amid_message(), !ends.contains(&at));
            if at == stream.len() {
                break;
            }
        }
        prop_assert_eq!(assembler.offset(), START + stream.len() as u64);
        prop_assert_eq!(got, units);
    }

    #[test]
    fn command_between_two_parts_comes_first_and_leaves_the_message_whole(
        parts in prop::collection::vec(part(), 2..=MAX_PARTS),
        body in prop::collection::vec(any::<u8>(), 0..300),
        place in any::<prop::sample::Index>(),
    ) {
        let mut stream = Vec::new();
        let before = 1 + place.index(parts.len() - 1);
        for (index, part) in parts.iter().enumerate() {
            if index == before {
                frame(&mut stream, &body, false, true);
            }
            frame(&mut stream, part, index + 1 < parts.len(), false);
        }
        let expected = vec![Unit::Command(body), Unit::Message(parts)];
        prop_assert_eq!(units_of(&stream, LIMITS), Ok(expected));
    }

    #[test]
    fn large_parts_filled_in_place_give_what_was_sent(
        units in prop::collection::vec(unit(), 0..8),
        threshold in 1..50_000_usize,
        read in 1..70_000_usize,
    ) {
        let (stream, _) = encode(&units);
        let mut assembler = assembler(LIMITS);
        let (mut got, mut at) = (Vec::new(), 0);
        while at < stream.len() {
            let end = (at + read).min(stream.len());
            if let Some(filling) = assembler.large_part(threshold) {
                let taken = filling.extend(&stream[at..end]);
                at += taken;
                assembler.advance(taken);
                feed(&mut assembler, &[], &mut got).unwrap();
            } else {
                feed(&mut assembler, &stream[at..end], &mut got).unwrap();
                at = end;
            }
        }
        prop_assert_eq!(assembler.offset(), START + stream.len() as u64);
        prop_assert_eq!(got, units);
    }

    #[test]
    fn arbitrary_bytes_take_no_more_memory_than_the_limits_say(
        stream in prop::collection::vec(any::<u8>(), 0..4_000),
        flags in prop::collection::vec(0..8_u8, 1..50),
    ) {
        let limits = Limits { max_message_bytes: 10_000, max_parts: 7 };
        // Most flags are undefined: make the stream last longer than a few bytes.
        let tame = stream.chunks(80).zip(flags.iter().cycle());
        let tame: Vec<u8> = tame.flat_map(|(rest, &first)| {
            [first, (rest.len() - 1) as u8].into_iter().chain(rest[1..].iter().copied())
        }).collect();
        for stream in [&stream, &tame] {
            let mut assembler = assembler(limits);
            let (_, nbytes) = peak_nbytes(|| {
                let mut input = &stream[..];
                while let Ok(Some(_)) = assembler.next(&mut input) {}
            });
            prop_assert!(nbytes <= 10_000 + MAX_COMMAND_BYTES as usize + 1_000);
        }
    }
}

#[test]
fn frame_over_the_limit_is_refused_before_anything_is_allocated() {
    for nbytes in [1_u64 << 62, 1 << 63, u64::MAX, MAX_MESSAGE_BYTES + 1] {
        let stream = [&[2][..], &nbytes.to_be_bytes()].concat();
        let (error, allocated) = error_of(&stream, LIMITS);
        let limit = MAX_MESSAGE_BYTES;
        assert_eq!(error, Error::TooLarge { size: nbytes, limit, unit: "bytes" });
        assert_eq!(allocated, 0, "for {nbytes}");
    }
}

#[test]
fn command_over_8192_bytes_is_refused_before_anything_is_allocated() {
    let mut border = Vec::new();
    frame(&mut border, &[1; 8192], false, true);
    assert_eq!(units_of(&border, LIMITS), Ok(vec![Unit::Command(vec![1; 8192])]));
    for nbytes in [8193, 1_u64 << 62, u64::MAX] {
        let stream = [&[6][..], &nbytes.to_be_bytes()].concat();
        let (error, allocated) = error_of(&stream, LIMITS);
        let limit = MAX_COMMAND_BYTES;
        assert_eq!(error, Error::TooLarge { size: nbytes, limit, unit: "bytes" });
        assert_eq!(allocated, 0, "for {nbytes}");
    }
}

#[test]
fn limit_of_bytes_holds_for_the_sum_of_the_parts() {
    let limits = Limits { max_message_bytes: 1_000, max_parts: 8 };
    let at = Unit::Message(vec![vec![1; 300], vec![2; 700], vec![]]);
    // Twice: the sum starts anew with each message.
    let units = vec![at.clone(), at];
    assert_eq!(units_of(&encode(&units).0, limits), Ok(units));
    let single = vec![Unit::Message(vec![vec![3; 1_000]])];
    assert_eq!(units_of(&encode(&single).0, limits), Ok(single));
    let over = Unit::Message(vec![vec![1; 300], vec![2; 700], vec![3]]);
    let (error, allocated) = error_of(&encode(&[over]).0, limits);
    assert_eq!(error, Error::TooLarge { size: 1_001, limit: 1_000, unit: "bytes" });
    assert!(allocated < 2_000, "{allocated}");
}

#[test]
fn sum_of_the_parts_cannot_wrap_around() {
    let mut stream = vec![1, 1, b'x', 2];
    stream.extend_from_slice(&u64::MAX.to_be_bytes());
    let (error, _) = error_of(&stream, LIMITS);
    let limit = MAX_MESSAGE_BYTES;
    assert_eq!(error, Error::TooLarge { size: u64::MAX, limit, unit: "bytes" });
}

#[test]
fn limit_of_parts_holds_however_many_follow() {
    let limits = Limits { max_message_bytes: 1_000, max_parts: 3 };
    let units = vec![Unit::Message(vec![vec![]; 3]); 2];
    assert_eq!(units_of(&encode(&units).0, limits), Ok(units));
    let flood = [1, 0].repeat(1_000_000);
    let (error, allocated) = error_of(&flood, limits);
    assert_eq!(error, Error::TooLarge { size: 4, limit: 3, unit: "parts" });
    assert!(allocated < 1_000, "{allocated}");
}

#[test]
fn limit_of_one_part_allows_single_parts_only() {
    let limits = Limits { max_message_bytes: 1_000, max_parts: 1 };
    let units = vec![Unit::Message(vec![vec![7]])];
    assert_eq!(units_of(&encode(&units).0, limits), Ok(units));
    let error = error_of(&[1, 0], limits).0;
    assert_eq!(error, Error::TooLarge { size: 2, limit: 1, unit: "parts" });
}

#[test]
fn reserved_flags_are_refused_where_they_stand() {
    for bit in 3..8 {
        let (mut stream, _) = encode(&[Unit::Message(vec![vec![5; 300], vec![6]])]);
        let offset = START + stream.len() as u64;
        stream.extend_from_slice(&[1 << bit, 0]);
        let error = error_of(&stream, LIMITS).0;
        let reason = "reserved flag bits are set";
        assert_eq!(error, Error::Malformed { offset, reason });
    }
}

#[test]
fn command_with_more_is_refused() {
    let error = error_of(&[5, 0], LIMITS).0;
    let reason = "command with the MORE flag";
    assert_eq!(error, Error::Malformed { offset: START, reason });
}

#[test]
fn long_header_of_a_short_frame_is_accepted() {
    let stream = [&[2][..], &3_u64.to_be_bytes(), b"abc"].concat();
    let expected = vec![Unit::Message(vec![b"abc".to_vec()])];
    assert_eq!(units_of(&stream, LIMITS), Ok(expected));
}

#[test]
fn announced_frame_takes_its_size_once() {
    let stream = [&[2][..], &1_000_000_u64.to_be_bytes()].concat();
    let mut assembler = assembler(LIMITS);
    let (item, allocated) = peak_nbytes(|| assembler.next(&mut &stream[..]));
    assert_eq!(item, Ok(None));
    assert_eq!(allocated, 1_000_000);
    let rest = vec![9; 1_000_000];
    let (item, allocated) = peak_nbytes(|| assembler.next(&mut &rest[..]));
    assert_eq!(item, Ok(Some(Item::Message(Message::Single(rest)))));
    assert_eq!(allocated, 0);
}
