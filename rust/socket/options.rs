//! What a socket may be told when it is opened.

use std::fmt;
use std::time::Duration;

use crate::link::{Limits, Marks};

/// The options of a socket. The defaults suit a service on one machine.
#[derive(Debug, Clone)]
pub struct SocketOptions {
    /// Messages queued per peer and direction.
    pub hwm_messages: usize,
    /// Bytes queued per peer and direction, as [`crate::link::Message::cost`] counts them.
    pub hwm_bytes: usize,
    /// How long close goes on sending; `None` for no bound.
    pub linger: Option<Duration>,
    /// Payload bytes of one message, both ways.
    pub max_message_bytes: u64,
    /// Parts of one message, both ways.
    pub max_parts: usize,
    /// Accepted connections held at once.
    pub max_peers: usize,
    /// What a new connection may take until it is up.
    pub handshake_timeout: Duration,
    /// The first wait before a new attempt to connect; doubles at each failure.
    pub reconnect_interval: Duration,
    /// What it doubles up to.
    pub reconnect_max: Duration,
    /// Announced to ROUTER peers; empty for none.
    pub routing_id: Vec<u8>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            hwm_messages: 1000,
            hwm_bytes: 64 << 20,
            linger: Some(Duration::from_secs(1)),
            max_message_bytes: 1 << 30,
            max_parts: 1024,
            max_peers: 4096,
            handshake_timeout: Duration::from_secs(10),
            reconnect_interval: Duration::from_millis(100),
            reconnect_max: Duration::from_secs(5),
            routing_id: Vec::new(),
        }
    }
}

/// An option out of its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionError {
    pub name: &'static str,
    pub allowed: &'static str,
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must be {}", self.name, self.allowed)
    }
}

impl std::error::Error for OptionError {}

impl SocketOptions {
    /// Check every range.
    ///
    /// # Errors
    ///
    /// The first option that is out of its range.
    pub fn validate(&self) -> Result<(), OptionError> {
        let nonzero = "at least 1";
        let checks = [
            (self.hwm_messages > 0, "hwm_messages", nonzero),
            (self.hwm_bytes > 0, "hwm_bytes", nonzero),
            (self.max_message_bytes > 0, "max_message_bytes", nonzero),
            (
                usize::try_from(self.max_message_bytes).is_ok_and(|n| n <= isize::MAX as usize),
                "max_message_bytes",
                "a size that this machine can address",
            ),
            (self.max_parts > 0, "max_parts", nonzero),
            (self.max_peers > 0, "max_peers", nonzero),
            (!self.handshake_timeout.is_zero(), "handshake_timeout", "more than 0"),
            (!self.reconnect_interval.is_zero(), "reconnect_interval", "more than 0"),
            (
                self.reconnect_max >= self.reconnect_interval,
                "reconnect_max",
                "at least reconnect_interval",
            ),
            (self.routing_id.len() <= 255, "routing_id", "at most 255 bytes"),
            (self.routing_id.first() != Some(&0), "routing_id", "without a zero as its first byte"),
        ];
        match checks.into_iter().find(|(holds, ..)| !holds) {
            Some((_, name, allowed)) => Err(OptionError { name, allowed }),
            None => Ok(()),
        }
    }

    pub(crate) fn marks(&self) -> Marks {
        Marks { messages: self.hwm_messages, nbytes: self.hwm_bytes }
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits { max_message_bytes: self.max_message_bytes, max_parts: self.max_parts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_each_bad_value_is_named() {
        assert_eq!(SocketOptions::default().validate(), Ok(()));
        type Spoil = fn(&mut SocketOptions);
        let bad: [(&str, Spoil); 6] = [
            ("hwm_messages", |o| o.hwm_messages = 0),
            ("hwm_bytes", |o| o.hwm_bytes = 0),
            ("max_message_bytes", |o| o.max_message_bytes = u64::MAX),
            ("reconnect_max", |o| o.reconnect_max = Duration::from_millis(1)),
            ("routing_id", |o| o.routing_id = vec![1; 256]),
            ("routing_id", |o| o.routing_id = vec![0, 1]),
        ];
        for (name, spoil) in bad {
            let mut options = SocketOptions::default();
            spoil(&mut options);
            assert_eq!(options.validate().unwrap_err().name, name);
        }
    }
}
