//! Messages for several peers: those that subscribed, or all; and the subscriptions.

use super::pattern::Pattern;
use super::publisher::MAX_TOPIC_BYTES;
use super::sending::{NOT_OF_KIND, Refused};
use super::{LinkKey, Links, Sent, Socket, State, TopicFault};
use crate::link::{Buffer, Message, OutOfMemory, Overflow};

impl<B: Buffer> Socket<B> {
    /// A PUB's message: every peer gets it that subscribed to a prefix of its first part.
    pub(super) fn publish(
        &mut self,
        links: &mut Links<B>,
        message: Message<B>,
    ) -> Result<Sent, Refused<B>> {
        let Pattern::Publish(publisher) = &self.pattern else {
            return Err((NOT_OF_KIND, message));
        };
        publisher.find(message.parts()[0].as_ref(), &mut self.fanned);
        self.fan_out(links, message)
    }

    /// An XSUB's message: every publisher gets it.
    pub(super) fn send_upstream(
        &mut self,
        links: &mut Links<B>,
        message: Message<B>,
    ) -> Result<Sent, Refused<B>> {
        self.fanned.clone_from(&self.up);
        self.fan_out(links, message)
    }

    /// Queue a message for all links that were found.
    fn fan_out(&mut self, links: &mut Links<B>, message: Message<B>) -> Result<Sent, Refused<B>> {
        let mut found = self.take_fanned();
        let cost = message.cost();
        if self.may_drop_unflushed(links, &found, cost) {
            self.fanned = found;
            return Err((self.unflushed(), message));
        }
        let refused = match self.overflow {
            Overflow::Wait => !all_admit(links, &found, cost),
            Overflow::DropNew => {
                let num_found = found.len();
                found.retain(|&key| links[key].link.admits(cost));
                self.counters.num_dropped += (num_found - found.len()) as u64;
                false
            }
            Overflow::DropOld => false,
        };
        if refused {
            found.clear();
            self.fanned = found;
            return Err((self.full(), message));
        }
        if let Some((&last, others)) = found.split_last() {
            for &key in others {
                match message.share() {
                    Ok(copy) => self.put_on(links, key, copy, cost),
                    Err(OutOfMemory) => self.counters.num_dropped += 1,
                }
            }
            self.put_on(links, last, message, cost);
        }
        self.fanned = found;
        Ok(Sent::Fanned)
    }

    /// The links that the last message was queued for.
    pub(crate) fn take_fanned(&mut self) -> Vec<LinkKey> {
        std::mem::take(&mut self.fanned)
    }

    /// Give the list back, for its memory.
    pub(crate) fn give_fanned(&mut self, list: Vec<LinkKey>) {
        self.fanned = list;
    }

    /// Note what the owner wants, or wants no more; tell whether the peers are to be told.
    pub(crate) fn change_topic(
        &mut self,
        subscribe: bool,
        topic: &[u8],
    ) -> Result<bool, TopicFault> {
        if self.state != State::Open {
            return Err(TopicFault::Closed);
        }
        let Pattern::Subscribe(topics) = &mut self.pattern else {
            return Err(TopicFault::NotSubscriber(self.kind));
        };
        let nbytes = topic.len();
        if nbytes > MAX_TOPIC_BYTES {
            return Err(TopicFault::TooLong { nbytes });
        }
        if subscribe {
            return Ok(topics.add(topic));
        }
        topics.remove(topic).ok_or(TopicFault::NotSubscribed)
    }

    /// Peers that a message starting with `topic` would go to.
    pub(crate) fn num_subscribers(&mut self, topic: &[u8]) -> Result<usize, TopicFault> {
        if self.state != State::Open {
            return Err(TopicFault::Closed);
        }
        let Pattern::Publish(publisher) = &self.pattern else {
            return Err(TopicFault::NotPublisher(self.kind));
        };
        publisher.find(topic, &mut self.fanned);
        Ok(self.fanned.len())
    }
}

/// Whether all have room; those that have not are noted as waited for.
fn all_admit<B: Buffer>(links: &mut Links<B>, keys: &[LinkKey], cost: usize) -> bool {
    let mut all = true;
    for &key in keys {
        let peer = &mut links[key];
        if !peer.link.admits(cost) {
            peer.is_wanted = true;
            all = false;
        }
    }
    all
}
