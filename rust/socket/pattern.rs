//! What tells the types of sockets apart.

use super::SocketOptions;
use super::publisher::Publisher;
use super::request::{Replier, Requester};
use super::routes::Routes;
use super::topics::Topics;
use crate::link::Buffer;
use crate::zmtp::SocketType;

/// Whom a message goes to, and which messages are taken: with the state that this needs.
pub(super) enum Pattern<B> {
    /// PUSH, PULL, DEALER, PAIR: to each peer in turn.
    Pipe,
    /// ROUTER: to the peer that is named.
    Route(Routes),
    /// REQ: to each peer in turn, and back from it.
    Request(Requester),
    /// REP: to who asked.
    Reply(Replier<B>),
    /// PUB, XPUB: to all that subscribed.
    Publish(Box<Publisher<B>>),
    /// SUB, XSUB: to all; and only what was subscribed to is taken.
    Subscribe(Topics),
}

impl<B: Buffer> Pattern<B> {
    pub(super) fn new(kind: SocketType, options: &SocketOptions) -> Self {
        match kind {
            SocketType::Push | SocketType::Pull | SocketType::Dealer | SocketType::Pair => {
                Self::Pipe
            }
            SocketType::Router => Self::Route(Routes::default()),
            SocketType::Req => {
                Self::Request(Requester::new(options.req_correlate, options.req_relaxed))
            }
            SocketType::Rep => Self::Reply(Replier::new()),
            SocketType::Pub | SocketType::XPub => {
                Self::Publish(Box::new(Publisher::new(kind, options)))
            }
            SocketType::Sub | SocketType::XSub => Self::Subscribe(Topics::default()),
        }
    }
}
