//! Peers that come and go by the thousand. A test binary of its own: it counts the
//! descriptors of its process.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use busduct::context::Context;
use busduct::link::Message;
use busduct::socket::{SocketKey, SocketOptions};
use busduct::zmtp::{SocketType, encode_greeting, encode_ready};

const NUM_PEERS: usize = 20_000;
const NUM_AT_ONCE: usize = 50;
const PATIENCE: Duration = Duration::from_secs(120);

type Core = Context<Vec<u8>>;

fn num_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[track_caller]
fn until(context: &mut Core, mut holds: impl FnMut(&mut Core) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds(context) {
        assert!(Instant::now() < deadline, "waited in vain");
        context.run_once(Some(Duration::from_millis(20))).unwrap();
    }
}

/// Connect and go as far as `step` says: nothing said, greeted, up, a message sent, one
/// cut short, all that was sent read.
fn come(path: &Path, step: usize) -> UnixStream {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut hello = encode_greeting().to_vec();
    encode_ready(&mut hello, SocketType::Dealer, b"", None);
    let said = match step % 6 {
        0 => &[][..],
        1 => &hello[..64],
        2 => &hello,
        3 => &[&hello[..], b"\x00\x01x"].concat(),
        4 => &[&hello[..], b"\x00\x09x"].concat(),
        _ => &[&hello[..], b"\x00\x01x\x04\x07\x04PING\0\0"].concat(),
    };
    stream.write_all(said).unwrap();
    stream
}

fn answer(context: &mut Core, router: SocketKey) {
    while let Some(message) = context.try_recv(router).unwrap() {
        // The one who asked may be gone.
        let _ = context.try_send(router, message);
    }
}

#[test]
fn twenty_thousand_peers_that_come_and_go_leave_nothing_behind() {
    let directory = std::env::temp_dir().join(format!("busduct-churn-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let path = directory.join("r");
    let mut context = Core::new().unwrap();
    let router = context.open(SocketType::Router, SocketOptions::default()).unwrap();
    context.bind(router, &format!("ipc://{}", path.display()), false).unwrap();
    let before = num_descriptors();
    for round in 0..NUM_PEERS / NUM_AT_ONCE {
        let peers: Vec<_> = (0..NUM_AT_ONCE).map(|step| come(&path, step + round)).collect();
        // Some leave before they are accepted, some with messages under way.
        if round % 3 > 0 {
            context.run_once(Some(Duration::ZERO)).unwrap();
            answer(&mut context, router);
        }
        drop(peers);
        answer(&mut context, router);
        context.run_once(Some(Duration::ZERO)).unwrap();
        assert!(num_descriptors() <= before + 4 * NUM_AT_ONCE, "round {round}");
    }
    until(&mut context, |context| {
        answer(context, router);
        let counters = context.statistics(router).counters;
        counters.num_accepted == NUM_PEERS as u64 && num_descriptors() == before
    });
    let statistics = context.statistics(router);
    assert_eq!((statistics.num_peers, statistics.num_recv_queued), (0, 0));
    assert_eq!((statistics.num_send_queued, statistics.num_send_queued_bytes), (0, 0));
    assert_eq!(statistics.counters.num_connected, statistics.counters.num_disconnected);
    serve_one_more(&mut context, router, &path);
    drop(context);
    assert!(!path.exists());
    std::fs::remove_dir(&directory).unwrap();
}

fn serve_one_more(context: &mut Core, router: SocketKey, path: &Path) {
    let mut last = come(path, 3);
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    until(context, |context| {
        if let Some(message) = context.try_recv(router).unwrap() {
            assert_eq!(message.parts()[1], b"x");
            context.try_send(router, Message::Multi(message.into_parts())).unwrap();
        }
        match last.read(&mut buffer) {
            Ok(nbytes) => received.extend_from_slice(&buffer[..nbytes]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        received.ends_with(b"\x00\x01x")
    });
}
