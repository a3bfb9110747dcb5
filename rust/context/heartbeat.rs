//! PINGs to peers, and the end of links whose peers have fallen silent.

use std::time::Duration;

use super::{Context, Due};
use crate::link::{Buffer, Closed, Watch};
use crate::socket::LinkKey;

/// How often within a peer's ttl it is looked whether something came: the more often, the
/// more exactly its silence is measured.
const LOOKS_PER_TTL: u32 = 4;

impl<B: Buffer> Context<B> {
    /// Begin to ping a link that has come up, if its socket is to.
    pub(super) fn start_heartbeat(&mut self, key: LinkKey) {
        let peer = &mut self.links[key];
        let interval = self.sockets[peer.socket].options().heartbeat_interval;
        if let Some(interval) = interval.filter(|_| peer.link.is_live()) {
            let next = self.timers.insert(Self::after(interval), Due::Ping(key));
            peer.heartbeat.ping = Some(next);
        }
    }

    pub(super) fn stop_heartbeat(&mut self, key: LinkKey) {
        let heartbeat = &mut self.links[key].heartbeat;
        for timer in [&mut heartbeat.ping, &mut heartbeat.answer, &mut heartbeat.look] {
            self.timers.cancel(timer.take());
        }
    }

    /// Ask a peer for a sign of life. Its time to give one runs from the first PING since
    /// which none came.
    pub(super) fn ping(&mut self, key: LinkKey) {
        let Some(peer) = self.links.get_mut(key) else {
            return;
        };
        peer.heartbeat.ping = None;
        let options = self.sockets[peer.socket].options();
        let Some(interval) = options.heartbeat_interval.filter(|_| peer.link.is_live()) else {
            return;
        };
        peer.link.ping(options.heartbeat_ttl);
        if peer.link.take_heard(Watch::Answer) || peer.heartbeat.answer.is_none() {
            let bound = options.heartbeat_timeout.unwrap_or(interval);
            peer.link.forget_progress();
            self.timers.cancel(peer.heartbeat.answer.take());
            let timer = self.timers.insert(Self::after(bound), Due::Answer(key));
            peer.heartbeat.answer = Some(timer);
        }
        let next = self.timers.insert(Self::after(interval), Due::Ping(key));
        self.links[key].heartbeat.ping = Some(next);
        self.mark_dirty(key);
    }

    pub(super) fn answer_timed_out(&mut self, key: LinkKey) {
        let Some(peer) = self.links.get_mut(key) else {
            return;
        };
        peer.heartbeat.answer = None;
        // The next PING sets a new bound if this one was met.
        if !peer.link.is_live() || peer.link.has_heard(Watch::Answer) {
            return;
        }
        if peer.link.is_silent() {
            self.link_down(key, Closed::Unresponsive);
        }
    }

    /// The peer said in a PING that something comes from it within each `ttl`.
    pub(super) fn hold_to(&mut self, key: LinkKey, ttl: u16) {
        let peer = &mut self.links[key];
        if !peer.link.is_expected() {
            return;
        }
        self.timers.cancel(peer.heartbeat.look.take());
        peer.heartbeat.ttl = ttl;
        peer.heartbeat.num_silent = 0;
        if ttl > 0 {
            peer.link.take_heard(Watch::Promise);
            self.look_later(key);
        }
    }

    fn look_later(&mut self, key: LinkKey) {
        let peer = &mut self.links[key];
        let ttl = Duration::from_millis(100) * u32::from(peer.heartbeat.ttl);
        let next = self.timers.insert(Self::after(ttl / LOOKS_PER_TTL), Due::Look(key));
        peer.heartbeat.look = Some(next);
    }

    pub(super) fn look(&mut self, key: LinkKey) {
        let Some(peer) = self.links.get_mut(key) else {
            return;
        };
        peer.heartbeat.look = None;
        if !peer.link.is_expected() {
            return;
        }
        let is_silent = !peer.link.take_heard(Watch::Promise) && peer.link.is_silent();
        peer.heartbeat.num_silent = if is_silent { peer.heartbeat.num_silent + 1 } else { 0 };
        if peer.heartbeat.num_silent >= LOOKS_PER_TTL {
            self.link_down(key, Closed::Unresponsive);
        } else {
            self.look_later(key);
        }
    }
}
