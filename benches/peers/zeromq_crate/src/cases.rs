//! The faults: each function provokes one and returns what was seen.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::time::timeout;
use zeromq::prelude::*;
use zeromq::{DealerSocket, PullSocket, PushSocket, RouterSocket, ZmqError, ZmqMessage};

use crate::raw;

/// One fault and the function that shows it.
pub struct Case {
    pub name: &'static str,
    pub run: fn() -> io::Result<String>,
}

pub const ALL: [Case; 8] = [
    Case { name: "hostile length", run: hostile_length },
    Case { name: "stalled reader", run: stalled_reader },
    Case { name: "close with a full queue", run: close_with_full_queue },
    Case { name: "restarted peer", run: restarted_peer },
    Case { name: "heartbeat", run: heartbeat },
    Case { name: "unknown mechanism", run: unknown_mechanism },
    Case { name: "peer dies while a send waits", run: death_during_send },
    Case { name: "churn", run: churn },
];

const CHURN_CONNECTS: u64 = 100_000;
const CLOSE_MESSAGES: usize = 200;
const CLOSE_NBYTES: usize = 1 << 20;

/// A frame header of 2^46 bytes reaches the allocator.
fn hostile_length() -> io::Result<String> {
    with_bound_pull(|mut peer| {
        raw::handshake(&mut peer, "PUSH", "NULL")?;
        raw::write_long_header(&mut peer, 1 << 46)?;
        // Keeps the connection until the process ends.
        thread::sleep(Duration::from_secs(5));
        Ok("the process survived".to_owned())
    })
}

/// Nothing bounds the bytes that are queued for a peer.
fn stalled_reader() -> io::Result<String> {
    let (runtime, mut socket, _peer) = connected_push()?;
    let before = resident_mib()?;
    let mut accepted = 0_usize;
    while accepted < 20_000 {
        let message = ZmqMessage::from(vec![7_u8; 64 << 10]);
        let sending = async { timeout(Duration::from_secs(2), socket.send(message)).await };
        let sent = runtime.block_on(sending);
        if sent.is_err() {
            break;
        }
        accepted += 1;
    }
    Ok(format!(
        "{accepted} of 20000 messages of 64 KiB accepted while the peer read none; \
         resident memory {before} -> {} MiB",
        resident_mib()?
    ))
}

/// What `send` accepted is not what a process that closes its socket delivers.
fn close_with_full_queue() -> io::Result<String> {
    let arrived = (0..5).map(|_| arrived_before_end()).collect::<io::Result<Vec<_>>>()?;
    Ok(format!(
        "{arrived:?} of {CLOSE_MESSAGES} messages of 1 MiB arrived, in five runs, at a \
         reader that began one second later; no send and no close() had failed"
    ))
}

fn arrived_before_end() -> io::Result<usize> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut sender = Command::new(std::env::current_exe()?)
        .args(["close-sender", &endpoint_of(&listener)?])
        .spawn()?;
    let mut peer = listener.accept()?.0;
    raw::handshake(&mut peer, "PULL", "NULL")?;
    // A reader with something else to do first; a linger would outlast it.
    thread::sleep(Duration::from_secs(1));
    let mut arrived = 0;
    while raw::read_frame(&mut peer).is_ok() {
        arrived += 1;
    }
    sender.wait()?;
    Ok(arrived)
}

/// The other process of `close_with_full_queue`.
///
/// # Errors
/// The socket refuses to connect or send, or close reports an error.
pub fn send_and_close(endpoint: &str) -> io::Result<()> {
    Runtime::new()?.block_on(async {
        let mut socket = PushSocket::new();
        socket.connect(endpoint).await.map_err(other)?;
        for _ in 0..CLOSE_MESSAGES {
            let message = ZmqMessage::from(vec![7_u8; CLOSE_NBYTES]);
            socket.send(message).await.map_err(other)?;
        }
        match socket.close().await.pop() {
            Some(error) => Err(other(error)),
            None => Ok(()),
        }
    })
}

/// A connected PUSH never comes back to a peer that was restarted.
fn restarted_peer() -> io::Result<String> {
    let (runtime, mut socket, peer) = connected_push()?;
    let address = peer.local_addr()?;
    drop(peer);
    let listener = TcpListener::bind(address)?;
    let connected = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&connected);
    thread::spawn(move || {
        for _peer in listener.incoming() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    let (mut accepted, mut refused, mut last) = (0, 0, String::new());
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        match runtime.block_on(socket.send("again".into())) {
            Ok(()) => accepted += 1,
            Err(error) => {
                refused += 1;
                last = reason(&error);
            }
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(format!(
        "{} connections to the restarted peer in 10 s; {accepted} sends accepted and lost, \
         {refused} refused with {last:?}",
        connected.load(Ordering::Relaxed)
    ))
}

/// libzmq sends PING when `ZMQ_HEARTBEAT_IVL` is set.
fn heartbeat() -> io::Result<String> {
    with_bound_pull(|mut peer| {
        raw::handshake(&mut peer, "PUSH", "NULL")?;
        raw::write_ping(&mut peer)?;
        peer.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(match raw::read_frame(&mut peer) {
            Ok((_, body)) if body.starts_with(b"\x04PONG") => "PING answered by PONG",
            Ok(_) => "PING answered by something else",
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => "PING not answered",
            Err(_) => "PING ends the connection",
        }
        .to_owned())
    })
}

/// A peer that asks for CURVE must not be served in clear.
fn unknown_mechanism() -> io::Result<String> {
    with_bound_pull(|mut peer| {
        peer.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(match raw::handshake(&mut peer, "PUSH", "CURVE") {
            Ok(()) => "a peer that announces CURVE gets READY in clear".to_owned(),
            Err(error) => format!("a peer that announces CURVE is refused ({error})"),
        })
    })
}

/// With two peers, the death of the one that a send waits for stops the runtime.
fn death_during_send() -> io::Result<String> {
    let first = TcpListener::bind("127.0.0.1:0")?;
    let second = TcpListener::bind("127.0.0.1:0")?;
    let endpoints = [endpoint_of(&first)?, endpoint_of(&second)?];
    let peers = thread::spawn(move || {
        [first, second].map(|listener| {
            let mut peer = listener.accept()?.0;
            raw::handshake(&mut peer, "PULL", "NULL")?;
            Ok::<_, io::Error>(peer)
        })
    });
    let runtime = Runtime::new()?;
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let sending = runtime.spawn(async move {
        let mut socket = PushSocket::new();
        for endpoint in &endpoints {
            socket.connect(endpoint).await?;
        }
        loop {
            socket.send(vec![7_u8; 1024].into()).await?;
            counter.fetch_add(1, Ordering::Relaxed);
        }
        #[allow(unreachable_code)]
        Ok::<(), ZmqError>(())
    });
    let peers = peers.join().map_err(|_| io::Error::other("peer thread"))?;
    let waiting_at = wait_until_still(&sent);
    // Both die: whichever the send waits for is among them.
    drop(peers);
    thread::sleep(Duration::from_secs(10));
    let ended = sending.is_finished();
    // Dropping it would wait for the worker that hangs.
    runtime.shutdown_background();
    Ok(format!(
        "the send that waited after {waiting_at} messages {} 10 s after its peers died",
        if ended { "had returned" } else { "still waits" }
    ))
}

/// DEALERs that connect and close, one after the other, at a ROUTER that reads.
fn churn() -> io::Result<String> {
    let runtime = Runtime::new()?;
    let mut router = RouterSocket::new();
    let bound = runtime.block_on(router.bind("tcp://127.0.0.1:0"));
    let endpoint = bound.map_err(other)?.to_string();
    runtime.spawn(async move { while router.recv().await.is_ok() {} });
    let served = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&served);
    let churning = runtime.spawn(async move {
        while counter.load(Ordering::Relaxed) < CHURN_CONNECTS {
            let mut dealer = DealerSocket::new();
            dealer.connect(&endpoint).await?;
            dealer.close().await;
            counter.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<(), ZmqError>(())
    });
    let watched = watch_progress(&served, || churning.is_finished());
    runtime.shutdown_background();
    Ok(watched)
}

/// Says whether the counter went on until `finished`, for 60 s at most.
fn watch_progress(served: &AtomicU64, finished: impl Fn() -> bool) -> String {
    let started = Instant::now();
    let mut last = (0, started);
    while !finished() && started.elapsed() < Duration::from_secs(60) {
        thread::sleep(Duration::from_millis(100));
        let now = served.load(Ordering::Relaxed);
        if now != last.0 {
            last = (now, Instant::now());
        } else if last.1.elapsed() > Duration::from_secs(10) {
            return format!("no progress for 10 s after {now} connects and closes");
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    format!("{} connects and closes in {seconds:.1} s", last.0)
}

/// Binds a PULL that reads all the time and hands a fresh connection to `peer`.
fn with_bound_pull(peer: impl FnOnce(TcpStream) -> io::Result<String>) -> io::Result<String> {
    let runtime = Runtime::new()?;
    let mut socket = PullSocket::new();
    let endpoint = runtime.block_on(socket.bind("tcp://127.0.0.1:0")).map_err(other)?.to_string();
    runtime.spawn(async move {
        loop {
            let _ = socket.recv().await;
        }
    });
    peer(TcpStream::connect(endpoint.trim_start_matches("tcp://"))?)
}

/// Connects a PUSH to a peer of plain sockets that has not read any message.
fn connected_push() -> io::Result<(Runtime, PushSocket, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let endpoint = endpoint_of(&listener)?;
    let accepted = thread::spawn(move || {
        let mut peer = listener.accept()?.0;
        raw::handshake(&mut peer, "PULL", "NULL")?;
        Ok::<_, io::Error>(peer)
    });
    let runtime = Runtime::new()?;
    let mut socket = PushSocket::new();
    runtime.block_on(socket.connect(&endpoint)).map_err(other)?;
    let peer = accepted.join().map_err(|_| io::Error::other("peer thread"))??;
    Ok((runtime, socket, peer))
}

fn endpoint_of(listener: &TcpListener) -> io::Result<String> {
    Ok(format!("tcp://{}", listener.local_addr()?))
}

/// Waits until the counter has stood still for two seconds, and returns it.
fn wait_until_still(counter: &AtomicU64) -> u64 {
    let mut seen = 0;
    loop {
        thread::sleep(Duration::from_secs(2));
        let now = counter.load(Ordering::Relaxed);
        if seen == now {
            return seen;
        }
        seen = now;
    }
}

/// An error's text without the message that some of them carry.
fn reason(error: &ZmqError) -> String {
    match error {
        ZmqError::ReturnToSender { reason, .. } => (*reason).to_owned(),
        other => other.to_string(),
    }
}

fn other(error: ZmqError) -> io::Error {
    io::Error::other(error.to_string())
}

fn resident_mib() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.map(|kib| kib / 1024).ok_or_else(|| io::Error::other("no VmRSS"))
}
