//! A raw peer's halves of a link that has moved: what it writes, and what it reads.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use busduct::context::Context;
use busduct::link::Buffer;
use busduct::shm::{
    Announcement, ControlMap, DESCRIPTOR_BYTES, Descriptor, Layout, Map, PeerAccess, RingData,
    create,
};
use busduct::sync::{Doorbell, RingReader};
use busduct::zmtp::{Sharing, SocketType};

use crate::drive::until;
use crate::raw::{Raw, accept, offer, ready};
use crate::words::{Word, Words};

pub(crate) const RING_BYTES: usize = 4096;
pub(crate) const TABLE_BYTES: usize = 4096;

pub(crate) const PART: u8 = 1;
pub(crate) const SLOT: u8 = 2;
pub(crate) const STREAM: u8 = 3;

/// What a side says over the stream that leaves, and that asks for a sign of life.
pub(crate) const BYE: [u8; 32] = notice(*b"BDBY\x01");
pub(crate) const PING: [u8; 32] = notice(*b"BDPI\x01");

/// What a side says that uses segment `id` no more.
pub(crate) fn forget(id: u32) -> [u8; 32] {
    let mut bytes = notice(*b"BDFG\x01");
    bytes[8..12].copy_from_slice(&id.to_le_bytes());
    bytes
}

const fn notice([b0, b1, b2, b3, version]: [u8; 5]) -> [u8; 32] {
    let mut bytes = [0; 32];
    [bytes[0], bytes[1], bytes[2], bytes[3], bytes[4]] = [b0, b1, b2, b3, version];
    bytes
}

/// What a peer makes for what it sends.
pub(crate) struct Half {
    pub(crate) words: Words,
    pub(crate) data: RingData,
    /// Rung by the other side.
    pub(crate) bell: OwnedFd,
    data_fd: OwnedFd,
    /// What was written, published or not.
    pub(crate) tail: u64,
}

impl Half {
    pub(crate) fn make(ring_nbytes: usize) -> Self {
        let (_, control) = ControlMap::create().unwrap();
        let (data, data_fd) = RingData::create(ring_nbytes).unwrap();
        let bell = Doorbell::new().unwrap().as_fd().try_clone_to_owned().unwrap();
        Self { words: Words(control), data, bell, data_fd, tail: 0 }
    }

    /// What is handed over with an offer.
    pub(crate) fn fds(&self) -> [BorrowedFd<'_>; 3] {
        [self.words.0.as_fd(), self.data_fd.as_fd(), self.bell.as_fd()]
    }

    pub(crate) fn offer(&self) -> Vec<u8> {
        offer(self.data.nbytes() as u64)
    }

    /// Write a record behind the last one.
    pub(crate) fn write(&mut self, record: &[u8]) {
        let at = self.tail as usize % self.data.nbytes();
        self.data.write_at(at, record);
        self.tail += record.len() as u64;
    }

    pub(crate) fn publish(&self) {
        self.words.set(Word::Tail, self.tail);
    }
}

/// A record as it stands in a ring.
pub(crate) fn record(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut record = (body.len() as u32).to_le_bytes().to_vec();
    record.extend_from_slice(&[kind, flags, 0, 0]);
    record.extend_from_slice(body);
    record.resize(record.len().next_multiple_of(8), 0);
    record
}

/// A peer that has moved properly, and can do as it likes from there.
pub(crate) struct Moved {
    pub(crate) raw: Raw,
    pub(crate) ours: Half,
    /// Of what the other side sends.
    pub(crate) words: Words,
    pub(crate) reader: RingReader<ControlMap>,
    pub(crate) data: RingData,
    pub(crate) bell: OwnedFd,
}

impl Moved {
    /// Connect, and complete the handshake as it should be.
    #[track_caller]
    pub(crate) fn up<B: Buffer>(context: &mut Context<B>, path: &Path, kind: SocketType) -> Self {
        Self::with_ring(context, path, kind, RING_BYTES)
    }

    #[track_caller]
    pub(crate) fn with_ring<B: Buffer>(
        context: &mut Context<B>,
        path: &Path,
        kind: SocketType,
        ring_nbytes: usize,
    ) -> Self {
        let (mut raw, capability) = Raw::introduced(context, path);
        raw.write(&ready(kind, capability.as_ref()));
        let ours = Half::make(ring_nbytes);
        raw.write_with(&ours.offer(), &ours.fds());
        let moved = Self::accepting(context, raw, ours);
        let num_peers = context.shm_statistics().num_shm_peers;
        until(context, |context| context.shm_statistics().num_shm_peers > num_peers);
        moved
    }

    /// Take the other side's offer and accept it.
    #[track_caller]
    pub(crate) fn accepting<B: Buffer>(context: &mut Context<B>, mut raw: Raw, ours: Half) -> Self {
        let Sharing::Offer { ring_nbytes } = raw.take_sharing(context) else {
            panic!("no offer");
        };
        let mut next = || raw.fds.pop_front().unwrap();
        let [control, data, bell] = [next(), next(), next()];
        assert_eq!(raw.take_sharing(context), Sharing::Accept);
        raw.write(&accept());
        let words = Words(control.as_fd().try_clone_to_owned().unwrap());
        let data = RingData::open(data, ring_nbytes as usize).unwrap();
        let reader = RingReader::new(ControlMap::open(control).unwrap(), data.nbytes());
        Self { raw, ours, words, reader, data, bell }
    }

    /// Ring the other side.
    pub(crate) fn ring(&self) {
        rustix::io::write(&self.bell, &1_u64.to_ne_bytes()).unwrap();
    }

    /// Write a record, publish it and ring.
    pub(crate) fn say(&mut self, record: &[u8]) {
        self.ours.write(record);
        self.ours.publish();
        self.ring();
    }

    pub(crate) fn say_part(&mut self, payload: &[u8]) {
        self.say(&record(PART, 0, payload));
    }

    /// Hand a segment over.
    pub(crate) fn announce(&mut self, told: Announcement, fd: BorrowedFd<'_>) {
        self.raw.write_with(&told.encode(), &[fd]);
    }

    pub(crate) fn say_slot(&mut self, told: Descriptor) {
        self.ours.words.set_held(told.slot, 1);
        self.say(&record(SLOT, 0, &told.encode()));
    }

    /// Wait for a record: its kind and body. Nothing is given back to the writer.
    #[track_caller]
    pub(crate) fn take_record<B: Buffer>(&mut self, context: &mut Context<B>) -> (u8, Vec<u8>) {
        until(context, |_| self.reader.available().unwrap() > 0);
        let offset = self.reader.offset();
        let header = self.data.slice(offset, 8);
        let nbytes = u32::from_le_bytes(header[..4].try_into().unwrap()) as usize;
        let taken = (header[4], self.data.slice(offset + 8, nbytes).to_vec());
        self.reader.advance((8 + nbytes).next_multiple_of(8));
        taken
    }

    /// Wait for the descriptor of a slot, which we hold then.
    #[track_caller]
    pub(crate) fn take_slot<B: Buffer>(&mut self, context: &mut Context<B>) -> Descriptor {
        let (kind, body) = self.take_record(context);
        assert_eq!((kind, body.len()), (SLOT, DESCRIPTOR_BYTES));
        Descriptor::decode(&body).unwrap()
    }
}

/// A segment of a raw peer's arena.
pub(crate) struct Segment {
    pub(crate) map: Map,
    pub(crate) fd: OwnedFd,
    pub(crate) told: Announcement,
}

impl Segment {
    pub(crate) fn make(id: u32, first_slot: u16, num_slots: u16, slot_nbytes: usize) -> Self {
        let nbytes = TABLE_BYTES + usize::from(num_slots) * slot_nbytes;
        let (map, fd) = create(nbytes, PeerAccess::ReadOnly, Layout::Plain).unwrap();
        let told = Announcement {
            id,
            is_one_off: false,
            first_slot,
            num_slots,
            slot_nbytes: slot_nbytes as u64,
            segment_nbytes: nbytes as u64,
        };
        Self { map, fd, told }
    }

    /// Point at a slot of it, of generation 0.
    pub(crate) fn descriptor(&self, within: u16, nbytes: u64) -> Descriptor {
        let slot = self.told.first_slot + within;
        Descriptor { segment: self.told.id, slot, generation: 0, nbytes }
    }
}
