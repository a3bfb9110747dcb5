//! Peers that misbehave: each is known by its fault, and an honest one goes on.

use std::time::Duration;

use busduct::socket::{PeerFault, SocketKey, SocketOptions};
use busduct::zmtp::SocketType::{Dealer, Pull, Push, Router};
use busduct::zmtp::{Error, encode_error, encode_greeting};

use crate::drive::{Core, Place, core, open, open_with, recv, send, until, until_peers};
use crate::raw::{Raw, command, frame, ping, ready};

/// Time enough for the honest peer, though this thread may be held up for a while.
const SOON: Duration = Duration::from_millis(500);

/// A PULL with an honest PUSH, and room for others.
struct Scene {
    context: Core,
    place: Place,
    pull: SocketKey,
    push: SocketKey,
}

impl Scene {
    fn new(change: impl FnOnce(&mut SocketOptions)) -> Self {
        let (place, mut context) = (Place::new(), core());
        let (pull, push) = (open_with(&mut context, Pull, change), open(&mut context, Push));
        context.bind(pull, &place.endpoint("p"), false).unwrap();
        context.connect(push, &place.endpoint("p")).unwrap();
        until_peers(&mut context, pull, 1);
        let mut scene = Self { context, place, pull, push };
        scene.honest_goes_on();
        scene
    }

    fn raw(&self) -> Raw {
        Raw::connect(&self.place.path("p"))
    }

    fn up(&mut self) -> Raw {
        let raw = Raw::up(&mut self.context, &self.place.path("p"), Push, b"");
        until_peers(&mut self.context, self.pull, 2);
        raw
    }

    #[track_caller]
    fn honest_goes_on(&mut self) {
        send(&mut self.context, self.push, "honest");
        assert_eq!(recv(&mut self.context, self.pull), b"honest");
    }

    /// Wait for the only fault, and see that it harmed nobody else.
    #[track_caller]
    fn fault(&mut self) -> PeerFault {
        let pull = self.pull;
        until(&mut self.context, |context| !context.faults(pull).is_empty());
        self.honest_goes_on();
        let faults = self.context.faults(self.pull);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!(faults[0].endpoint, self.place.endpoint("p"));
        assert_eq!(self.context.statistics(self.pull).num_peers, 1);
        faults.into_iter().next().unwrap().fault
    }
}

fn greeting_with(at: usize, byte: u8) -> Vec<u8> {
    let mut greeting = encode_greeting();
    greeting[at] = byte;
    greeting.into()
}

fn after_greeting(bytes: &[u8]) -> Vec<u8> {
    [&encode_greeting()[..], bytes].concat()
}

fn error_command(reason: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_error(&mut frame, reason);
    frame
}

#[test]
fn bytes_that_are_no_handshake_are_refused_by_name() {
    let nameless = command(b"");
    let long = command(b"\x05READY\x0bSocket-Type\xff\xff\xff\xffPUSH");
    let cases: [(&str, Vec<u8>); 12] = [
        ("not a ZMTP greeting at byte 0", b"GET / HTTP/1.1\r\n\r\n".into()),
        ("not a ZMTP greeting at byte 9", greeting_with(9, 0)),
        ("peer speaks ZMTP 1; this side speaks 3.1", greeting_with(10, 1)),
        ("peer asks for mechanism CULL; this side speaks NULL", greeting_with(12, b'C')),
        ("message before READY at byte 67", after_greeting(&frame(b"x", false))),
        (
            "socket type PULL does not speak with PULL; it speaks with PUSH",
            after_greeting(&ready(Pull, b"")),
        ),
        (
            "socket type PULL does not speak with ; it speaks with PUSH",
            after_greeting(&command(b"\x05READY")),
        ),
        ("command without a name at byte 66", after_greeting(&nameless)),
        ("READY with a wrong length at byte 92", after_greeting(&long)),
        ("reserved flag bits are set at byte 64", after_greeting(b"\x08\x00")),
        ("peer refused: \\u{1b}[2J", after_greeting(&error_command("\x1b[2J"))),
        (
            "message of 4611686018427387904 bytes exceeds limit of 8192 bytes",
            after_greeting(b"\x06\x40\0\0\0\0\0\0\0"),
        ),
    ];
    for (text, bytes) in cases {
        let mut scene = Scene::new(|_| {});
        let mut raw = scene.raw();
        raw.write(&bytes);
        let PeerFault::Protocol(error) = scene.fault() else {
            panic!("{text}");
        };
        assert_eq!(error.to_string(), text);
        raw.until_ended(&mut scene.context);
        assert_eq!(scene.context.statistics(scene.pull).counters.num_handshakes_failed, 1);
    }
}

#[test]
fn bytes_that_are_no_frames_are_refused_by_name() {
    let cases: [(&str, Vec<u8>); 6] = [
        (
            "message of 4611686018427387904 bytes exceeds limit of 1073741824 bytes",
            b"\x02\x40\0\0\0\0\0\0\0".into(),
        ),
        (
            "message of 18446744073709551615 bytes exceeds limit of 1073741824 bytes",
            b"\x02\xff\xff\xff\xff\xff\xff\xff\xff".into(),
        ),
        ("second READY", ready(Push, b"")),
        ("command with the MORE flag", b"\x05\x00".into()),
        ("PING with a wrong length", ping(&[0; 17])),
        ("peer refused: go away", error_command("go away")),
    ];
    for (text, bytes) in cases {
        let mut scene = Scene::new(|_| {});
        let mut raw = scene.up();
        raw.write(&bytes);
        let PeerFault::Protocol(error) = scene.fault() else {
            panic!("{text}");
        };
        assert!(error.to_string().starts_with(text), "{error}");
        raw.until_ended(&mut scene.context);
    }
}

#[test]
fn ten_million_empty_parts_end_at_the_limit() {
    let mut scene = Scene::new(|_| {});
    let mut raw = scene.up();
    raw.write_through(&mut scene.context, &[1, 0].repeat(10_000_000));
    let error = Error::TooLarge { size: 1025, limit: 1024, unit: "parts" };
    assert_eq!(scene.fault(), PeerFault::Protocol(error));
}

#[test]
fn refused_peer_is_told_why() {
    let mut scene = Scene::new(|_| {});
    let path = scene.place.path("p");
    let mut raw = Raw::greeted(&mut scene.context, &path);
    raw.write(&ready(Router, b""));
    raw.take_frame(&mut scene.context);
    let answer = raw.take_frame(&mut scene.context);
    assert_eq!(
        answer,
        b"\x05ERROR\x40socket type PULL does not speak with ROUTER; it speaks with PUSH"
    );
}

#[test]
fn peers_that_do_not_introduce_themselves_in_time_are_let_go() {
    let greeting = encode_greeting();
    let endless_pings = after_greeting(&ping(b"").repeat(3));
    for start in [&[][..], &greeting[..1], &greeting[..63], &greeting, &endless_pings] {
        let mut scene = Scene::new(|options| options.handshake_timeout = SOON);
        let mut raw = scene.raw();
        raw.write(start);
        assert_eq!(scene.fault(), PeerFault::Silent(SOON));
        raw.until_ended(&mut scene.context);
    }
}

#[test]
fn peer_that_vanishes_amid_a_message_is_noted_and_its_message_dropped() {
    let large = [&b"\x02\0\0\0\0\0\x10\0\0"[..], &[0; 500_000]].concat();
    for start in [&b"\x00"[..], b"\x00\x05abc", &frame(b"first", true), &large] {
        let mut scene = Scene::new(|_| {});
        let mut raw = scene.up();
        raw.write_through(&mut scene.context, start);
        drop(raw);
        assert_eq!(scene.fault(), PeerFault::Lost);
    }
}

#[test]
fn peer_that_vanishes_between_messages_is_no_fault() {
    let mut scene = Scene::new(|_| {});
    let mut raw = scene.up();
    raw.write(&frame(b"whole", false));
    drop(raw);
    assert_eq!(recv(&mut scene.context, scene.pull), b"whole");
    until_peers(&mut scene.context, scene.pull, 1);
    scene.honest_goes_on();
    assert_eq!(scene.context.faults(scene.pull), []);
}

#[test]
fn flood_of_pings_is_answered_as_far_as_the_peer_reads() {
    let mut scene = Scene::new(|_| {});
    let mut raw = scene.up();
    let num_pings = 200_000;
    raw.write_through(&mut scene.context, &ping(b"0123456789abcdef").repeat(num_pings));
    scene.honest_goes_on();
    let pong = command(b"\x04PONG0123456789abcdef");
    raw.write(&[ping(b"last"), frame(b"end", false)].concat());
    assert_eq!(recv(&mut scene.context, scene.pull), b"end");
    // Answers that a full buffer left out are missing whole.
    let mut num_pongs = 0;
    loop {
        let body = raw.take_frame(&mut scene.context);
        if body != pong[2..] {
            assert_eq!(body, b"\x04PONGlast");
            break;
        }
        num_pongs += 1;
        if num_pongs % 1_000 == 0 {
            raw.write(&ping(b"last"));
        }
    }
    assert!(num_pongs < num_pings);
    assert_eq!(scene.context.faults(scene.pull), []);
}

#[test]
fn connection_over_the_cap_is_refused() {
    let mut scene = Scene::new(|options| options.max_peers = 2);
    let kept = scene.up();
    let mut refused = scene.raw();
    refused.until_ended(&mut scene.context);
    assert_eq!(scene.context.statistics(scene.pull).counters.num_refused, 1);
    drop(kept);
    until_peers(&mut scene.context, scene.pull, 1);
    scene.up();
    scene.honest_goes_on();
}

#[test]
fn routing_id_of_a_live_peer_is_not_taken_over() {
    let (place, mut context) = (Place::new(), core());
    let router = open(&mut context, Router);
    context.bind(router, &place.endpoint("r"), false).unwrap();
    let mut owner = Raw::up(&mut context, &place.path("r"), Dealer, b"x");
    until_peers(&mut context, router, 1);
    for (id, reason) in [(&b"x"[..], "in use"), (b"\0abc", "starts with a zero byte")] {
        let mut thief = Raw::up(&mut context, &place.path("r"), Dealer, id);
        let answer = thief.take_frame(&mut context);
        assert!(String::from_utf8_lossy(&answer).ends_with(reason));
        thief.until_ended(&mut context);
    }
    let parts = vec![b"x".to_vec(), b"yours".to_vec()];
    context.try_send(router, busduct::link::Message::Multi(parts)).unwrap();
    assert_eq!(owner.take_frame(&mut context), b"yours");
}

#[test]
fn messages_to_a_socket_that_only_sends_are_dropped_however_they_are_cut() {
    let (place, mut context) = (Place::new(), core());
    let push = open_with(&mut context, Push, |options| options.hwm_messages = 2);
    context.bind(push, &place.endpoint("p"), false).unwrap();
    let mut raw = Raw::up(&mut context, &place.path("p"), Pull, b"");
    until_peers(&mut context, push, 1);
    let flood = frame(b"unwanted", false).repeat(50_001);
    for piece in flood.chunks(99_991) {
        raw.write_through(&mut context, piece);
    }
    send(&mut context, push, "wanted");
    assert_eq!(raw.take_frame(&mut context), b"wanted");
    assert_eq!(context.faults(push), []);
}

#[test]
fn violation_behind_messages_to_a_socket_that_only_sends_leaves_nothing_behind() {
    let (place, mut context) = (Place::new(), core());
    let push = open_with(&mut context, Push, |options| options.hwm_messages = 2);
    context.bind(push, &place.endpoint("p"), false).unwrap();
    let mut raw = Raw::up(&mut context, &place.path("p"), Pull, b"");
    raw.write(&[frame(b"unwanted", false).repeat(3), vec![8, 0]].concat());
    raw.until_ended(&mut context);
    assert_eq!(context.faults(push).len(), 1);
    assert_eq!(context.statistics(push).num_recv_queued, 0);
}
