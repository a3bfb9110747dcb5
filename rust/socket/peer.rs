//! What a context keeps of each link besides the link.

use slotmap::{SlotMap, new_key_type};

use crate::link::{Buffer, Link, Origin};

new_key_type! {
    /// Names a socket of a context.
    pub struct SocketKey;
    /// Names a link of a context.
    pub struct LinkKey;
    /// Names a listener of a context.
    pub struct ListenerKey;
    /// Names an endpoint that a context connects to.
    pub struct ConnectorKey;
}

/// All links of a context.
pub type Links<B> = SlotMap<LinkKey, Peer<B>>;

/// A link and its place.
pub struct Peer<B: Buffer> {
    pub link: Link<B>,
    pub socket: SocketKey,
    pub origin: Origin<ConnectorKey>,
    pub endpoint: String,
    /// The handshake was completed and the socket told.
    pub(crate) is_announced: bool,
    /// It has messages to take, and waits for its turn.
    pub(crate) is_ready: bool,
    /// It waits in the context's list of links to flush.
    pub(crate) is_dirty: bool,
    /// What the poller was told to watch: readable, writable.
    pub(crate) watched: (bool, bool),
    /// When it must be up, or must have drained.
    pub(crate) timer: Option<crate::timers::TimerId>,
}
