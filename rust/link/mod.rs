//! One peer: a byte stream that frames ZMTP, with a bounded queue each way.

mod announcements;
mod assembler;
mod buffer;
mod closed;
mod credentials;
mod endpoint;
mod guard;
mod heartbeat;
mod inbound;
mod inbox;
mod kernel;
mod listener;
mod marks;
mod message;
mod outbound;
mod outbox;
mod peer;
mod stream;
mod upgrade;

pub(crate) use assembler::Excess;
pub use assembler::{Assembler, Item, Limits};
pub use buffer::{Buffer, Filling, OutOfMemory};
pub use closed::Closed;
pub use endpoint::{Endpoint, EndpointError, MAX_IPC_PATH_BYTES};
pub(crate) use guard::Guard;
pub(crate) use heartbeat::Watch;
pub(crate) use inbox::Inbox;
pub use kernel::{Keepalive, KernelOptions};
pub use listener::{BindError, ListenOptions, Listener};
pub use marks::{Marks, Overflow};
pub use message::{Message, PART_OVERHEAD_BYTES};
pub use outbox::Outbox;
pub(crate) use outbox::Written;
pub use peer::{Link, LinkOptions, Origin, Phase};
pub use stream::Stream;
pub(crate) use upgrade::{Account, INLINE_MAX_BYTES, UpgradeOptions, this_host};
