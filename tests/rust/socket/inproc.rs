//! Sockets of one context, linked by name.

use busduct::link::Message;
use busduct::socket::RecvFault;
use busduct::zmtp::SocketType::{Pull, Push};

use crate::drive::{core, message, open, open_with, settle};

const AT: &str = "inproc://a";

#[test]
fn message_over_the_receivers_limit_counts_as_sent() {
    let mut context = core();
    let pull = open_with(&mut context, Pull, |options| options.max_message_bytes = 10);
    let push = open(&mut context, Push);
    context.bind(pull, AT, false).unwrap();
    context.connect(push, AT).unwrap();
    context.try_send(push, message([0; 11])).unwrap();
    settle(&mut context);
    assert_eq!(context.statistics(push).counters.num_messages_sent, 1);
    assert_eq!(context.statistics(pull).counters.num_messages_received, 0);
    assert_eq!(context.faults(pull).len(), 1);
}

#[test]
fn parts_that_wait_to_be_moved_are_not_taken_for_one() {
    let mut context = core();
    let (pull, push) = (open(&mut context, Pull), open(&mut context, Push));
    context.bind(pull, AT, false).unwrap();
    context.connect(push, AT).unwrap();
    let message = Message::Multi(vec![b"a".to_vec(), b"b".to_vec()]);
    context.try_send(push, message.clone()).unwrap();
    let refused = Err(RecvFault::Multipart { num_parts: 2 });
    assert_eq!(context.try_recv_single(pull), refused);
    assert_eq!(context.try_recv(pull), Ok(Some(message)));
}
