//! The turns of REQ and REP, and the envelope between them (docs/wire.md, "Envelopes";
//! RFC 28/REQREP).

use super::LinkKey;
use super::fault::{RecvFault, SendFault};
use super::sending::Refused;
use crate::link::{Buffer, Message};

pub(super) const REQ_TURN: &str = "a REQ sends and receives in turn";
pub(super) const REP_TURN: &str = "a REP receives and sends in turn";

/// Where a REQ stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Turn {
    /// The next request may be sent.
    Send,
    /// The request waits in the socket, for want of a peer.
    Backlog,
    /// This link was given the request.
    Awaiting(LinkKey),
    /// The reply came and was not taken yet.
    Answered,
    /// The peer of this endpoint is gone, and the reply with it.
    Lost(String),
}

/// A REQ: one request, one reply.
#[derive(Debug)]
pub(super) struct Requester {
    turn: Turn,
    /// Of the request under way, where requests are numbered.
    id: Option<u32>,
    is_relaxed: bool,
}

impl Requester {
    pub(super) fn new(is_correlated: bool, is_relaxed: bool) -> Self {
        Self { turn: Turn::Send, id: is_correlated.then_some(0), is_relaxed }
    }

    /// Whether a request may be sent in this turn.
    pub(super) fn check_send(&self) -> Result<(), SendFault> {
        let may_send = self.is_relaxed || self.turn == Turn::Send;
        if may_send { Ok(()) } else { Err(SendFault::Misuse(REQ_TURN)) }
    }

    pub(super) fn may_send(&self) -> bool {
        self.check_send().is_ok()
    }

    /// Put the envelope of the next request before a message.
    pub(super) fn wrap<B: Buffer>(&self, message: Message<B>) -> Result<Message<B>, Refused<B>> {
        let number = self.id.map(|id| B::copy_from(&id.wrapping_add(1).to_be_bytes()));
        let (number, delimiter) = match (number.transpose(), B::copy_from(b"")) {
            (Ok(number), Ok(delimiter)) => (number, delimiter),
            (Err(fault), _) | (_, Err(fault)) => return Err((fault.into(), message)),
        };
        let envelope = number.into_iter().chain([delimiter]);
        Ok(Message::Multi(envelope.chain(message.into_parts()).collect()))
    }

    /// Take the envelope off a request that was not accepted.
    pub(super) fn unwrap<B: Buffer>(&self, message: Message<B>) -> Message<B> {
        let mut parts = message.into_parts();
        parts.drain(..self.num_envelope_parts());
        match parts.len() {
            1 => Message::Single(parts.remove(0)),
            _ => Message::Multi(parts),
        }
    }

    fn num_envelope_parts(&self) -> usize {
        1 + usize::from(self.id.is_some())
    }

    /// The request was accepted, for `link` or for whoever comes.
    pub(super) fn begin(&mut self, link: Option<LinkKey>) {
        self.id = self.id.map(|id| id.wrapping_add(1));
        self.turn = link.map_or(Turn::Backlog, Turn::Awaiting);
    }

    /// The request that waited, if one did, is given to `link`.
    pub(super) fn assign(&mut self, link: LinkKey) {
        if self.turn == Turn::Backlog {
            self.turn = Turn::Awaiting(link);
        }
    }

    /// `link` had not been sent the request when it was lost: it waits again.
    pub(super) fn take_back(&mut self, link: LinkKey) {
        if self.turn == Turn::Awaiting(link) {
            self.turn = Turn::Backlog;
        }
    }

    /// `link` is gone for good, with all that it might have sent.
    pub(super) fn link_ended(&mut self, link: LinkKey, endpoint: &str) {
        if self.turn == Turn::Awaiting(link) {
            self.turn = Turn::Lost(endpoint.into());
        }
    }

    /// Take the reply's body out of a message of `link`; `None` for any other message.
    pub(super) fn accept<B: Buffer>(
        &mut self,
        link: LinkKey,
        message: Message<B>,
    ) -> Option<Message<B>> {
        if self.turn != Turn::Awaiting(link) {
            return None;
        }
        let mut parts = message.into_parts();
        let num_envelope = self.num_envelope_parts();
        if parts.len() <= num_envelope || !parts[num_envelope - 1].as_ref().is_empty() {
            return None;
        }
        if self.id.is_some_and(|id| parts[0].as_ref() != id.to_be_bytes()) {
            return None;
        }
        parts.drain(..num_envelope);
        let body = Message::from_parts(parts)?;
        self.turn = Turn::Answered;
        Some(body)
    }

    /// Whether there is something to wait for; a lost peer is told of once.
    pub(super) fn check_recv(&mut self) -> Result<(), RecvFault> {
        match std::mem::replace(&mut self.turn, Turn::Send) {
            Turn::Send => Err(RecvFault::Misuse(REQ_TURN)),
            Turn::Lost(endpoint) => Err(RecvFault::PeerLost(endpoint)),
            other => {
                self.turn = other;
                Ok(())
            }
        }
    }

    /// Whether there is no request that a reply could come to.
    pub(super) fn is_idle(&self) -> bool {
        self.turn == Turn::Send
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(self.turn, Turn::Lost(_))
    }

    /// The reply was taken.
    pub(super) fn finish(&mut self) {
        self.turn = Turn::Send;
    }
}

/// A REP: the request under way, and who asked.
#[derive(Debug)]
pub(super) struct Replier<B> {
    current: Option<(LinkKey, Vec<B>)>,
    /// The endpoint of who asked, and is gone.
    lost: Option<String>,
}

impl<B: Buffer> Replier<B> {
    pub(super) fn new() -> Self {
        Self { current: None, lost: None }
    }

    /// Parts of a request up to its delimiter; `None` if nothing is behind it.
    pub(super) fn num_envelope_parts(message: &Message<B>) -> Option<usize> {
        let parts = message.parts();
        let at = parts.iter().position(|part| part.as_ref().is_empty())?;
        (at + 1 < parts.len()).then_some(at + 1)
    }

    pub(super) fn owes_reply(&self) -> bool {
        self.current.is_some() || self.lost.is_some()
    }

    pub(super) fn check_recv(&self) -> Result<(), RecvFault> {
        if self.owes_reply() { Err(RecvFault::Misuse(REP_TURN)) } else { Ok(()) }
    }

    /// Take a request that has an envelope; give its body.
    pub(super) fn begin(&mut self, link: LinkKey, message: Message<B>) -> Option<Message<B>> {
        let num_envelope = Self::num_envelope_parts(&message)?;
        let mut envelope = message.into_parts();
        let body = envelope.split_off(num_envelope);
        self.current = Some((link, envelope));
        Message::from_parts(body)
    }

    /// Who asked, and is there.
    pub(super) fn current(&self) -> Option<LinkKey> {
        self.current.as_ref().map(|(link, _)| *link)
    }

    /// Who is to get the reply.
    pub(super) fn asker(&mut self) -> Result<LinkKey, SendFault> {
        match (&self.current, self.lost.take()) {
            (Some((link, _)), _) => Ok(*link),
            (None, Some(endpoint)) => Err(SendFault::PeerLost(endpoint)),
            (None, None) => Err(SendFault::Misuse(REP_TURN)),
        }
    }

    /// Bytes and parts that the envelope adds to a reply.
    pub(super) fn envelope_size(&self) -> (usize, usize) {
        let envelope = self.current.as_ref().map_or(&[][..], |(_, envelope)| envelope);
        (envelope.iter().map(|part| part.as_ref().len()).sum(), envelope.len())
    }

    /// End the turn: the reply as it goes to who asked.
    pub(super) fn finish(&mut self, reply: Message<B>) -> Message<B> {
        match self.current.take() {
            Some((_, mut parts)) => {
                parts.extend(reply.into_parts());
                Message::Multi(parts)
            }
            None => reply,
        }
    }

    /// The reply as its owner gave it.
    pub(super) fn unwrap(message: Message<B>) -> Option<Message<B>> {
        let num_envelope = Self::num_envelope_parts(&message)?;
        Message::from_parts(message.into_parts().split_off(num_envelope))
    }

    /// `link` can be sent nothing any more.
    pub(super) fn link_lost(&mut self, link: LinkKey, endpoint: &str) {
        if self.current.as_ref().is_some_and(|(asker, _)| *asker == link) {
            self.current = None;
            self.lost = Some(endpoint.into());
        }
    }
}
