//! Patterns over links: who gets a message, whose message comes next. No I/O.

mod events;
mod on_full;
mod options;
mod peer;
mod queue;
mod record;
mod routes;
mod subscriptions;
mod topics;
mod trie;
mod validation;

pub(crate) use events::Watcher;
pub use events::{Event, EventKind, EventLog, Taken};
pub use on_full::OnFull;
pub use options::{OptionError, SocketOptions};
pub(crate) use peer::Heartbeat;
pub use peer::{ConnectorKey, LinkKey, Links, ListenerKey, Peer, SocketKey};
pub(crate) use queue::addressed;
pub use queue::{SendFault, Sent, Socket, State};
pub use record::{Counters, PeerError, PeerFault, Statistics};
pub use subscriptions::{Inserted, Removed, Subscriptions};
pub use topics::Topics;
