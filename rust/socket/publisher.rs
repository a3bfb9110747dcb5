//! PUB and XPUB: who subscribed to what.

use std::collections::VecDeque;

use super::{Inserted, LinkKey, Removed, SocketOptions, Subscriptions};
use crate::link::{Buffer, Marks, Message};
use crate::zmtp::{Error, SocketType};

/// Bytes of a topic at most, and of a message's first part that are looked at.
pub const MAX_TOPIC_BYTES: usize = 255;

/// The subscriptions of a publisher's peers.
pub(super) struct Publisher<B> {
    table: Subscriptions<LinkKey>,
    /// Changes that an XPUB's owner has not taken yet.
    notices: VecDeque<Message<B>>,
    marks: Marks,
    max_topics: usize,
    gives_notice: bool,
    is_verbose: bool,
    /// Peers have changes that wait until notices were taken.
    pub(super) is_held_up: bool,
}

/// What a message from a subscriber is.
pub(super) enum Received<B> {
    /// A change of its subscriptions, done.
    Applied,
    /// It waits until notices were taken.
    HeldUp(Message<B>),
    /// A message for the owner of an XPUB.
    Message(Message<B>),
}

impl<B: Buffer> Publisher<B> {
    pub(super) fn new(kind: SocketType, options: &SocketOptions) -> Self {
        Self {
            table: Subscriptions::new(),
            notices: VecDeque::new(),
            marks: options.marks(),
            max_topics: options.max_subscriptions,
            gives_notice: kind == SocketType::XPub,
            is_verbose: options.xpub_verbose,
            is_held_up: false,
        }
    }

    /// Find whom a message goes to.
    #[inline]
    pub(super) fn find(&self, topic: &[u8], found: &mut Vec<LinkKey>) {
        self.table.matches(topic, found);
    }

    pub(super) fn num_subscriptions(&self) -> usize {
        self.table.len()
    }

    /// Act upon a message of `link`.
    ///
    /// # Errors
    ///
    /// A topic that is too long, or one too many.
    pub(super) fn receive(
        &mut self,
        link: LinkKey,
        message: Message<B>,
    ) -> Result<Received<B>, Error> {
        let Some((subscribe, topic)) = message.as_subscription() else {
            return Ok(Received::Message(message));
        };
        if self.gives_notice && !self.marks.admit(self.notices.len(), 0, 0) {
            self.is_held_up = true;
            return Ok(Received::HeldUp(message));
        }
        if topic.len() > MAX_TOPIC_BYTES {
            let (size, limit) = (topic.len() as u64, MAX_TOPIC_BYTES as u64);
            return Err(Error::TooLarge { size, limit, unit: "bytes" });
        }
        if self.apply(link, subscribe, topic)? && self.gives_notice {
            self.notices.push_back(message);
        }
        Ok(Received::Applied)
    }

    /// Change what `link` holds; tell whether the owner of an XPUB is to hear of it.
    fn apply(&mut self, link: LinkKey, subscribe: bool, topic: &[u8]) -> Result<bool, Error> {
        if !subscribe {
            return Ok(self.table.remove(topic, link) == Removed::LastHolder);
        }
        let inserted = self.table.insert(topic, link);
        if inserted != Inserted::Nothing && self.table.num_topics_of(link) > self.max_topics {
            self.table.remove(topic, link);
            let text = format!("more than {} subscriptions", self.max_topics);
            return Err(Error::refused(text));
        }
        Ok(inserted == Inserted::NewTopic || self.is_verbose)
    }

    /// Forget a peer; what nobody else wants is noticed.
    pub(super) fn remove(&mut self, link: LinkKey) {
        let (notices, gives_notice) = (&mut self.notices, self.gives_notice);
        self.table.remove_all(link, |topic| {
            if !gives_notice {
                return;
            }
            // NB: without memory the owner is not told, and keeps a topic too many.
            notices.extend(Message::subscription(false, topic));
        });
    }

    pub(super) fn take_notice(&mut self) -> Option<Message<B>> {
        self.notices.pop_front()
    }

    pub(super) fn num_notices(&self) -> usize {
        self.notices.len()
    }

    /// Whether so few notices are left that the changes that wait can be done.
    pub(super) fn may_resume(&self) -> bool {
        self.is_held_up && self.marks.is_low(self.notices.len(), 0)
    }
}
