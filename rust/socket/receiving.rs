//! Whose message comes next, and which ones are for the owner at all.

use super::addressing::addressed;
use super::pattern::Pattern;
use super::publisher::Received;
use super::request::Replier;
use super::{LinkKey, Links, Peer, RecvFault, Socket, State};
use crate::link::{Buffer, Message};
use crate::zmtp::{Error, SocketType};

/// A message and the link that it came from, if it came from one.
pub(crate) type Delivery<B> = (Message<B>, Option<LinkKey>);

impl<B: Buffer> Socket<B> {
    /// Take the next message of a socket that gives them as they came; for all else, and
    /// when there is none, there is [`Self::recv`].
    #[inline]
    pub(crate) fn recv_plain(&mut self, links: &mut Links<B>) -> Option<(Message<B>, LinkKey)> {
        if !self.is_plain_receiver || self.state != State::Open {
            return None;
        }
        self.next(links)
    }

    /// As [`Self::recv_plain`], of messages of one part, several of the same peer; and how
    /// many bytes they have.
    #[inline]
    pub(crate) fn recv_batch_plain(
        &mut self,
        links: &mut Links<B>,
        max_n: usize,
        max_nbytes: usize,
        into: &mut Vec<B>,
    ) -> Option<(usize, LinkKey)> {
        if !self.is_plain_receiver || self.state != State::Open {
            return None;
        }
        let &key = self.ready.front()?;
        let inbox = &mut links[key].link.inbox;
        let (start, mut nbytes) = (into.len(), 0);
        while into.len() < max_n
            && nbytes < max_nbytes
            && let Some(part) = inbox.pop_single()
        {
            nbytes += part.as_ref().len();
            into.push(part);
        }
        if self.ready.len() > 1 {
            self.ready.rotate_left(1);
        }
        (into.len() > start).then_some((nbytes, key))
    }

    #[inline]
    fn next(&mut self, links: &mut Links<B>) -> Option<(Message<B>, LinkKey)> {
        let &key = self.ready.front()?;
        let message = links[key].link.inbox.pop()?;
        if self.ready.len() > 1 {
            self.ready.rotate_left(1);
        }
        Some((message, key))
    }

    /// Take the next message: each peer that has some gets its turn.
    pub(crate) fn recv(&mut self, links: &mut Links<B>) -> Result<Option<Delivery<B>>, RecvFault> {
        self.check_recv()?;
        if let Pattern::Publish(publisher) = &mut self.pattern
            && let Some(notice) = publisher.take_notice()
        {
            return Ok(Some((notice, None)));
        }
        let Some((message, key)) = self.next(links) else {
            return Ok(None);
        };
        let peer = &links[key];
        let message = match &mut self.pattern {
            Pattern::Route(_) => addressed(peer.link.peer_routing_id(), message)?,
            Pattern::Request(requester) => {
                requester.finish();
                message
            }
            // Only requests with an envelope were let in.
            Pattern::Reply(replier) => match replier.begin(key, message) {
                Some(body) => {
                    if !peer.is_up {
                        replier.link_lost(key, &peer.endpoint);
                    }
                    body
                }
                None => return Ok(None),
            },
            _ => message,
        };
        Ok(Some((message, Some(key))))
    }

    #[inline]
    fn check_recv(&mut self) -> Result<(), RecvFault> {
        match &mut self.pattern {
            Pattern::Request(requester) => requester.check_recv(),
            Pattern::Reply(replier) => replier.check_recv(),
            _ if !self.kind.receives() => Err(RecvFault::Misuse(cannot_receive(self.kind))),
            _ => Ok(()),
        }
    }

    /// Parts of the message that [`Self::recv`] would give; 0 if there is none.
    #[inline]
    pub(crate) fn num_next_parts(&self, links: &Links<B>) -> usize {
        if !self.is_plain_receiver && self.num_notices() > 0 {
            return 1;
        }
        let front = self.ready.front();
        let Some(message) = front.and_then(|&key| links[key].link.inbox.peek()) else {
            return 0;
        };
        let num_parts = message.parts().len();
        match &self.pattern {
            _ if self.is_plain_receiver => num_parts,
            Pattern::Route(_) => num_parts + 1,
            Pattern::Reply(_) => {
                num_parts - Replier::num_envelope_parts(message).unwrap_or_default()
            }
            _ => num_parts,
        }
    }

    fn num_notices(&self) -> usize {
        match &self.pattern {
            Pattern::Publish(publisher) => publisher.num_notices(),
            _ => 0,
        }
    }

    pub(crate) fn num_readable(&self, links: &Links<B>) -> usize {
        let queued = self.ready.iter().map(|&key| links[key].link.inbox.num_readable());
        queued.sum::<usize>() + self.num_notices()
    }

    /// Whether [`Self::recv`] would give a message, or tell why none can come.
    pub(crate) fn answers_recv(&self) -> bool {
        if !self.ready.is_empty() || self.is_out_of_turn() || !self.kind.receives() {
            return true;
        }
        match &self.pattern {
            Pattern::Request(requester) => requester.is_lost(),
            _ => self.num_notices() > 0,
        }
    }

    /// The links that have messages to take.
    pub(crate) fn ready(&self) -> Vec<LinkKey> {
        self.ready.iter().copied().collect()
    }

    /// Whether a message of a peer can be so wrong that it ends the link.
    pub(crate) fn judges_peers(&self) -> bool {
        matches!(self.pattern, Pattern::Reply(_) | Pattern::Publish(_))
    }

    /// Whether it is not the owner's turn to receive.
    fn is_out_of_turn(&self) -> bool {
        match &self.pattern {
            Pattern::Request(requester) => requester.is_idle(),
            Pattern::Reply(replier) => replier.owes_reply(),
            _ => false,
        }
    }

    /// Note whether `key` has messages to take.
    pub(crate) fn set_ready(&mut self, links: &mut Links<B>, key: LinkKey, is_ready: bool) {
        let peer = &mut links[key];
        if peer.is_ready == is_ready {
            return;
        }
        peer.is_ready = is_ready;
        if is_ready {
            self.ready.push_back(key);
        } else if self.ready.back() == Some(&key) {
            // The one that had its turn last, as a rule.
            self.ready.pop_back();
        } else {
            self.ready.retain(|&other| other != key);
        }
    }

    /// Judge what a link received since the last time: what is not for the owner goes.
    ///
    /// # Errors
    ///
    /// What the peer did wrong; nothing more of it is judged.
    #[inline]
    pub(crate) fn sift(&mut self, links: &mut Links<B>, key: LinkKey) -> Result<(), Error> {
        let link = &mut links[key].link;
        match &self.pattern {
            Pattern::Pipe | Pattern::Route(_) => link.inbox.keep_fresh(),
            Pattern::Subscribe(topics) if self.kind == SocketType::XSub || topics.matches(b"") => {
                link.inbox.keep_fresh();
            }
            _ if link.inbox.has_fresh() => return self.sift_each(links, key),
            _ => {}
        }
        Ok(())
    }

    fn sift_each(&mut self, links: &mut Links<B>, key: LinkKey) -> Result<(), Error> {
        let Peer { link, is_up, .. } = &mut links[key];
        let mut fresh = link.inbox.take_fresh();
        while let Some((message, at)) = fresh.pop_front() {
            let kept = match &mut self.pattern {
                Pattern::Pipe | Pattern::Route(_) => Some(message),
                Pattern::Subscribe(topics) => {
                    topics.matches(message.parts()[0].as_ref()).then_some(message)
                }
                Pattern::Request(requester) => requester.accept(key, message),
                Pattern::Reply(_) => match Replier::num_envelope_parts(&message) {
                    Some(_) => Some(message),
                    None => return Err(link.malformed("request without a delimiter")),
                },
                // NB: nobody would ever take back what a peer that is gone subscribes to.
                Pattern::Publish(_) if !*is_up && message.as_subscription().is_some() => None,
                Pattern::Publish(publisher) => match publisher.receive(key, message)? {
                    Received::Applied => None,
                    Received::Message(message) => {
                        (self.kind == SocketType::XPub).then_some(message)
                    }
                    Received::HeldUp(message) => {
                        fresh.push_front((message, at));
                        break;
                    }
                },
            };
            if let Some(message) = kept {
                link.inbox.keep((message, at));
            }
        }
        link.inbox.put_off(fresh);
        Ok(())
    }

    /// Whether an XPUB's peers have changes that can be done, for there is room to tell.
    pub(crate) fn may_resume_sifting(&self) -> bool {
        matches!(&self.pattern, Pattern::Publish(publisher) if publisher.may_resume())
    }

    /// Note that the changes that wait are to be done.
    pub(crate) fn resume_sifting(&mut self) {
        if let Pattern::Publish(publisher) = &mut self.pattern {
            publisher.is_held_up = false;
        }
    }
}

fn cannot_receive(kind: SocketType) -> &'static str {
    match kind {
        SocketType::Pub => "a PUB socket cannot receive; an XPUB can",
        _ => "a PUSH socket cannot receive",
    }
}
