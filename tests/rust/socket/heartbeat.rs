//! Peers that fall silent are noticed, and those that do not stay.

use std::time::{Duration, Instant};

use busduct::socket::{PeerFault, SocketKey, SocketOptions};
use busduct::zmtp::SocketType::{Pull, Push};

use crate::drive::{Core, Place, core, open_with, recv, settle, until, until_peers};
use crate::raw::{Raw, command, frame};

const INTERVAL: Duration = Duration::from_millis(20);
const TIMEOUT: Duration = Duration::from_millis(60);
/// Of a PING, in tenths of a second.
const TTL: &[u8] = b"\x00\x01";

/// A PULL and a raw peer of it.
struct Scene {
    context: Core,
    pull: SocketKey,
    raw: Raw,
    _place: Place,
}

impl Scene {
    fn new(change: impl FnOnce(&mut SocketOptions)) -> Self {
        let (place, mut context) = (Place::new(), core());
        let pull = open_with(&mut context, Pull, change);
        context.bind(pull, &place.endpoint("p"), false).unwrap();
        let raw = Raw::up(&mut context, &place.path("p"), Push, b"");
        until_peers(&mut context, pull, 1);
        Self { context, pull, raw, _place: place }
    }

    fn pinging() -> Self {
        Self::new(|options| {
            options.heartbeat_interval = Some(INTERVAL);
            options.heartbeat_timeout = Some(TIMEOUT);
        })
    }

    #[track_caller]
    fn until_given_up(mut self) {
        until_peers(&mut self.context, self.pull, 0);
        self.raw.until_ended(&mut self.context);
        let faults = self.context.faults(self.pull);
        assert_eq!(faults[0].fault, PeerFault::Unresponsive);
        let counters = self.context.statistics(self.pull).counters;
        assert_eq!((counters.num_disconnected, counters.num_protocol_errors), (1, 0));
    }

    #[track_caller]
    fn stays_for(&mut self, wait: Duration) {
        let end = Instant::now() + wait;
        until(&mut self.context, |_| Instant::now() >= end);
        assert_eq!(self.context.statistics(self.pull).num_peers, 1);
    }
}

#[test]
fn ping_carries_the_ttl_in_tenths_of_a_second() {
    let mut scene = Scene::new(|options| {
        options.heartbeat_interval = Some(INTERVAL);
        options.heartbeat_ttl = Some(Duration::from_millis(25_660));
    });
    let ping = scene.raw.take_frame(&mut scene.context);
    assert_eq!(ping, b"\x04PING\x01\x01");
}

#[test]
fn peer_that_answers_no_ping_is_given_up() {
    let mut scene = Scene::pinging();
    let ping = scene.raw.take_frame(&mut scene.context);
    assert_eq!(ping, b"\x04PING\x00\x00");
    scene.until_given_up();
}

#[test]
fn timeout_longer_than_the_interval_runs_from_the_first_ping_without_an_answer() {
    let mut scene = Scene::pinging();
    let start = Instant::now();
    scene.raw.take_frame(&mut scene.context);
    scene.raw.write(&command(b"\x04PONG"));
    scene.until_given_up();
    // A first PING, an answer, and then the timeout since a PING that had none.
    assert!(start.elapsed() >= INTERVAL + TIMEOUT);
}

#[test]
fn whatever_a_peer_sends_is_a_sign_of_life() {
    let beyond = Duration::from_millis(500);
    for sign in [command(b"\x04PONG"), frame(b"x", false)] {
        let mut scene = Scene::new(|options| {
            options.heartbeat_interval = Some(INTERVAL);
            options.heartbeat_timeout = Some(beyond);
        });
        let end = Instant::now() + beyond * 2;
        while Instant::now() < end {
            scene.raw.take_frame(&mut scene.context);
            scene.raw.write(&sign);
            settle(&mut scene.context);
            while scene.context.try_recv(scene.pull).unwrap().is_some() {}
        }
        assert_eq!(scene.context.statistics(scene.pull).num_peers, 1);
    }
}

#[test]
fn large_message_that_trickles_in_is_a_sign_of_life() {
    let beyond = Duration::from_millis(500);
    let mut scene = Scene::new(|options| {
        options.heartbeat_interval = Some(INTERVAL);
        options.heartbeat_timeout = Some(beyond);
    });
    scene.raw.write(b"\x02\0\0\0\0\0\x10\0\0");
    let end = Instant::now() + beyond * 2;
    while Instant::now() < end {
        scene.raw.take_frame(&mut scene.context);
        scene.raw.write(b"x");
        settle(&mut scene.context);
    }
    assert_eq!(scene.context.statistics(scene.pull).num_peers, 1);
}

#[test]
fn peer_whose_messages_nobody_takes_is_not_silent() {
    let mut scene = Scene::new(|options| {
        options.hwm_messages = 1;
        options.heartbeat_interval = Some(INTERVAL);
    });
    // What follows the first message stays with the kernel, once what was read is parsed.
    scene.raw.write(&frame(b"x", false));
    let pull = scene.pull;
    until(&mut scene.context, |context| context.num_readable(pull) > 0);
    scene.raw.write(&frame(b"y", false));
    scene.stays_for(INTERVAL * 10);
    assert_eq!(recv(&mut scene.context, scene.pull), b"x");
    assert_eq!(recv(&mut scene.context, scene.pull), b"y");
    scene.until_given_up();
}

#[test]
fn peer_silent_for_longer_than_its_own_ttl_is_given_up() {
    let mut scene = Scene::new(|_| {});
    scene.raw.write(&command(&[b"\x04PING", TTL].concat()));
    assert_eq!(scene.raw.take_frame(&mut scene.context), b"\x04PONG");
    scene.until_given_up();
}

#[test]
fn peer_that_is_heard_within_its_ttl_or_takes_it_back_stays() {
    // Long enough for this thread to be held up for a while.
    let (ttl, beyond) = (b"\x00\x08", Duration::from_millis(1200));
    let mut scene = Scene::new(|_| {});
    let end = Instant::now() + beyond;
    while Instant::now() < end {
        scene.raw.write(&command(&[b"\x04PING", &ttl[..]].concat()));
        scene.stays_for(Duration::from_millis(40));
    }
    scene.raw.write(&command(b"\x04PING\x00\x00"));
    scene.stays_for(beyond);
}

#[test]
fn two_idle_sockets_keep_each_other_alive() {
    // Both are held up where this thread is, an answer under way or not.
    let (bound, beyond) = (Duration::from_millis(500), Duration::from_millis(1200));
    let (place, mut context) = (Place::new(), core());
    let beating = |options: &mut SocketOptions| {
        options.heartbeat_interval = Some(INTERVAL);
        options.heartbeat_timeout = Some(bound);
        options.heartbeat_ttl = Some(bound);
    };
    let pull = open_with(&mut context, Pull, beating);
    let push = open_with(&mut context, Push, beating);
    context.bind(pull, &place.endpoint("p"), false).unwrap();
    context.connect(push, &place.endpoint("p")).unwrap();
    until_peers(&mut context, pull, 1);
    let end = Instant::now() + beyond;
    until(&mut context, |_| Instant::now() >= end);
    for key in [pull, push] {
        assert_eq!(context.statistics(key).counters.num_disconnected, 0);
        assert_eq!(context.statistics(key).num_peers, 1);
    }
}
