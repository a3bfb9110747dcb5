//! What a socket remembers for its owner: counters and the faults of its peers.

use std::collections::VecDeque;
use std::time::Duration;

use crate::zmtp;

const MAX_ERRORS: usize = 16;

/// Counters since the socket was opened.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counters {
    pub num_messages_sent: u64,
    pub num_bytes_sent: u64,
    pub num_messages_received: u64,
    pub num_bytes_received: u64,
    pub num_accepted: u64,
    pub num_connected: u64,
    pub num_disconnected: u64,
    pub num_retries: u64,
    pub num_handshakes_failed: u64,
    pub num_protocol_errors: u64,
    pub num_refused: u64,
    pub num_undelivered: u64,
    pub num_dropped: u64,
}

/// Counters, and the queues as they stand.
#[derive(Debug, Default, Clone, Copy)]
pub struct Statistics {
    pub counters: Counters,
    pub num_peers: usize,
    pub num_send_queued: usize,
    pub num_send_queued_bytes: usize,
    pub num_recv_queued: usize,
    pub num_recv_queued_bytes: usize,
    /// Topics subscribed to; at a publisher, those that each of its peers holds.
    pub num_subscriptions: usize,
}

/// One peer, and its queues as they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatistics {
    pub endpoint: String,
    /// As it announced it, or as a ROUTER calls it.
    pub routing_id: Vec<u8>,
    pub num_send_queued: usize,
    pub num_send_queued_bytes: usize,
    pub num_recv_queued: usize,
    pub num_recv_queued_bytes: usize,
}

/// What a peer did wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerFault {
    Protocol(zmtp::Error),
    /// It vanished amid a message.
    Lost,
    /// It answered no PING, or stayed silent for longer than it said it would.
    Unresponsive,
    /// It did not introduce itself in time.
    Silent(Duration),
    /// It belongs to another user.
    OtherUser,
}

/// A fault and the endpoint that the peer came through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerError {
    pub endpoint: String,
    pub fault: PeerFault,
}

/// The last faults, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Faults(VecDeque<PeerError>);

impl Faults {
    pub(crate) fn push(&mut self, endpoint: &str, fault: PeerFault) {
        if self.0.len() == MAX_ERRORS {
            self.0.pop_front();
        }
        self.0.push_back(PeerError { endpoint: endpoint.into(), fault });
    }

    pub(crate) fn to_vec(&self) -> Vec<PeerError> {
        self.0.iter().cloned().collect()
    }
}
