//! An endpoint that is connected to, again and again.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use rustix::io::Errno;

use crate::link::{Endpoint, KernelOptions, Stream};
use crate::socket::{LinkKey, SocketKey};
use crate::timers::TimerId;

/// Longer than any process lives, and far from where adding to it overflows.
const MAX_WAIT: Duration = Duration::from_secs(1 << 30);

pub(super) struct Connector {
    pub(super) socket: SocketKey,
    pub(super) endpoint: Endpoint,
    /// The peer is not asked for the key.
    pub(super) insecure: bool,
    pub(super) link: Option<LinkKey>,
    pub(super) timer: Option<TimerId>,
    /// Attempts since the last one that led to a handshake.
    num_failed: u32,
}

impl Connector {
    pub(super) fn new(socket: SocketKey, endpoint: Endpoint, insecure: bool) -> Self {
        Self { socket, endpoint, insecure, link: None, timer: None, num_failed: 0 }
    }

    /// Start one attempt; a name with several addresses gives them in turn.
    pub(super) fn attempt(&self, kernel: &KernelOptions) -> Result<Stream, Errno> {
        match &self.endpoint {
            // Those are connected within the context.
            Endpoint::Inproc(_) => Err(Errno::ADDRNOTAVAIL),
            Endpoint::Ipc(path) => Stream::connect_unix(path, kernel),
            Endpoint::Tcp { host, port } => {
                let addresses = Endpoint::resolve(host, *port).unwrap_or_default();
                let turn = self.num_failed as usize % addresses.len().max(1);
                let address = addresses.get(turn).ok_or(Errno::HOSTUNREACH)?;
                Stream::connect_tcp(*address, kernel)
            }
        }
    }

    pub(super) fn succeeded(&mut self) {
        self.num_failed = 0;
    }

    /// Note a failure; return how long to wait. A quarter of it, more or less, is chance,
    /// so that peers that failed together do not come back together.
    pub(super) fn back_off(&mut self, first: Duration, max: Duration) -> Duration {
        let doubled = first.saturating_mul(1 << self.num_failed.min(16)).min(max).min(MAX_WAIT);
        self.num_failed = self.num_failed.saturating_add(1);
        let chance = RandomState::new().hash_one(self.num_failed) % 512;
        doubled.mul_f64(0.75 + chance as f64 / 1024.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_up_to_its_bound_and_starts_anew() {
        let endpoint = Endpoint::parse("ipc:///nowhere").unwrap();
        let mut connector = Connector::new(SocketKey::default(), endpoint, false);
        let (first, max) = (Duration::from_millis(100), Duration::from_secs(5));
        for expected in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let wait = connector.back_off(first, max).as_secs_f64() * 1000.0;
            let expected = f64::from(expected);
            assert!((expected * 0.74..expected * 1.26).contains(&wait), "{wait}");
        }
        connector.succeeded();
        assert!(connector.back_off(first, max) < Duration::from_millis(126));
    }

    #[test]
    fn longest_back_off_is_no_overflow() {
        let endpoint = Endpoint::parse("ipc:///nowhere").unwrap();
        let mut connector = Connector::new(SocketKey::default(), endpoint, false);
        for _ in 0..32 {
            assert!(connector.back_off(Duration::MAX, Duration::MAX) > Duration::from_secs(1));
        }
    }
}
