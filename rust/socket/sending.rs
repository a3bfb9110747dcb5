//! Who gets a message.

use std::collections::VecDeque;

use super::pattern::Pattern;
use super::request::{REP_TURN, REQ_TURN};
use super::{LinkKey, Links, Peer, SendFault, Socket, State};
use crate::link::{Buffer, Message, Overflow, PART_OVERHEAD_BYTES};
use crate::zmtp::SocketType;

/// What becomes of an accepted message at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is queued for this link.
    Queued(LinkKey),
    /// It is queued for several links, which the socket lists.
    Fanned,
    /// It is a request, queued for this link or waiting for a peer; what came in reply to
    /// an earlier one is void.
    Requested(Option<LinkKey>),
    /// It waits in the socket until a peer comes.
    Waiting,
    /// It was dropped, as the policy says, and counted.
    Dropped,
}

/// Where a message can be queued.
enum Place {
    Link(LinkKey),
    Backlog,
}

/// A message that was not accepted, and why.
pub(super) type Refused<B> = (SendFault, Message<B>);

/// The pattern is looked at twice; it does not change in between.
pub(super) const NOT_OF_KIND: SendFault = SendFault::Misuse("not for this kind of socket");

impl<B: Buffer> Socket<B> {
    /// Accept a message as most sockets do as a rule; for all else there is [`Self::send`].
    #[inline]
    pub(crate) fn send_plain(
        &mut self,
        links: &mut Links<B>,
        message: Message<B>,
    ) -> Result<LinkKey, Message<B>> {
        let is_plain = self.is_plain_sender && self.state == State::Open;
        let (nbytes, num_parts) = (message.nbytes(), message.parts().len());
        if !is_plain || !self.backlog.is_empty() || self.check_size(nbytes, num_parts).is_some() {
            return Err(message);
        }
        let cost = nbytes + num_parts * PART_OVERHEAD_BYTES;
        match self.next_with_room(links, |peer| peer.link.admits(cost)) {
            Some(key) => {
                links[key].link.outbox.push(message, cost);
                Ok(key)
            }
            None => Err(message),
        }
    }

    /// Accept messages of one part as [`Self::send_plain`] would where there is one peer, as
    /// much as is worth a write. `None` if not even one is accepted.
    #[inline]
    pub(crate) fn send_batch_plain(
        &mut self,
        links: &mut Links<B>,
        parts: &mut VecDeque<B>,
        max_cost: usize,
    ) -> Option<LinkKey> {
        let is_plain = self.is_plain_sender && self.state == State::Open;
        let &[key] = &self.up[..] else {
            return None;
        };
        if !is_plain || !self.backlog.is_empty() {
            return None;
        }
        let link = &mut links[key].link;
        let mut total = 0;
        while total < max_cost
            && let Some(part) = parts.front()
        {
            let nbytes = part.as_ref().len();
            let cost = nbytes + PART_OVERHEAD_BYTES;
            if self.check_size(nbytes, 1).is_some() || !link.admits(cost) {
                break;
            }
            let part = parts.pop_front()?;
            link.outbox.push(Message::Single(part), cost);
            total += cost;
        }
        (total > 0).then_some(key)
    }

    /// Accept a message for a peer that has room.
    pub(crate) fn send(
        &mut self,
        links: &mut Links<B>,
        message: Message<B>,
    ) -> Result<Sent, Refused<B>> {
        if let Some(fault) = self.check(&message) {
            return Err((fault, message));
        }
        match &self.pattern {
            Pattern::Pipe => self.distribute(links, message),
            Pattern::Route(_) => self.send_routed(links, message, false),
            Pattern::Request(_) => self.request(links, message),
            Pattern::Reply(_) => self.reply(links, message),
            Pattern::Publish(_) => self.publish(links, message),
            Pattern::Subscribe(_) => self.send_upstream(links, message),
        }
    }

    /// The rule by which each message waits for another to be received, if there is one.
    pub(crate) fn turn_rule(&self) -> Option<&'static str> {
        match &self.pattern {
            Pattern::Request(_) if !self.options.req_relaxed => Some(REQ_TURN),
            Pattern::Reply(_) => Some(REP_TURN),
            _ => None,
        }
    }

    /// Accept a message that goes before all others that are not begun.
    pub(crate) fn send_urgent(
        &mut self,
        links: &mut Links<B>,
        message: Message<B>,
    ) -> Result<Sent, Refused<B>> {
        if let Some(fault) = self.check(&message) {
            return Err((fault, message));
        }
        match &self.pattern {
            Pattern::Pipe => self.distribute_urgent(links, message),
            Pattern::Route(_) => self.send_routed(links, message, true),
            _ => Err((SendFault::NeverUrgent(self.kind), message)),
        }
    }

    #[inline]
    fn check(&self, message: &Message<B>) -> Option<SendFault> {
        if self.state != State::Open {
            Some(SendFault::Closed)
        } else if !self.kind.sends() {
            Some(SendFault::Misuse(cannot_send(self.kind)))
        } else {
            self.check_size(message.nbytes(), message.parts().len())
        }
    }

    #[inline]
    pub(super) fn check_size(&self, nbytes: usize, num_parts: usize) -> Option<SendFault> {
        self.options.limits().check(nbytes as u64, num_parts).err().map(Into::into)
    }

    fn distribute(
        &mut self,
        links: &mut Links<B>,
        message: Message<B>,
    ) -> Result<Sent, Refused<B>> {
        let cost = message.cost();
        match self.place(links, cost) {
            Some(place) => Ok(self.put(links, place, message, cost)),
            None if self.may_drop_unflushed(links, &self.up, cost) => {
                Err((self.unflushed(), message))
            }
            None if self.overflow != Overflow::Wait => {
                self.counters.num_dropped += 1;
                Ok(Sent::Dropped)
            }
            None => Err((self.full(), message)),
        }
    }

    /// Find where a message can be queued, by the policy if there is no room.
    fn place(&mut self, links: &Links<B>, cost: usize) -> Option<Place> {
        if self.backlog.is_empty()
            && let Some(key) = self.next_with_room(links, |peer| peer.link.admits(cost))
        {
            return Some(Place::Link(key));
        }
        let drops_old = self.overflow == Overflow::DropOld;
        if self.up.is_empty() {
            let fits = self.backlog.admits(&self.marks, cost);
            return (!self.options.immediate && (fits || drops_old)).then_some(Place::Backlog);
        }
        if !drops_old || self.may_drop_unflushed(links, &self.up, cost) {
            return None;
        }
        if !self.backlog.is_empty() {
            return Some(Place::Backlog);
        }
        self.next_with_room(links, |_| true).map(Place::Link)
    }

    fn put(
        &mut self,
        links: &mut Links<B>,
        place: Place,
        message: Message<B>,
        cost: usize,
    ) -> Sent {
        match place {
            Place::Link(key) => {
                self.put_on(links, key, message, cost);
                Sent::Queued(key)
            }
            Place::Backlog => {
                let num_dropped = self.backlog.push_dropping_old(&self.marks, message, cost);
                self.counters.num_dropped += num_dropped;
                Sent::Waiting
            }
        }
    }

    #[inline]
    pub(super) fn put_on(
        &mut self,
        links: &mut Links<B>,
        key: LinkKey,
        message: Message<B>,
        cost: usize,
    ) {
        let outbox = &mut links[key].link.outbox;
        if self.overflow == Overflow::DropOld {
            let num_dropped = outbox.push_dropping_old(&self.marks, message, cost);
            self.counters.num_dropped += num_dropped;
        } else {
            outbox.push(message, cost);
        }
    }

    #[inline]
    pub(super) fn next_with_room(
        &mut self,
        links: &Links<B>,
        has_room: impl Fn(&Peer<B>) -> bool,
    ) -> Option<LinkKey> {
        for _ in 0..self.up.len() {
            if self.turn >= self.up.len() {
                self.turn = 0;
            }
            let key = self.up[self.turn];
            self.turn += 1;
            if has_room(&links[key]) {
                return Some(key);
            }
        }
        None
    }

    fn distribute_urgent(
        &mut self,
        links: &mut Links<B>,
        message: Message<B>,
    ) -> Result<Sent, Refused<B>> {
        let cost = message.cost();
        // What waits in the backlog goes first.
        if !self.backlog.starts_urgent()
            && let Some(key) = self.next_with_room(links, |peer| peer.link.admits_urgent(cost))
        {
            links[key].link.outbox.push_urgent(message, cost);
            return Ok(Sent::Queued(key));
        }
        let may_wait = self.up.is_empty() && !self.options.immediate;
        if may_wait && self.backlog.admits_urgent(&self.options.marks(), cost) {
            self.backlog.push_urgent(message, cost);
            return Ok(Sent::Waiting);
        }
        self.is_urgently_starved = true;
        Err((self.unflushed(), message))
    }

    /// A REQ's message: one peer gets it, and nobody else may answer.
    fn request(&mut self, links: &mut Links<B>, message: Message<B>) -> Result<Sent, Refused<B>> {
        let Pattern::Request(requester) = &self.pattern else {
            return Err((NOT_OF_KIND, message));
        };
        if let Err(fault) = requester.check_send() {
            return Err((fault, message));
        }
        let wrapped = requester.wrap(message)?;
        if let Some(fault) = self.check_size(wrapped.nbytes(), wrapped.parts().len()) {
            return Err((fault, requester.unwrap(wrapped)));
        }
        let cost = wrapped.cost();
        let place = self.place(links, cost);
        let Pattern::Request(requester) = &mut self.pattern else {
            return Err((NOT_OF_KIND, wrapped));
        };
        let Some(place) = place else {
            let message = requester.unwrap(wrapped);
            return Err((self.full(), message));
        };
        let link = match place {
            Place::Link(key) => Some(key),
            Place::Backlog => None,
        };
        requester.begin(link);
        self.put(links, place, wrapped, cost);
        Ok(Sent::Requested(link))
    }

    /// Whether a message would be dropped for want of room that writing could make.
    ///
    /// NB: a queue that holds one message only is meant to lose what is not written yet.
    pub(super) fn may_drop_unflushed(
        &self,
        links: &Links<B>,
        keys: &[LinkKey],
        cost: usize,
    ) -> bool {
        self.overflow != Overflow::Wait
            && self.marks.messages > 1
            && keys
                .iter()
                .map(|&key| &links[key])
                .any(|peer| !peer.link.admits(cost) && peer.is_dirty && !peer.link.is_stuck())
    }

    pub(super) fn full(&mut self) -> SendFault {
        self.is_starved = true;
        self.unflushed()
    }

    /// There may be room once what waits is written.
    pub(super) fn unflushed(&self) -> SendFault {
        SendFault::Full {
            hwm_messages: self.options.hwm_messages,
            hwm_bytes: self.options.hwm_bytes,
        }
    }
}

fn cannot_send(kind: SocketType) -> &'static str {
    match kind {
        SocketType::Sub => "a SUB socket cannot send; an XSUB can",
        _ => "a PULL socket cannot send",
    }
}
