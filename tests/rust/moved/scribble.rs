//! A peer that stores anything in every word that it can write, while the context works on.
//!
//! For as many seconds as `BUSDUCT_HOSTILE_SECONDS` says, or 2.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use busduct::context::{Context, ShmOptions};
use busduct::link::Message;
use busduct::socket::{PeerFault, SocketKey};
use busduct::zmtp::SocketType::{Dealer, Pull, Push};

use crate::bounded::beside;
use crate::drive::{Core, PATIENCE, Place, core, open, open_with, send, until, until_peers};
use crate::frame::Frame;
use crate::half::{Moved, RING_BYTES};
use crate::scene::required;
use crate::scribbler::{Random, Scribbler};

const MAX_MESSAGE_BYTES: usize = 100_000;
/// How long one link is scribbled over, if it lives so long.
const LIFE: Duration = Duration::from_millis(100);

/// Who is scribbled over, and an honest peer of it.
struct World {
    context: Context<Frame>,
    place: Place,
    /// Of the honest peer, and of the other.
    keys: [SocketKey; 2],
    honest: Core,
    push: SocketKey,
    num_honest: u64,
    held: VecDeque<Frame>,
    num_received: u64,
    num_sent: u64,
    faults: BTreeSet<String>,
}

impl World {
    fn new() -> Self {
        let (place, mut context, mut honest) = (Place::new(), Context::new().unwrap(), core());
        context.configure_shm(ShmOptions { ring_bytes: RING_BYTES, ..required() }).unwrap();
        honest.configure_shm(required()).unwrap();
        let pull = open_with(&mut context, Pull, |_| {});
        let dealer = open_with(&mut context, Dealer, |options| {
            options.max_message_bytes = MAX_MESSAGE_BYTES as u64;
            options.hwm_messages = 16;
        });
        context.bind(pull, &place.endpoint("p"), false).unwrap();
        context.bind(dealer, &place.endpoint("q"), false).unwrap();
        let push = open(&mut honest, Push);
        honest.connect(push, &place.endpoint("p")).unwrap();
        Self {
            context,
            place,
            keys: [pull, dealer],
            honest,
            push,
            num_honest: 0,
            held: VecDeque::new(),
            num_received: 0,
            num_sent: 0,
            faults: BTreeSet::new(),
        }
    }

    /// The honest peer sends through shared memory, and all of it arrives.
    fn honest_goes_on(&mut self) {
        self.num_honest += 1;
        for nbytes in [100, 50_000] {
            let sent = vec![self.num_honest as u8; nbytes];
            send(&mut self.honest, self.push, sent.clone());
            let mut got = None;
            until(&mut self.context, |context| {
                self.honest.run_once(Some(Duration::ZERO)).unwrap();
                got = context.try_recv(self.keys[0]).unwrap();
                got.is_some()
            });
            let parts = got.unwrap().into_parts();
            assert!(parts.len() == 1 && parts[0].as_ref() == sent, "not what was sent");
        }
    }

    /// Send and receive as long as the hostile peer is there.
    fn work(&mut self, random: &mut Random) {
        let [_, dealer] = self.keys;
        let end = Instant::now() + LIFE;
        while Instant::now() < end && self.context.statistics(dealer).num_peers > 0 {
            self.context.run_once(Some(Duration::ZERO)).unwrap();
            while let Some(message) = self.context.try_recv(dealer).unwrap() {
                let parts = message.into_parts();
                assert!(
                    parts.iter().map(|part| part.as_ref().len()).sum::<usize>()
                        <= MAX_MESSAGE_BYTES
                );
                self.num_received += 1;
                self.held.extend(parts);
            }
            // What is held is looked at, whatever becomes of it meanwhile.
            for part in &self.held {
                std::hint::black_box(part.as_ref().iter().fold(0, |sum, byte| sum ^ byte));
            }
            self.held.truncate(random.below(32));
            let sizes = [0, 1, 700, 3000, 16_385, 40_000, 90_000];
            let payload = vec![7; sizes[random.below(sizes.len())]];
            let sent = self.context.try_send(dealer, Message::Single(payload.into()));
            self.num_sent += u64::from(sent.is_ok());
            if random.below(16) == 0 {
                self.honest_goes_on();
            }
        }
    }

    fn suffices(&self, num_links: u32) -> bool {
        let is_work_done = self.num_received > 100 && self.num_sent > 100;
        num_links > 10 && is_work_done && self.faults.len() > 3
    }

    fn note_faults(&mut self) {
        for error in self.context.faults(self.keys[1]) {
            let PeerFault::Protocol(error) = error.fault else {
                panic!("{:?}", error.fault);
            };
            let text = error.to_string();
            let reason = text.split(" at byte").next().unwrap_or_default();
            let reason = reason.split(|c: char| c.is_ascii_digit()).next().unwrap_or_default();
            self.faults.insert(reason.to_owned());
        }
        assert_eq!(self.context.faults(self.keys[0]), []);
    }

    /// The hostile peer is gone, and nothing of it is left.
    fn settle(&mut self) {
        let [_, dealer] = self.keys;
        until_peers(&mut self.context, dealer, 0);
        while self.context.try_recv(dealer).unwrap().is_some() {}
        self.held.clear();
        self.note_faults();
        self.honest_goes_on();
    }

    /// Nothing is held once what no peer took is given up.
    fn end(&mut self) {
        let [_, dealer] = self.keys;
        self.context.close(dealer, Some(Duration::ZERO));
        drop(self.context.take_undelivered(dealer));
        self.honest_goes_on();
        until(&mut self.context, |context| context.shm_statistics().num_shm_slots_held == 0);
    }
}

#[test]
fn a_context_bears_a_peer_that_scribbles_over_all_that_it_can_write() {
    let seconds = std::env::var("BUSDUCT_HOSTILE_SECONDS").ok().and_then(|text| text.parse().ok());
    let deadline = Instant::now() + Duration::from_secs(seconds.unwrap_or(2));
    let mut world = World::new();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut num_links = 0;
    // Longer where the machine is busy, until enough has happened.
    let patience = deadline + PATIENCE;
    while Instant::now() < deadline || (!world.suffices(num_links) && Instant::now() < patience) {
        let path = world.place.path("q");
        let peer = Moved::up(&mut world.context, &path, Dealer);
        let mut scribbler = Scribbler::new(peer, random.next());
        beside(|| scribbler.act(), || world.work(&mut random));
        drop(scribbler);
        world.settle();
        num_links += 1;
    }
    world.end();
    assert!(world.suffices(num_links), "{num_links} links, {:?}", world.faults);
}
