//! Sockets of any kinds in one context, and a script of what their owners do: no panic,
//! counters that add up after every step, and each accepted message received once, or
//! counted as dropped or lost.
//!
//! The first bytes choose the types and options of two or three sockets; of the rest, two
//! bytes are one step.

mod ledger;
mod member;
mod script;

use std::time::Duration;

use busduct::context::Context;
use busduct::socket::State;
use busduct::zmtp::SocketType::{Rep, Req};

use ledger::Ledger;
use member::Member;
use script::Script;

const NAMES: [&str; 2] = ["inproc://a", "inproc://b"];
const MAX_STEPS: usize = 300;
/// Turns in which all that is queued must arrive.
const MAX_TURNS: usize = 1000;

pub(crate) fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut world = World::new(&mut script);
    for _ in 0..MAX_STEPS {
        if script.is_empty() {
            break;
        }
        world.step(&mut script);
        world.check();
    }
    world.drain();
    world.close();
}

struct World {
    core: Context<Vec<u8>>,
    members: Vec<Member>,
    ledger: Ledger,
    /// Messages sent and received by sockets that were replaced.
    num_moved: (u64, u64),
    /// One of those had a message refused, or did so.
    has_refused: bool,
}

impl World {
    fn new(script: &mut Script<'_>) -> Self {
        let mut core = Context::new().unwrap();
        let kinds = script.kinds();
        let open = |kind| Member::open(&mut core, kind, script.options(kind));
        let members: Vec<_> = kinds.into_iter().map(open).collect();
        let mut world = Self {
            core,
            members,
            ledger: Ledger::default(),
            num_moved: (0, 0),
            has_refused: false,
        };
        let start = script.byte();
        if start & 1 == 0 {
            world.bind(0, NAMES[0]);
            world.connect(1, NAMES[0]);
            let other = world.members.len() - 1;
            world.connect(if start & 2 == 0 { other } else { 0 }, NAMES[0]);
        }
        world
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let [code, choice] = [script.byte(), script.byte()];
        let at = usize::from(code >> 4) % self.members.len();
        let name = NAMES[usize::from(choice & 1)];
        let Self { core, members, ledger, .. } = self;
        let member = &mut members[at];
        match code & 15 {
            0..=3 => drop(member.send(core, ledger, choice, false)),
            4 => drop(member.send(core, ledger, choice, true)),
            5 | 6 => drop(member.recv(core, ledger, choice & 1 != 0)),
            7 => while member.recv(core, ledger, false) {},
            8 if choice & 1 == 0 => core.flush(),
            8 => core.run_once(Some(Duration::ZERO)).unwrap(),
            9 => member.change_topic(core, choice),
            10 => self.bind(at, name),
            11 => self.connect(at, name),
            12 if choice & 2 == 0 => drop(core.disconnect(member.key, name)),
            12 => drop(core.unbind(member.key, name)),
            13 => self.close_or_replace(at, choice),
            14 => member.take_undelivered(core, ledger),
            _ => member.want_room(core),
        }
        self.note_woken();
    }

    fn bind(&mut self, at: usize, name: &str) {
        // The name may be taken, or the socket closed.
        let _ = self.core.bind(self.members[at].key, name, false);
    }

    fn connect(&mut self, at: usize, name: &str) {
        let connected = self.core.connect(self.members[at].key, name);
        assert_eq!(connected.is_ok(), self.members[at].is_open(&self.core));
    }

    fn close_or_replace(&mut self, at: usize, choice: u8) {
        let member = &mut self.members[at];
        match member.state(&self.core) {
            State::Open => {
                let linger = if choice & 1 == 0 { Some(Duration::ZERO) } else { None };
                self.core.close(member.key, linger);
                let state = member.state(&self.core);
                assert!(linger.is_none() || state == State::Closed);
            }
            State::Lingering => {}
            State::Closed => {
                member.take_undelivered(&mut self.core, &mut self.ledger);
                let counters = member.check(&self.core).counters;
                self.num_moved.0 += counters.num_messages_sent;
                self.num_moved.1 += counters.num_messages_received;
                self.has_refused |= counters.num_protocol_errors > 0;
                self.core.release(member.key);
                assert!(self.core.socket(member.key).is_none());
                *member = Member::open(&mut self.core, member.kind, member.options.clone());
            }
        }
    }

    fn note_woken(&mut self) {
        let mut woken = Vec::new();
        self.core.take_woken(&mut woken);
        for member in self.members.iter_mut().filter(|member| woken.contains(&member.key)) {
            member.note_woken(&mut self.core);
        }
    }

    /// Check what holds after every step.
    fn check(&self) {
        let (mut num_sent, mut num_received) = self.num_moved;
        let mut refuses = false;
        for member in &self.members {
            let counters = member.check(&self.core).counters;
            num_sent += counters.num_messages_sent;
            num_received += counters.num_messages_received;
            refuses |= counters.num_protocol_errors > 0;
        }
        let probes = self.members.iter().any(|member| member.options.probe_router);
        assert!(probes || self.ledger.num_probes == 0);
        // A probe is not counted as sent, and what is over a limit not as received.
        assert!(num_sent >= num_received || probes);
        assert!(num_sent <= num_received || refuses || self.has_refused);
    }

    /// Take all that can be taken; if nobody was closed, nothing may stay behind.
    fn drain(&mut self) {
        for _ in 0..MAX_TURNS {
            self.core.run_once(Some(Duration::ZERO)).unwrap();
            let mut is_idle = true;
            for member in &mut self.members {
                while member.recv(&mut self.core, &mut self.ledger, false) {
                    is_idle = false;
                }
            }
            self.note_woken();
            self.check();
            if is_idle {
                break;
            }
        }
        let takes_all =
            |member: &Member| member.is_open(&self.core) && ![Req, Rep].contains(&member.kind);
        if self.members.iter().all(takes_all) {
            self.members.iter().for_each(|member| member.check_drained(&self.core));
        }
    }

    fn close(&mut self) {
        for member in &self.members {
            self.core.close(member.key, Some(Duration::ZERO));
        }
        self.core.run_once(Some(Duration::ZERO)).unwrap();
        self.check();
        for member in &mut self.members {
            member.check_closed(&self.core);
            member.take_undelivered(&mut self.core, &mut self.ledger);
        }
    }
}
