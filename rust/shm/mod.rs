//! Memory that processes share: segments, the arena of a sender and what its peers hold of
//! it, the control page and the bytes of a ring.
//!
//! A sender fills a [`Slot`] of its [`Arena`], lends it by its [`Lender`] for the peer, and
//! sends the [`Descriptor`]; the receiver's [`Borrower`] makes a [`Lease`] of that, whose end
//! clears the slot's byte in the control page; the sender's sweep then drops its hold. Only
//! the sender frees.

mod arena;
mod budget;
mod control;
mod descriptor;
mod error;
mod free_list;
mod holds;
mod kept;
mod lease;
mod lender;
mod map;
mod memory;
mod own_segment;
mod peer_segment;
mod process;
mod ring_memory;
mod segment;
mod slot;
mod store;

pub use arena::{Arena, LARGEST_CLASS_BYTES, SMALLEST_CLASS_BYTES};
pub use control::{CONTROL_BYTES, ControlMap, HELD_OFFSET, MAX_SLOTS};
pub use descriptor::{ANNOUNCEMENT_BYTES, Announcement, DESCRIPTOR_BYTES, Descriptor};
pub use error::{DecodeError, OpenError, TakeError};
pub use lease::{Borrower, Lease, MAX_SEGMENTS};
pub use lender::Lender;
pub use map::{Layout, Map};
pub use own_segment::OwnSegment;
pub use ring_memory::{MIN_RING_BYTES, RingData};
pub use segment::{PeerAccess, create, open};
pub use slot::Slot;
pub use store::{LenderKey, Store};

/// Where the slots of a segment begin. Before it stands a u32 for each slot: its generation.
const TABLE_BYTES: usize = 4096;
