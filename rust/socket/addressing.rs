//! Messages for one certain peer: a ROUTER names it, a REP answers it.

use super::pattern::Pattern;
use super::sending::{NOT_OF_KIND, Refused};
use super::{LinkKey, Links, SendFault, Sent, Socket};
use crate::link::{Buffer, Message, OutOfMemory, Overflow, PART_OVERHEAD_BYTES};

impl<B: Buffer> Socket<B> {
    /// A ROUTER's message: the first part names the peer.
    pub(super) fn send_routed(
        &mut self,
        links: &mut Links<B>,
        message: Message<B>,
        is_urgent: bool,
    ) -> Result<Sent, Refused<B>> {
        let Message::Multi(mut parts) = message else {
            let reason = "a ROUTER message starts with a routing id; use send_multipart";
            return Err((SendFault::Misuse(reason), message));
        };
        let Pattern::Route(routes) = &self.pattern else {
            return Err((NOT_OF_KIND, Message::Multi(parts)));
        };
        let Some(key) = routes.get(parts[0].as_ref()) else {
            return self.send_nowhere(parts);
        };
        let id = parts.remove(0);
        let message = match parts.len() {
            1 => Message::Single(parts.remove(0)),
            _ => Message::Multi(parts),
        };
        let sent = if is_urgent {
            self.put_urgent_on(links, key, message)
        } else {
            self.put_if_admitted(links, key, message)
        };
        sent.map_err(|(fault, message)| {
            let mut parts = message.into_parts();
            parts.insert(0, id);
            (fault, Message::Multi(parts))
        })
    }

    /// No peer has the id that the first part is.
    fn send_nowhere(&mut self, parts: Vec<B>) -> Result<Sent, Refused<B>> {
        if self.options.router_mandatory {
            let id = parts[0].as_ref().to_vec();
            return Err((SendFault::NoRoute(id), Message::Multi(parts)));
        }
        self.counters.num_dropped += 1;
        Ok(Sent::Dropped)
    }

    /// Queue a message for one certain link, as its marks and the policy allow.
    fn put_if_admitted(
        &mut self,
        links: &mut Links<B>,
        key: LinkKey,
        message: Message<B>,
    ) -> Result<Sent, Refused<B>> {
        let cost = message.cost();
        if self.may_drop_unflushed(links, &[key], cost) {
            return Err((self.unflushed(), message));
        }
        if links[key].link.admits(cost) || self.overflow == Overflow::DropOld {
            self.put_on(links, key, message, cost);
            return Ok(Sent::Queued(key));
        }
        if self.overflow == Overflow::DropNew {
            self.counters.num_dropped += 1;
            return Ok(Sent::Dropped);
        }
        links[key].is_wanted = true;
        Err((self.full(), message))
    }

    fn put_urgent_on(
        &mut self,
        links: &mut Links<B>,
        key: LinkKey,
        message: Message<B>,
    ) -> Result<Sent, Refused<B>> {
        let cost = message.cost();
        if links[key].link.admits_urgent(cost) {
            links[key].link.outbox.push_urgent(message, cost);
            return Ok(Sent::Queued(key));
        }
        links[key].is_urgently_wanted = true;
        self.is_urgently_starved = true;
        Err((self.unflushed(), message))
    }

    /// A REP's message: it goes to who asked.
    pub(super) fn reply(
        &mut self,
        links: &mut Links<B>,
        message: Message<B>,
    ) -> Result<Sent, Refused<B>> {
        let Pattern::Reply(replier) = &mut self.pattern else {
            return Err((NOT_OF_KIND, message));
        };
        let key = match replier.asker() {
            Ok(key) => key,
            Err(fault) => return Err((fault, message)),
        };
        let (envelope_nbytes, num_envelope) = replier.envelope_size();
        let nbytes = message.nbytes() + envelope_nbytes;
        let num_parts = message.parts().len() + num_envelope;
        let cost = nbytes + num_parts * PART_OVERHEAD_BYTES;
        if let Some(fault) = self.check_size(nbytes, num_parts) {
            return Err((fault, message));
        }
        let Pattern::Reply(replier) = &mut self.pattern else {
            return Err((NOT_OF_KIND, message));
        };
        if links[key].link.admits(cost) {
            let reply = replier.finish(message);
            links[key].link.outbox.push(reply, cost);
            return Ok(Sent::Queued(key));
        }
        links[key].is_wanted = true;
        Err((self.full(), message))
    }
}

/// A ROUTER's message as its owner gives and gets it: the routing id first.
pub(super) fn addressed<B: Buffer>(
    id: &[u8],
    message: Message<B>,
) -> Result<Message<B>, OutOfMemory> {
    let mut parts = vec![B::copy_from(id)?];
    parts.extend(message.into_parts());
    Ok(Message::Multi(parts))
}
