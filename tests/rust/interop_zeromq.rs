//! Our sockets against those of the `zeromq` crate, over both transports, either binding.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use busduct::context::Context;
use busduct::link::Message;
use busduct::socket::{SocketKey, SocketOptions};
use busduct::zmtp::SocketType;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use zeromq::{
    DealerSocket, PullSocket, PushSocket, RouterSocket, Socket, SocketRecv, SocketSend, ZmqMessage,
    ZmqResult,
};

const PATIENCE: Duration = Duration::from_secs(30);

type Core = Context<Vec<u8>>;
type Parts = Vec<Vec<u8>>;

/// A directory of its own, gone with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bd-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Run `case` with an endpoint of each transport, and with either side binding.
fn everywhere(name: &str, case: impl Fn(&str, bool)) {
    for ours_binds in [true, false] {
        case("tcp://127.0.0.1:0", ours_binds);
        let directory = Directory::new(&format!("{name}-{ours_binds}"));
        case(&format!("ipc://{}", directory.0.join("a").display()), ours_binds);
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn open(core: &mut Core, kind: SocketType) -> SocketKey {
    core.open(kind, SocketOptions::default()).unwrap()
}

/// Bring one of ours and one of theirs together: a task ends with theirs, connected.
fn join<S: Socket + 'static>(
    runtime: &Runtime,
    core: &mut Core,
    ours: SocketKey,
    address: &str,
    ours_binds: bool,
) -> JoinHandle<ZmqResult<S>> {
    let mut theirs = S::new();
    if ours_binds {
        let endpoint = core.bind(ours, address, false).unwrap();
        return runtime.spawn(async move {
            theirs.connect(&endpoint).await?;
            Ok(theirs)
        });
    }
    let endpoint = runtime.block_on(theirs.bind(address)).unwrap();
    core.connect(ours, &endpoint.to_string()).unwrap();
    runtime.spawn(async move { Ok(theirs) })
}

#[track_caller]
fn until(core: &mut Core, mut holds: impl FnMut(&mut Core) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds(core) {
        assert!(Instant::now() < deadline, "waited in vain");
        core.run_once(Some(Duration::from_millis(5))).unwrap();
    }
}

#[track_caller]
fn send_all(core: &mut Core, ours: SocketKey, messages: &[Parts]) {
    let mut waiting: VecDeque<_> = messages.iter().cloned().map(ours_of).collect();
    until(core, |core| {
        while let Some(message) = waiting.pop_front() {
            if let Err((_, back)) = core.try_send(ours, message) {
                waiting.push_front(back);
                return false;
            }
        }
        true
    });
}

#[track_caller]
fn recv_all(core: &mut Core, ours: SocketKey, count: usize) -> Vec<Parts> {
    let mut received = Vec::new();
    until(core, |core| {
        while let Some(message) = core.try_recv(ours).unwrap() {
            received.push(message.into_parts());
        }
        received.len() >= count
    });
    received
}

#[track_caller]
fn finish<T>(runtime: &Runtime, core: &mut Core, task: JoinHandle<ZmqResult<T>>) -> T {
    until(core, |_| task.is_finished());
    runtime.block_on(task).unwrap().unwrap()
}

fn ours_of(parts: Parts) -> Message<Vec<u8>> {
    Message::from_parts(parts).unwrap()
}

fn theirs_of(parts: Parts) -> ZmqMessage {
    let mut parts = parts.into_iter();
    let mut message = ZmqMessage::from(parts.next().unwrap());
    parts.for_each(|part| message.push_back(part.into()));
    message
}

async fn take(socket: &mut impl SocketRecv, count: usize) -> ZmqResult<Vec<Parts>> {
    let mut received = Vec::new();
    while received.len() < count {
        let parts = socket.recv().await?.into_vec();
        received.push(parts.iter().map(|part| part.to_vec()).collect());
    }
    Ok(received)
}

/// Small ones in great number, the borders of the short frame, empty parts, 2 MiB.
fn messages() -> Vec<Parts> {
    let mut messages: Vec<Parts> =
        (0..2000_u32).map(|index| vec![index.to_be_bytes().to_vec()]).collect();
    messages.extend([0, 254, 255, 256, 70_000, 2 << 20].map(|nbytes| vec![vec![7; nbytes]]));
    messages.push(vec![b"head".to_vec(), vec![], vec![9; 255], vec![8; 256], vec![]]);
    messages
}

#[test]
fn our_push_reaches_their_pull() {
    everywhere("push", |address, ours_binds| {
        let (runtime, mut core) = (runtime(), Core::new().unwrap());
        let ours = open(&mut core, SocketType::Push);
        let joining = join::<PullSocket>(&runtime, &mut core, ours, address, ours_binds);
        let mut theirs = finish(&runtime, &mut core, joining);
        let taking = runtime.spawn(async move { take(&mut theirs, messages().len()).await });
        send_all(&mut core, ours, &messages());
        assert!(finish(&runtime, &mut core, taking) == messages());
        runtime.shutdown_background();
    });
}

#[test]
fn their_push_reaches_our_pull() {
    everywhere("pull", |address, ours_binds| {
        let (runtime, mut core) = (runtime(), Core::new().unwrap());
        let ours = open(&mut core, SocketType::Pull);
        let joining = join::<PushSocket>(&runtime, &mut core, ours, address, ours_binds);
        let mut theirs = finish(&runtime, &mut core, joining);
        // A send of theirs fails while no peer is there.
        until(&mut core, |core| core.statistics(ours).num_peers == 1);
        let giving = runtime.spawn(async move {
            for parts in messages() {
                theirs.send(theirs_of(parts)).await?;
            }
            Ok(theirs)
        });
        assert!(recv_all(&mut core, ours, messages().len()) == messages());
        drop(finish(&runtime, &mut core, giving));
        runtime.shutdown_background();
    });
}

#[test]
fn our_dealer_is_answered_by_their_router() {
    everywhere("dealer", |address, ours_binds| {
        let (runtime, mut core) = (runtime(), Core::new().unwrap());
        let ours = open(&mut core, SocketType::Dealer);
        let joining = join::<RouterSocket>(&runtime, &mut core, ours, address, ours_binds);
        let mut theirs = finish(&runtime, &mut core, joining);
        let echoing = runtime.spawn(async move {
            for _ in messages() {
                let message = theirs.recv().await?;
                theirs.send(message).await?;
            }
            Ok(theirs)
        });
        send_all(&mut core, ours, &messages());
        assert!(recv_all(&mut core, ours, messages().len()) == messages());
        drop(finish(&runtime, &mut core, echoing));
        runtime.shutdown_background();
    });
}

#[test]
fn their_dealer_is_answered_by_our_router() {
    everywhere("router", |address, ours_binds| {
        let (runtime, mut core) = (runtime(), Core::new().unwrap());
        let ours = open(&mut core, SocketType::Router);
        let joining = join::<DealerSocket>(&runtime, &mut core, ours, address, ours_binds);
        let mut theirs = finish(&runtime, &mut core, joining);
        until(&mut core, |core| core.statistics(ours).num_peers == 1);
        let asking = runtime.spawn(async move {
            for parts in messages() {
                theirs.send(theirs_of(parts)).await?;
            }
            take(&mut theirs, messages().len()).await
        });
        let requests = recv_all(&mut core, ours, messages().len());
        assert!(requests.iter().map(|parts| &parts[1..]).eq(messages()));
        send_all(&mut core, ours, &requests);
        assert!(finish(&runtime, &mut core, asking) == messages());
        runtime.shutdown_background();
    });
}
