//! Our sockets against those of the `zeromq` crate, over both transports, either binding.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use busduct::context::Context;
use busduct::link::Message;
use busduct::socket::{OnFull, SocketKey, SocketOptions};
use busduct::zmtp::SocketType;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use zeromq::{
    DealerSocket, PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket, RouterSocket, Socket,
    SocketRecv, SocketSend, SubSocket, ZmqMessage, ZmqResult,
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
        while received.len() < count
            && let Some(message) = core.try_recv(ours).unwrap()
        {
            received.push(message.into_parts());
        }
        received.len() == count
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

#[test]
fn our_pub_reaches_their_sub() {
    everywhere("pub", |address, ours_binds| {
        let (runtime, mut core) = (runtime(), Core::new().unwrap());
        let options = SocketOptions { on_full: Some(OnFull::Wait), ..SocketOptions::default() };
        let ours = core.open(SocketType::Pub, options).unwrap();
        let joining = join::<SubSocket>(&runtime, &mut core, ours, address, ours_binds);
        let mut theirs = finish(&runtime, &mut core, joining);
        let subscribing = runtime.spawn(async move {
            theirs.subscribe("a").await?;
            Ok(theirs)
        });
        let mut theirs = finish(&runtime, &mut core, subscribing);
        until(&mut core, |core| core.num_subscribers(ours, b"a").unwrap() == 1);
        let taking = runtime.spawn(async move { take(&mut theirs, 1000).await });
        let published = |index: u32, topic: &[u8]| vec![topic.to_vec(), index.to_be_bytes().into()];
        for index in 0..1000 {
            send_all(&mut core, ours, &[published(index, b"other"), published(index, b"about")]);
        }
        let expected: Vec<Parts> = (0..1000).map(|index| published(index, b"about")).collect();
        assert!(finish(&runtime, &mut core, taking) == expected);
        runtime.shutdown_background();
    });
}

#[test]
fn their_pub_reaches_our_sub() {
    everywhere("sub", |address, ours_binds| {
        let (runtime, mut core) = (runtime(), Core::new().unwrap());
        // Theirs looks for a runtime when it is made, and when it goes.
        let _within = runtime.enter();
        let ours = open(&mut core, SocketType::Sub);
        core.change_topic(ours, true, b"a").unwrap();
        let joining = join::<PubSocket>(&runtime, &mut core, ours, address, ours_binds);
        let mut theirs = finish(&runtime, &mut core, joining);
        // Theirs tells nobody who has subscribed: it goes on until we have enough.
        let (enough, mut is_enough) = tokio::sync::oneshot::channel::<()>();
        let giving = runtime.spawn(async move {
            while is_enough.try_recv().is_err() {
                for topic in ["other", "about"] {
                    theirs.send(theirs_of(vec![topic.into(), b"x".to_vec()])).await?;
                }
                tokio::task::yield_now().await;
            }
            Ok(theirs)
        });
        for parts in recv_all(&mut core, ours, 100) {
            assert_eq!(parts, [b"about".to_vec(), b"x".to_vec()]);
        }
        enough.send(()).unwrap();
        drop(finish(&runtime, &mut core, giving));
    });
}

#[test]
fn our_req_is_answered_by_their_rep() {
    everywhere("req", |address, ours_binds| {
        let (runtime, mut core) = (runtime(), Core::new().unwrap());
        let ours = open(&mut core, SocketType::Req);
        let joining = join::<RepSocket>(&runtime, &mut core, ours, address, ours_binds);
        let mut theirs = finish(&runtime, &mut core, joining);
        let echoing = runtime.spawn(async move {
            for _ in 0..20 {
                let message = theirs.recv().await?;
                theirs.send(message).await?;
            }
            Ok(theirs)
        });
        for message in messages().into_iter().rev().take(20) {
            send_all(&mut core, ours, std::slice::from_ref(&message));
            assert!(recv_all(&mut core, ours, 1) == [message]);
        }
        drop(finish(&runtime, &mut core, echoing));
        runtime.shutdown_background();
    });
}

#[test]
fn their_req_is_answered_by_our_rep() {
    everywhere("rep", |address, ours_binds| {
        let (runtime, mut core) = (runtime(), Core::new().unwrap());
        let ours = open(&mut core, SocketType::Rep);
        let joining = join::<ReqSocket>(&runtime, &mut core, ours, address, ours_binds);
        let mut theirs = finish(&runtime, &mut core, joining);
        until(&mut core, |core| core.statistics(ours).num_peers == 1);
        let asking = runtime.spawn(async move {
            let mut replies = Vec::new();
            for parts in messages().into_iter().rev().take(20) {
                theirs.send(theirs_of(parts)).await?;
                replies.append(&mut take(&mut theirs, 1).await?);
            }
            Ok(replies)
        });
        let asked: Vec<Parts> = messages().into_iter().rev().take(20).collect();
        for message in &asked {
            assert!(recv_all(&mut core, ours, 1) == [message.clone()]);
            send_all(&mut core, ours, std::slice::from_ref(message));
        }
        assert!(finish(&runtime, &mut core, asking) == asked);
        runtime.shutdown_background();
    });
}
