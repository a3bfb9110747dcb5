//! Positions of a ring, step by step, and what is refused of the other side's.

use busduct::sync::{Corrupt, RingReader, RingWriter};

use super::page::{HEAD, Page, READER_SLEEPS, TAIL, WRITER_SLEEPS};

const CAPACITY: usize = 64;

fn ring() -> (Page, RingWriter<Page>, RingReader<Page>) {
    let page = Page::new();
    let writer = RingWriter::new(page.clone(), CAPACITY);
    let reader = RingReader::new(page.clone(), CAPACITY);
    (page, writer, reader)
}

fn push(writer: &mut RingWriter<Page>, nbytes: usize) -> bool {
    writer.reserve(nbytes).unwrap().unwrap();
    writer.commit(nbytes);
    writer.publish()
}

fn pop(reader: &mut RingReader<Page>, nbytes: usize) {
    assert!(reader.available().unwrap() >= nbytes);
    reader.advance(nbytes);
    reader.release(reader.position());
}

#[test]
fn new_ring_is_empty_with_all_its_room() {
    let (_, mut writer, mut reader) = ring();
    assert_eq!(writer.capacity(), CAPACITY);
    assert_eq!(writer.room(), Ok(CAPACITY));
    assert_eq!(writer.reserve(CAPACITY), Ok(Some(0)));
    assert_eq!(writer.reserve(CAPACITY + 1), Ok(None));
    assert_eq!(writer.reserve(usize::MAX), Ok(None));
    assert_eq!(reader.available(), Ok(0));
}

#[test]
fn nothing_is_seen_before_publish() {
    let (page, mut writer, mut reader) = ring();
    assert_eq!(writer.reserve(10), Ok(Some(0)));
    writer.commit(10);
    assert_eq!((writer.position(), reader.available()), (10, Ok(0)));
    assert!(!writer.publish());
    assert_eq!((page.load(TAIL), reader.available()), (10, Ok(10)));
}

#[test]
fn available_looks_again_only_when_used_up() {
    let (_, mut writer, mut reader) = ring();
    push(&mut writer, 10);
    assert_eq!(reader.available(), Ok(10));
    push(&mut writer, 5);
    assert_eq!(reader.available(), Ok(10));
    reader.advance(10);
    assert_eq!(reader.available(), Ok(5));
}

#[test]
fn room_comes_back_only_by_release() {
    let (page, mut writer, mut reader) = ring();
    push(&mut writer, CAPACITY);
    assert_eq!(reader.available(), Ok(CAPACITY));
    reader.advance(40);
    assert_eq!((reader.position(), reader.offset(), writer.reserve(1)), (40, 40, Ok(None)));
    reader.release(30);
    assert_eq!((page.load(HEAD), writer.head(), writer.room()), (30, Ok(30), Ok(30)));
    assert_eq!((writer.reserve(30), writer.reserve(31)), (Ok(Some(0)), Ok(None)));
}

#[test]
fn offsets_wrap_and_positions_do_not() {
    let (_, mut writer, mut reader) = ring();
    for turn in 0..100_u64 {
        let start = turn * 48;
        assert_eq!(writer.reserve(48), Ok(Some(start as usize % CAPACITY)));
        push(&mut writer, 48);
        assert_eq!((reader.position(), reader.offset()), (start, start as usize % CAPACITY));
        pop(&mut reader, 48);
        assert_eq!(writer.position(), start + 48);
    }
}

#[test]
fn reader_that_sleeps_is_rung_once() {
    let (page, mut writer, mut reader) = ring();
    assert_eq!(reader.sleep(), Ok(true));
    assert_eq!(page.load(READER_SLEEPS), 1);
    assert!(push(&mut writer, 1));
    assert!(!push(&mut writer, 1));
    assert_eq!(page.load(READER_SLEEPS), 0);
}

#[test]
fn reader_does_not_sleep_while_something_is_there() {
    let (page, mut writer, mut reader) = ring();
    push(&mut writer, 1);
    assert_eq!(reader.sleep(), Ok(false));
    assert_eq!(page.load(READER_SLEEPS), 0);
}

#[test]
fn reader_that_woke_by_itself_is_not_rung() {
    let (_, mut writer, mut reader) = ring();
    assert_eq!(reader.sleep(), Ok(true));
    reader.wake();
    assert!(!push(&mut writer, 1));
}

#[test]
fn writer_that_sleeps_is_rung_once() {
    let (page, mut writer, mut reader) = ring();
    push(&mut writer, CAPACITY);
    assert_eq!(writer.sleep(1), Ok(true));
    assert_eq!(page.load(WRITER_SLEEPS), 1);
    pop(&mut reader, 1);
    assert!(reader.wakes_writer());
    assert!(!reader.wakes_writer());
    assert_eq!(writer.sleep(1), Ok(false));
    assert!(!reader.wakes_writer());
}

#[test]
fn writer_that_woke_by_itself_is_not_rung() {
    let (_, mut writer, mut reader) = ring();
    writer.announce_sleep();
    writer.wake();
    assert!(!reader.wakes_writer());
}

#[test]
fn head_past_tail_is_corrupt() {
    let (page, mut writer, _) = ring();
    push(&mut writer, 10);
    writer.commit(5);
    page.store(HEAD, 11);
    assert_eq!(writer.room(), Err(Corrupt));
    assert_eq!(writer.reserve(CAPACITY), Err(Corrupt));
    assert_eq!(writer.sleep(CAPACITY), Err(Corrupt));
}

#[test]
fn head_that_goes_back_is_corrupt() {
    let (page, mut writer, mut reader) = ring();
    push(&mut writer, 10);
    pop(&mut reader, 10);
    assert_eq!(writer.head(), Ok(10));
    page.store(HEAD, 9);
    assert_eq!(writer.head(), Err(Corrupt));
}

#[test]
fn tail_a_ring_ahead_is_corrupt() {
    let (page, _, mut reader) = ring();
    page.store(TAIL, CAPACITY as u64 + 1);
    assert_eq!(reader.available(), Err(Corrupt));
    assert_eq!(reader.sleep(), Err(Corrupt));
    page.store(TAIL, CAPACITY as u64);
    assert_eq!(reader.available(), Ok(CAPACITY));
}

#[test]
fn tail_that_goes_back_is_corrupt() {
    let (page, mut writer, mut reader) = ring();
    push(&mut writer, 10);
    pop(&mut reader, 10);
    page.store(TAIL, 9);
    assert_eq!(reader.available(), Err(Corrupt));
}

#[test]
fn tail_that_goes_back_behind_what_was_read_is_corrupt() {
    let (page, mut writer, mut reader) = ring();
    push(&mut writer, 10);
    assert_eq!(reader.available(), Ok(10));
    reader.advance(10);
    page.store(TAIL, 5);
    assert_eq!(reader.available(), Err(Corrupt));
}

#[test]
#[should_panic(expected = "capacity of 48 is not a power of two")]
fn capacity_is_a_power_of_two() {
    let _ = RingWriter::new(Page::new(), 48);
}
