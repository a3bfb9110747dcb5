//! Links between two contexts that have moved into shared memory.

use std::time::Duration;

use busduct::zmtp::SocketType::{Pull, Push};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::drive::{Core, Place, core, message, open, recv, settle, until};

/// A PULL and a PUSH of two contexts whose link has moved.
fn moved() -> (Core, Core, [busduct::socket::SocketKey; 2]) {
    let (place, mut receiver, mut sender) = (Place::new(), core(), core());
    let (pull, push) = (open(&mut receiver, Pull), open(&mut sender, Push));
    let endpoint = receiver.bind(pull, &place.endpoint("e"), false).unwrap();
    sender.connect(push, &endpoint).unwrap();
    until(&mut receiver, |receiver| {
        sender.run_once(Some(Duration::ZERO)).unwrap();
        receiver.shm_statistics().num_shm_peers == 1 && sender.shm_statistics().num_shm_peers == 1
    });
    (receiver, sender, [pull, push])
}

fn is_rung(context: &Core) -> bool {
    let fd = context.fd().unwrap();
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 10, tv_nsec: 0 })).unwrap() > 0
}

#[test]
fn receiver_that_stopped_where_the_ring_was_empty_is_rung_for_what_follows() {
    let (mut receiver, mut sender, [pull, push]) = moved();
    // As much as is read at once, and one byte less and more.
    for nbytes in [32_767, 32_768 - 64, 32_768, 32_769] {
        for num_messages in 1..10 {
            for _ in 0..num_messages {
                sender.try_send(push, message(vec![7; nbytes])).unwrap();
            }
            sender.flush();
            for _ in 0..num_messages {
                assert_eq!(recv(&mut receiver, pull).len(), nbytes);
            }
            while receiver.try_recv(pull).unwrap().is_some() {}
            receiver.run_once(Some(Duration::ZERO)).unwrap();
            assert_eq!(receiver.try_recv(pull), Ok(None));
            sender.try_send(push, message("next")).unwrap();
            sender.flush();
            assert!(is_rung(&receiver), "nobody rang after {num_messages} x {nbytes}");
            assert_eq!(recv(&mut receiver, pull), b"next");
        }
    }
}

#[test]
fn peer_begins_while_its_sender_goes_on() {
    let (mut receiver, mut sender, [pull, push]) = moved();
    let mut num_sent = 0;
    while receiver.try_recv(pull).unwrap().is_none() {
        assert!(num_sent < 100, "nothing was written before the end of the turn");
        sender.try_send(push, message("token")).unwrap();
        num_sent += 1;
        settle(&mut receiver);
    }
    assert!(num_sent > 1, "each message was written by itself");
}
