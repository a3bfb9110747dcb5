//! A peer made of a bare Unix socket, and the memory that it shares.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use busduct::shm::{
    Announcement, ControlMap, Descriptor, HELD_OFFSET, Layout, PeerAccess, RingData, create,
};
use busduct::sync::Doorbell;
use busduct::zmtp::{
    Command, GREETING_BYTES, Sharing, SocketType, encode_greeting, encode_ready, encode_sharing,
    parse_header,
};
use rustix::io::pwrite;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::RING_BYTES;
use super::script::Script;

const TABLE_BYTES: usize = 4096;
const SLOT_BYTES: u64 = 4096;
const NUM_SLOTS: u16 = 4;

/// A segment of four slots, all zero.
pub(super) struct Segment {
    fd: OwnedFd,
    told: Announcement,
}

impl Segment {
    pub(super) fn make() -> Self {
        let nbytes = TABLE_BYTES + usize::from(NUM_SLOTS) * SLOT_BYTES as usize;
        let (_, fd) = create(nbytes, PeerAccess::ReadOnly, Layout::Plain).unwrap();
        let told = Announcement {
            id: 0,
            is_one_off: false,
            first_slot: 0,
            num_slots: NUM_SLOTS,
            slot_nbytes: SLOT_BYTES,
            segment_nbytes: nbytes as u64,
        };
        Self { fd, told }
    }
}

pub(super) struct Peer {
    socket: UnixStream,
    kind: SocketType,
    received: Vec<u8>,
    /// Handed over by the other side: control page, ring, bell.
    fds: Vec<OwnedFd>,
    has_greeted: bool,
    control: OwnedFd,
    data: RingData,
    data_fd: OwnedFd,
    bell: Doorbell,
    tail: u64,
}

impl Peer {
    pub(super) fn connect(path: &Path, kind: SocketType) -> Self {
        let socket = UnixStream::connect(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let (_, control) = ControlMap::create().unwrap();
        let (data, data_fd) = RingData::create(RING_BYTES).unwrap();
        let peer = Self {
            socket,
            kind,
            received: Vec::new(),
            fds: Vec::new(),
            has_greeted: false,
            control,
            data,
            data_fd,
            bell: Doorbell::new().unwrap(),
            tail: 0,
        };
        peer.write(&encode_greeting(), &[]);
        peer
    }

    /// Do what is next of the move.
    pub(super) fn move_on(&mut self) {
        self.read();
        if !self.has_greeted && self.received.len() >= GREETING_BYTES {
            self.has_greeted = true;
            self.received.drain(..GREETING_BYTES);
        }
        while self.has_greeted
            && let Some(body) = self.take_frame()
        {
            let mut said = Vec::new();
            match Command::parse(&body, 0).unwrap() {
                Command::Ready(ready) => {
                    encode_ready(&mut said, self.kind, b"", ready.capability.as_ref());
                    self.write(&said, &[]);
                    said.clear();
                    let ring_nbytes = RING_BYTES as u64;
                    encode_sharing(&mut said, Sharing::Offer { ring_nbytes });
                    let fds = [self.control.as_fd(), self.data_fd.as_fd(), self.bell.as_fd()];
                    self.write(&said, &fds);
                }
                Command::Sharing(Sharing::Accept) => {
                    encode_sharing(&mut said, Sharing::Accept);
                    self.write(&said, &[]);
                }
                _ => {}
            }
        }
    }

    fn take_frame(&mut self) -> Option<Vec<u8>> {
        let header = parse_header(&self.received).unwrap()?;
        let end = header.header_nbytes + header.nbytes as usize;
        let frame = (self.received.len() >= end).then(|| self.received.drain(..end))?;
        Some(frame.skip(header.header_nbytes).collect())
    }

    fn write(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(fds.is_empty() || control.push(SendAncillaryMessage::ScmRights(fds)));
        // It may have been hung up on.
        let slices = [IoSlice::new(bytes)];
        let _ = sendmsg(&self.socket, &slices, &mut control, SendFlags::NOSIGNAL);
    }

    fn read(&mut self) {
        let mut bytes = [0; 4096];
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut slices = [IoSliceMut::new(&mut bytes)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            let read = recvmsg(&self.socket, &mut slices, &mut control, flags);
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(fds) = message
                    && self.fds.len() < 3
                {
                    self.fds.extend(fds);
                }
            }
            match read {
                Ok(read) if read.bytes > 0 => {
                    self.received.extend_from_slice(&bytes[..read.bytes]);
                }
                _ => return,
            }
        }
    }

    /// Do one thing of the script.
    pub(super) fn step(&mut self, script: &mut Script<'_>, segment: &Segment) {
        let code = script.byte();
        let is_theirs = code & 0x80 != 0;
        match code & 7 {
            0 => {
                let nbytes = usize::from(script.byte());
                self.say(script.bytes(nbytes));
            }
            1 => {
                let [kind, nbytes] = [script.byte(), script.byte()];
                let body = script.bytes(nbytes.into());
                self.say(&record(kind & 3, kind >> 2 & 1, body));
            }
            2 => {
                let value = if code & 8 == 0 { u64::from(script.byte()) } else { script.word() };
                self.store(is_theirs, 128 * u64::from(code >> 4 & 3), &value.to_ne_bytes());
            }
            3 => {
                let [slot, held] = [script.byte(), script.byte()];
                self.store(is_theirs, HELD_OFFSET as u64 + u64::from(slot), &[held]);
            }
            4 => {
                let nbytes = usize::from(script.byte());
                self.write(script.bytes(nbytes), &[]);
            }
            5 => self.announce(code, script, segment),
            6 => self.lend(code, script),
            7 if code & 8 != 0 => self.forget(script.byte() & 3),
            _ => self.take_all(),
        }
        let _ = rustix::io::write(&self.fds[2], &1_u64.to_ne_bytes());
    }

    fn store(&self, is_theirs: bool, at: u64, bytes: &[u8]) {
        let control = if is_theirs { &self.fds[0] } else { &self.control };
        assert_eq!(pwrite(control, bytes, at), Ok(bytes.len()));
    }

    /// Publish bytes behind the last ones.
    fn say(&mut self, bytes: &[u8]) {
        self.data.write_at(self.tail as usize % RING_BYTES, bytes);
        self.tail += bytes.len() as u64;
        self.store(false, 0, &self.tail.to_ne_bytes());
    }

    fn announce(&self, code: u8, script: &mut Script<'_>, segment: &Segment) {
        let mut told = Announcement { id: u32::from(script.byte() & 3), ..segment.told };
        match code >> 3 & 7 {
            1 => told.first_slot = script.word() as u16,
            2 => told.num_slots = script.word() as u16,
            3 => told.slot_nbytes = script.word(),
            4 => told.segment_nbytes = script.word(),
            5 => (told.is_one_off, told.num_slots) = (true, 1),
            6 => return self.write(&told.encode(), &[self.data_fd.as_fd()]),
            _ => {}
        }
        self.write(&told.encode(), &[segment.fd.as_fd()]);
    }

    /// Give a segment up, used or not.
    fn forget(&self, id: u8) {
        let mut notice = [0; 32];
        notice[..5].copy_from_slice(b"BDFG\x01");
        notice[8] = id;
        self.write(&notice, &[]);
    }

    fn lend(&mut self, code: u8, script: &mut Script<'_>) {
        let [place, nbytes] = [script.byte(), script.byte()];
        let mut told = Descriptor {
            segment: u32::from(place & 3),
            slot: u16::from(place >> 2 & 7),
            generation: u32::from(place >> 5 & 1),
            nbytes: 32 * u64::from(nbytes),
        };
        if code & 8 != 0 {
            told.nbytes = script.word();
        }
        self.store(false, HELD_OFFSET as u64 + u64::from(told.slot), &[1]);
        self.say(&record(2, code >> 4 & 1, &told.encode()));
    }

    /// Give back all that the other side has sent.
    fn take_all(&self) {
        let mut tail = [0; 8];
        assert_eq!(rustix::io::pread(&self.fds[0], &mut tail, 0), Ok(8));
        self.store(true, 128, &tail);
        self.store(true, HELD_OFFSET as u64, &[0; 64]);
    }
}

fn record(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut record = (body.len() as u32).to_le_bytes().to_vec();
    record.extend_from_slice(&[kind, flags, 0, 0]);
    record.extend_from_slice(body);
    record.resize(record.len().next_multiple_of(8), 0);
    record
}
