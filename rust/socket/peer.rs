//! What a context keeps of each link besides the link.

use slotmap::{SlotMap, new_key_type};

use crate::link::{Buffer, Link, Origin};
use crate::timers::TimerId;

new_key_type! {
    /// Names a socket of a context.
    pub struct SocketKey;
    /// Names a link of a context.
    pub struct LinkKey;
    /// Names a peer of a context whose link has ended, and that may hold what it was lent.
    pub struct DepartedKey;
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
    /// It takes part: it may be sent messages.
    pub(crate) is_up: bool,
    /// It was turned away, for the sake of another that is here.
    pub(crate) is_refused: bool,
    /// It has messages to take, and waits for its turn.
    pub(crate) is_ready: bool,
    /// It waits in the context's list of links to flush.
    pub(crate) is_dirty: bool,
    /// Through shared memory, so many messages are written without waiting for that.
    pub(crate) flush_len: usize,
    /// A sender waits until it has room.
    pub(crate) is_wanted: bool,
    /// The sender of an urgent message does.
    pub(crate) is_urgently_wanted: bool,
    /// The other half of a link within the context.
    pub(crate) twin: Option<LinkKey>,
    /// What the poller was told to watch: readable, writable.
    pub(crate) watched: (bool, bool),
    /// When it must be up, or must have drained.
    pub(crate) timer: Option<TimerId>,
    pub(crate) heartbeat: Heartbeat,
    /// Shared memory that is kept for it.
    pub(crate) reserved: usize,
}

/// The timers by which a silent peer is noticed.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    /// The next PING.
    pub(crate) ping: Option<TimerId>,
    /// When a PING must have been answered.
    pub(crate) answer: Option<TimerId>,
    /// The next look whether the peer keeps the promise of its own PINGs.
    pub(crate) look: Option<TimerId>,
    /// The promise: tenths of a second in which something comes; 0 for none.
    pub(crate) ttl: u16,
    /// Looks in a row that found that nothing had come.
    pub(crate) num_silent: u32,
}

impl<B: Buffer> Peer<B> {
    pub(crate) fn new(
        link: Link<B>,
        socket: SocketKey,
        origin: Origin<ConnectorKey>,
        endpoint: String,
    ) -> Self {
        Self {
            link,
            socket,
            origin,
            endpoint,
            is_announced: false,
            is_up: false,
            is_refused: false,
            is_ready: false,
            is_dirty: false,
            flush_len: 0,
            is_wanted: false,
            is_urgently_wanted: false,
            twin: None,
            watched: (false, false),
            timer: None,
            heartbeat: Heartbeat::default(),
            reserved: 0,
        }
    }
}
