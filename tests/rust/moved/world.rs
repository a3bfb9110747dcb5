//! Two contexts whose link has moved, and a queue of what must come out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use busduct::context::{Context, ShmOptions};
use busduct::link::Message;
use busduct::socket::{SendFault, SocketKey, SocketOptions};
use busduct::zmtp::SocketType::{Pull, Push};
use proptest::sample::Index;

use crate::drive::{PATIENCE, Place, open_with, until};
use crate::frame::Frame;
use crate::scene::required;

const HWM_MESSAGES: usize = 8;
/// How many of the parts that came are kept for longer.
const MAX_HELD: usize = 6;

/// What a part is: so many times the same byte.
type Part = (u8, usize);

fn payload((byte, nbytes): Part) -> Vec<u8> {
    vec![byte; nbytes]
}

#[track_caller]
fn assert_is(frame: &Frame, part: Part) {
    let bytes = frame.as_ref();
    assert_eq!(bytes.len(), part.1);
    assert!(bytes.iter().all(|&byte| byte == part.0), "not {part:?}");
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Send(Vec<usize>),
    SendMany(Vec<usize>),
    SendLoan { nbytes: usize, num_times: usize },
    Recv { keeps: bool },
    RecvMany { max_n: usize, max_nbytes: usize, keeps: bool },
    Release(Index),
    Flush,
    Turn,
    ReceiverLeaves { is_closed: bool },
    SenderLeaves,
}

pub(crate) struct World {
    place: Place,
    shm: ShmOptions,
    pub(crate) sender: Context<Frame>,
    pub(crate) push: SocketKey,
    pub(crate) receiver: Context<Frame>,
    pull: SocketKey,
    /// Accepted and not received.
    expected: VecDeque<Vec<Part>>,
    pub(crate) held: VecDeque<(Frame, Part)>,
    next_byte: u8,
}

fn context(shm: &ShmOptions) -> Context<Frame> {
    let mut context = Context::new().unwrap();
    context.configure_shm(shm.clone()).unwrap();
    context
}

impl World {
    pub(crate) fn new(ring_bytes: usize, max_bytes: usize) -> Self {
        let shm = ShmOptions { ring_bytes, max_bytes, ..required() };
        let (mut sender, mut receiver) = (context(&shm), context(&shm));
        let few = |options: &mut SocketOptions| {
            options.hwm_messages = HWM_MESSAGES;
            options.reconnect_interval = Duration::from_millis(1);
            options.reconnect_max = Duration::from_millis(1);
        };
        let push = open_with(&mut sender, Push, few);
        let pull = open_with(&mut receiver, Pull, few);
        let mut world = Self {
            place: Place::new(),
            shm,
            sender,
            push,
            receiver,
            pull,
            expected: VecDeque::new(),
            held: VecDeque::new(),
            next_byte: 0,
        };
        world.receiver.bind(pull, &world.place.endpoint("e"), false).unwrap();
        world.sender.connect(push, &world.place.endpoint("e")).unwrap();
        world.meet();
        world
    }

    /// Wait until the link has moved.
    fn meet(&mut self) {
        until(&mut self.receiver, |receiver| {
            self.sender.run_once(Some(Duration::ZERO)).unwrap();
            let num_peers =
                [receiver, &mut self.sender].map(|side| side.shm_statistics().num_shm_peers);
            num_peers == [1, 1]
        });
    }

    fn make(&mut self, nbytes: usize) -> Part {
        self.next_byte = self.next_byte.wrapping_add(1);
        (self.next_byte, nbytes)
    }

    pub(crate) fn step(&mut self, step: &Step) {
        match *step {
            Step::Send(ref sizes) => {
                let parts: Vec<_> = sizes.iter().map(|&nbytes| self.make(nbytes)).collect();
                let frames = parts.iter().map(|&part| payload(part).into()).collect();
                self.send(frames, parts);
            }
            Step::SendMany(ref sizes) => self.send_many(sizes),
            Step::SendLoan { nbytes, num_times } => self.send_loan(nbytes, num_times),
            Step::Recv { keeps } => drop(self.recv(keeps)),
            Step::RecvMany { max_n, max_nbytes, keeps } => {
                self.recv_many(max_n, max_nbytes, keeps);
            }
            Step::Release(which) if !self.held.is_empty() => {
                let _ = self.held.remove(which.index(self.held.len()));
            }
            Step::Release(_) => {}
            Step::Flush => self.sender.flush(),
            Step::Turn => self.turn(),
            Step::ReceiverLeaves { is_closed } => self.replace_receiver(is_closed),
            Step::SenderLeaves => self.replace_sender(),
        }
        self.held.iter().for_each(|(frame, part)| assert_is(frame, *part));
    }

    fn turn(&mut self) {
        self.sender.run_once(Some(Duration::ZERO)).unwrap();
        self.receiver.run_once(Some(Duration::ZERO)).unwrap();
    }

    fn send(&mut self, frames: Vec<Frame>, parts: Vec<Part>) {
        match self.sender.try_send(self.push, Message::from_parts(frames).unwrap()) {
            Ok(()) => self.expected.push_back(parts),
            Err((fault, returned)) => {
                assert!(matches!(fault, SendFault::Full { .. }), "{fault:?}");
                assert!(!self.expected.is_empty(), "full of nothing");
                let returned = returned.into_parts();
                assert_eq!(returned.len(), parts.len());
                returned.iter().zip(parts).for_each(|(frame, part)| assert_is(frame, part));
            }
        }
    }

    fn send_many(&mut self, sizes: &[usize]) {
        let parts: Vec<_> = sizes.iter().map(|&nbytes| self.make(nbytes)).collect();
        let mut frames = parts.iter().map(|&part| payload(part).into()).collect();
        let num_sent = self.sender.send_batch(self.push, &mut frames);
        assert_eq!(num_sent, parts.len() - frames.len());
        self.expected.extend(parts[..num_sent].iter().map(|&part| vec![part]));
    }

    /// Send a payload that lies in the arena already, perhaps as several parts.
    fn send_loan(&mut self, nbytes: usize, num_times: usize) {
        let Some(mut slot) = self.sender.loan(nbytes) else {
            return;
        };
        let part = self.make(nbytes);
        slot.copy_from(&payload(part));
        self.send(vec![Frame::Slot(slot); num_times], vec![part; num_times]);
    }

    fn keep(&mut self, frame: Frame, part: Part, keeps: bool) {
        assert_is(&frame, part);
        if keeps {
            self.held.push_back((frame, part));
            self.held.truncate(MAX_HELD);
        }
    }

    /// Take a message if there is one, which must be the next.
    fn recv(&mut self, keeps: bool) -> bool {
        let Some(message) = self.receiver.try_recv(self.pull).unwrap() else {
            return false;
        };
        let expected = self.expected.pop_front().expect("nothing else was sent");
        let parts = message.into_parts();
        assert_eq!(parts.len(), expected.len());
        for (frame, part) in parts.into_iter().zip(expected) {
            self.keep(frame, part, keeps);
        }
        true
    }

    fn recv_many(&mut self, max_n: usize, max_nbytes: usize, keeps: bool) {
        let mut taken = Vec::new();
        let nbytes = self.receiver.take_batch(self.pull, max_n, max_nbytes, &mut taken);
        assert!(taken.len() <= max_n);
        assert_eq!(nbytes, taken.iter().map(|frame| frame.as_ref().len()).sum());
        for frame in taken {
            let expected = self.expected.pop_front().expect("nothing else was sent");
            assert_eq!(expected.len(), 1);
            self.keep(frame, expected[0], keeps);
        }
    }

    /// What was not written to it, or not to its end, is for the next. What it was given and
    /// has not taken it would drop with itself: `turns` has peers that die.
    fn replace_receiver(&mut self, is_closed: bool) {
        while self.recv(true) {}
        if !is_closed {
            self.held.clear();
            self.receiver = context(&self.shm);
        } else {
            self.receiver.close(self.pull, Some(Duration::ZERO));
            self.receiver.release(self.pull);
        }
        self.pull = open_with(&mut self.receiver, Pull, |options| {
            options.hwm_messages = HWM_MESSAGES;
        });
        self.receiver.bind(self.pull, &self.place.endpoint("e"), false).unwrap();
        let push = self.push;
        until(&mut self.sender, |sender| sender.statistics(push).counters.num_disconnected > 0);
        self.meet();
    }

    /// What it has published can still be received, the rest it knows to be lost.
    fn replace_sender(&mut self) {
        self.sender.close(self.push, Some(Duration::ZERO));
        let lost = self.sender.take_undelivered(self.push);
        let num_left = self.expected.len() - lost.len();
        for (message, parts) in lost.into_iter().zip(self.expected.split_off(num_left)) {
            let frames = message.into_parts();
            assert_eq!(frames.len(), parts.len());
            frames.iter().zip(parts).for_each(|(frame, part)| assert_is(frame, part));
        }
        self.sender = context(&self.shm);
        self.push = open_with(&mut self.sender, Push, |options| {
            options.hwm_messages = HWM_MESSAGES;
        });
        self.drain();
        let pull = self.pull;
        until(&mut self.receiver, |receiver| receiver.statistics(pull).num_peers == 0);
        self.sender.connect(self.push, &self.place.endpoint("e")).unwrap();
        self.meet();
    }

    /// Receive all that was accepted.
    pub(crate) fn drain(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.expected.is_empty() {
            assert!(Instant::now() < deadline, "{} do not come", self.expected.len());
            while self.recv(false) {}
            self.turn();
        }
        assert!(!self.recv(false), "it comes from nowhere");
    }

    pub(crate) fn end(mut self) {
        self.drain();
        self.held.clear();
        let mut sides = [self.sender, self.receiver];
        until(&mut sides[0], |sender| sender.shm_statistics().num_shm_slots_held == 0);
    }
}
