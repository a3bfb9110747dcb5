//! Patterns over links: who gets a message, whose message comes next. No I/O.

mod addressing;
mod events;
mod fan_out;
mod fault;
mod members;
mod on_full;
mod options;
mod pattern;
mod peer;
mod publisher;
mod receiving;
mod record;
mod request;
mod routes;
mod sending;
mod state;
mod subscriptions;
mod topics;
mod trie;
mod validation;

pub(crate) use events::Watcher;
pub use events::{Event, EventKind, EventLog, Taken};
pub use fault::{RecvFault, SendFault, TopicFault};
pub use on_full::OnFull;
pub use options::{OptionError, SocketOptions};
pub use peer::{ConnectorKey, DepartedKey, LinkKey, Links, ListenerKey, Peer, SocketKey};
pub use publisher::MAX_TOPIC_BYTES;
pub use record::{Counters, PeerError, PeerFault, PeerStatistics, Statistics};
pub use sending::Sent;
pub use state::{Socket, State};
pub use subscriptions::{Inserted, Removed, Subscriptions};
pub use topics::Topics;
