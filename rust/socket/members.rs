//! Peers come and go.

use std::collections::VecDeque;

use super::addressing::addressed;
use super::pattern::Pattern;
use super::request::Replier;
use super::{LinkKey, Links, Socket};
use crate::link::{Buffer, Message, OutOfMemory, Overflow};
use crate::shm::Store;
use crate::zmtp::SocketType;

impl<B: Buffer> Socket<B> {
    /// Count a connection that came in; `false` if there are too many.
    pub(crate) fn admits_peer(&mut self) -> bool {
        // Links that ended and still hold messages count: a peer that comes and goes must
        // not pile up inboxes.
        let admits = self.links.len() < self.options.max_peers + self.connectors.len();
        let counter =
            if admits { &mut self.counters.num_accepted } else { &mut self.counters.num_refused };
        *counter += 1;
        admits
    }

    /// The link that stands in the way of a peer with routing id `id`, and why.
    pub(crate) fn holder(&self, id: &[u8]) -> Option<(LinkKey, &'static str)> {
        match &self.pattern {
            Pattern::Route(routes) if !id.is_empty() => {
                routes.get(id).map(|key| (key, "routing id is in use"))
            }
            Pattern::Pipe if self.kind == SocketType::Pair => {
                self.up.first().map(|&key| (key, "a PAIR has one peer"))
            }
            _ => None,
        }
    }

    /// Let a link take part; nothing stands in its way.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`]: it takes part, and was not told of a topic.
    pub(crate) fn add_up(&mut self, links: &mut Links<B>, key: LinkKey) -> Result<(), OutOfMemory> {
        self.up.push(key);
        self.counters.num_connected += 1;
        links[key].is_up = true;
        if links[key].link.is_upgraded() {
            self.rings.push(key);
        }
        let link = &mut links[key].link;
        match &mut self.pattern {
            Pattern::Route(routes) => {
                if link.peer_routing_id().is_empty() {
                    link.set_peer_routing_id(routes.generate());
                }
                routes.insert(link.peer_routing_id(), key);
            }
            Pattern::Subscribe(topics) => {
                for topic in topics.iter() {
                    link.push_subscription(true, topic)?;
                }
            }
            _ => {}
        }
        if self.options.probe_router {
            link.push_probe();
        }
        Ok(())
    }

    /// Take a link out: what it had not sent, or what was not taken from its ring, goes to the next peer or, where it was meant
    /// for this one, is known to be lost.
    pub(crate) fn remove_up(&mut self, links: &mut Links<B>, key: LinkKey, store: &Store) {
        let Some(at) = self.up.iter().position(|&other| other == key) else {
            return;
        };
        self.up.remove(at);
        if at < self.turn {
            self.turn -= 1;
        }
        self.counters.num_disconnected += 1;
        self.rings.retain(|&other| other != key);
        let peer = &mut links[key];
        peer.is_up = false;
        let unread = peer.link.take_unread(store);
        self.counters.num_messages_sent -= unread.len() as u64;
        self.counters.num_bytes_sent -= unread.iter().map(|m| m.nbytes() as u64).sum::<u64>();
        peer.link.outbox.take_back(unread);
        let has_unsent = !peer.link.outbox.is_empty();
        match &mut self.pattern {
            Pattern::Route(routes) => routes.remove(peer.link.peer_routing_id(), key),
            Pattern::Publish(publisher) => publisher.remove(key),
            Pattern::Reply(replier) => replier.link_lost(key, &peer.endpoint),
            Pattern::Request(requester) if has_unsent => requester.take_back(key),
            _ => {}
        }
        if self.is_shared() {
            self.backlog.absorb(&mut peer.link.outbox);
            self.trim_backlog();
        } else {
            let id = peer.link.peer_routing_id().to_vec();
            let unsent = peer.link.outbox.take_all();
            self.lose_each(&id, unsent);
        }
    }

    /// Whether a message may go to one peer as well as to another.
    fn is_shared(&self) -> bool {
        matches!(self.pattern, Pattern::Pipe | Pattern::Request(_))
    }

    /// Drop the oldest, where that is the policy.
    fn trim_backlog(&mut self) {
        if self.overflow != Overflow::DropOld {
            return;
        }
        let marks = self.marks;
        let backlog = &mut self.backlog;
        while backlog.len() > 1 && !backlog.is_within(&marks) && backlog.drop_oldest() {
            self.counters.num_dropped += 1;
        }
    }

    /// A link that was taken out has ended, and all that it sent was read.
    pub(crate) fn link_ended(&mut self, key: LinkKey, endpoint: &str) {
        if let Pattern::Request(requester) = &mut self.pattern {
            requester.link_ended(key, endpoint);
        }
    }

    /// Keep what a link counted that is about to be removed.
    pub(crate) fn forget_link(&mut self, links: &mut Links<B>, key: LinkKey) {
        self.set_ready(links, key, false);
        let link = &links[key].link;
        let (num_messages, num_bytes) = link.inbox.received();
        self.counters.num_messages_received += num_messages;
        self.counters.num_bytes_received += num_bytes;
        self.counters.num_dropped += link.inbox.num_dropped();
        self.links.retain(|&other| other != key);
    }

    /// Give up all that is still unsent.
    pub(crate) fn lose_all(&mut self, links: &mut Links<B>) {
        let backlog = self.backlog.take_all();
        backlog.into_iter().for_each(|message| self.lose_one(&[], message));
        for key in self.up.clone() {
            let link = &mut links[key].link;
            let unsent = link.outbox.take_all();
            let id = link.peer_routing_id().to_vec();
            self.lose_each(&id, unsent);
        }
    }

    fn lose_each(&mut self, id: &[u8], messages: VecDeque<Message<B>>) {
        messages.into_iter().for_each(|message| self.lose_one(id, message));
    }

    /// Count a message as lost; keep it, as its owner gave it, where it had one peer.
    fn lose_one(&mut self, id: &[u8], message: Message<B>) {
        let kept = match &self.pattern {
            Pattern::Pipe => Some(message),
            Pattern::Route(_) => addressed(id, message).ok(),
            Pattern::Request(requester) => Some(requester.unwrap(message)),
            Pattern::Reply(_) => Replier::unwrap(message),
            Pattern::Publish(_) | Pattern::Subscribe(_) => None,
        };
        self.lose(kept);
    }

    /// Move what waits in the backlog to links with room, in order; return which.
    pub(crate) fn spill(&mut self, links: &mut Links<B>) -> Vec<LinkKey> {
        let mut touched = Vec::new();
        loop {
            let is_urgent = self.backlog.starts_urgent();
            let Some(message) = self.backlog.pop() else {
                break;
            };
            let cost = message.cost();
            let found = self.next_with_room(links, |peer| match is_urgent {
                true => peer.link.admits_urgent(cost),
                false => peer.link.admits(cost),
            });
            let Some(key) = found else {
                self.backlog.unpop(message, is_urgent);
                break;
            };
            // An earlier request that nobody waits for any more may go before the last.
            if let Pattern::Request(requester) = &mut self.pattern
                && self.backlog.is_empty()
            {
                requester.assign(key);
            }
            let outbox = &mut links[key].link.outbox;
            if is_urgent {
                outbox.push_urgent(message, cost);
            } else {
                outbox.push(message, cost);
            }
            if !touched.contains(&key) {
                touched.push(key);
            }
        }
        touched
    }

    /// Whether `key`, which wrote something, has made room for those who wait.
    pub(crate) fn makes_room(&self, links: &mut Links<B>, key: LinkKey) -> bool {
        if self.is_shared() {
            return self.is_starved && self.is_low(links)
                || self.is_urgently_starved && self.is_low_on_urgent(links);
        }
        let Some(peer) = links.get_mut(key) else {
            return false;
        };
        let is_relief = peer.is_wanted && peer.link.is_low();
        let is_urgent_relief = peer.is_urgently_wanted && peer.link.is_low_on_urgent();
        peer.is_wanted &= !is_relief;
        peer.is_urgently_wanted &= !is_urgent_relief;
        is_relief || is_urgent_relief
    }

    fn is_low(&self, links: &Links<B>) -> bool {
        if self.up.is_empty() {
            return self.backlog.is_low(&self.marks);
        }
        self.backlog.is_empty() && self.up.iter().any(|&key| links[key].link.is_low())
    }

    fn is_low_on_urgent(&self, links: &Links<B>) -> bool {
        if self.up.is_empty() {
            return self.backlog.is_low_on_urgent(&self.options.marks());
        }
        self.up.iter().any(|&key| links[key].link.is_low_on_urgent())
    }

    /// Note that somebody waits for room wherever there is none.
    pub(crate) fn want_room(&mut self, links: &mut Links<B>) {
        self.is_starved = true;
        for &key in &self.up {
            let peer = &mut links[key];
            peer.is_wanted |= !peer.link.admits(0);
        }
    }

    /// Whether a small message would be accepted, or refused for good, at once; but after
    /// one that was not, not before much of what is queued has gone.
    pub(crate) fn can_send(&self, links: &Links<B>) -> bool {
        if !self.kind.sends() {
            // It is refused at once.
            return true;
        }
        let has_room = |key: &LinkKey| !self.is_starved && links[*key].link.admits(0);
        let is_strict = self.overflow == Overflow::Wait && !self.fails_when_full();
        match &self.pattern {
            Pattern::Route(_) => true,
            Pattern::Reply(replier) => match replier.current() {
                Some(key) => !is_strict || links[key].link.admits(0),
                None => true,
            },
            Pattern::Request(requester) if !requester.may_send() => true,
            Pattern::Publish(_) | Pattern::Subscribe(_) => {
                !is_strict || self.up.iter().all(has_room)
            }
            Pattern::Pipe | Pattern::Request(_) if !is_strict => true,
            Pattern::Pipe | Pattern::Request(_) if self.up.is_empty() => {
                !self.options.immediate && self.backlog.admits(&self.marks, 0)
            }
            Pattern::Pipe | Pattern::Request(_) => {
                self.backlog.is_empty() && self.up.iter().any(has_room)
            }
        }
    }
}
