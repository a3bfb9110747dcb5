//! The move of a link between two processes of one host into shared memory (docs/wire.md,
//! "Shared memory"): offered after READY, and done before the first message or never.

mod account;
mod host;
mod incoming;
mod large;
mod negotiation;
mod notice;
mod outgoing;
mod reading;
mod record;
mod starts;
mod unread;
mod window;
mod writing;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;

use super::{Buffer, Link, Message, Stream};
use crate::shm::{ControlMap, OpenError, RingData, Store};
use crate::sync::Doorbell;
use crate::zmtp::Capability;
pub(crate) use account::Account;
pub(crate) use host::this_host;
pub(super) use incoming::Incoming;
pub(crate) use outgoing::INLINE_MAX_BYTES;
pub(super) use outgoing::Outgoing;

/// Rings that a peer may offer.
const RING_BYTES: std::ops::RangeInclusive<u64> = 4096..=16 << 20;
/// Descriptors that may wait for the bytes that tell what they are.
pub(super) const MAX_RECEIVED: usize = 64;

/// How a link is to be moved.
#[derive(Debug, Clone)]
pub(crate) struct UpgradeOptions {
    pub(crate) capability: Capability,
    pub(crate) ring_nbytes: usize,
    /// Rather no link than one through the kernel.
    pub(crate) is_required: bool,
    /// Large payloads lie where no other peer can read them, in so much memory.
    pub(crate) own_nbytes: Option<usize>,
}

/// How far the move has come.
pub(super) enum Upgrade {
    /// Nobody spoke of it.
    Never,
    /// We could, but for memory, and do not say so.
    Short,
    /// We say that we can.
    Able(UpgradeOptions),
    /// Ours is made.
    Offering(Box<Offer>),
    /// The peer's is mapped too, which it was told.
    Accepted(Box<Offer>, Box<Peer>),
    /// It did not come to it: what the peer said before it knew that is ignored.
    Declined,
    Done,
}

/// What we made for what we send, and the bell that rings us.
pub(super) struct Offer {
    options: UpgradeOptions,
    control: ControlMap,
    data: RingData,
    bell: Doorbell,
    /// To be handed over: control page, ring.
    fds: [OwnedFd; 2],
    is_sent: bool,
}

/// What the peer made.
pub(super) struct Peer {
    control: ControlMap,
    data: RingData,
    bell: Arc<Doorbell>,
}

impl Offer {
    fn make(options: UpgradeOptions) -> Result<Self, Errno> {
        let (control, control_fd) = ControlMap::create()?;
        let (data, data_fd) = RingData::create(options.ring_nbytes)?;
        let (bell, fds) = (Doorbell::new()?, [control_fd, data_fd]);
        Ok(Self { options, control, data, bell, fds, is_sent: false })
    }
}

impl Peer {
    fn open(mut fds: VecDeque<OwnedFd>, ring_nbytes: usize) -> Result<Self, OpenError> {
        let mut next = || fds.pop_front().ok_or(OpenError::System(Errno::BADF));
        let control = ControlMap::open(next()?)?;
        let data = RingData::open(next()?, ring_nbytes)?;
        let bell = Doorbell::open(next()?).map_err(|errno| match errno {
            Errno::INVAL => OpenError::Inconsistent { reason: "bell that cannot be rung" },
            errno => OpenError::System(errno),
        })?;
        let bell = Arc::new(bell);
        Ok(Self { control, data, bell })
    }
}

impl<B: Buffer> Link<B> {
    /// Say to the peer that this link, which has not said anything yet, can be moved.
    pub(crate) fn make_able(&mut self, options: UpgradeOptions) {
        self.upgrade = Upgrade::Able(options);
    }

    /// Have this link stay as it is for want of memory.
    pub(crate) fn make_short(&mut self) {
        self.upgrade = Upgrade::Short;
    }

    /// What READY is to tell.
    pub(super) fn capability(&self) -> Option<&Capability> {
        match &self.upgrade {
            Upgrade::Able(options) => Some(&options.capability),
            _ => None,
        }
    }

    /// Whether descriptors may come with what is read.
    pub(super) fn takes_descriptors(&self) -> bool {
        !matches!(self.upgrade, Upgrade::Never | Upgrade::Short | Upgrade::Declined)
    }

    /// Whether messages go through shared memory.
    #[inline]
    pub(crate) fn is_upgraded(&self) -> bool {
        matches!(self.upgrade, Upgrade::Done)
    }

    /// Whether the peer could have shared memory, and it was refused.
    pub(crate) fn is_upgrade_refused(&self) -> bool {
        self.is_upgrade_refused
    }

    /// The bell that the peer of a moved link rings.
    pub(crate) fn bell(&self) -> Option<&Doorbell> {
        self.bell.as_ref()
    }

    /// Let what is sent be lent from `store`, or from one of its own. Call it once the link
    /// has moved.
    pub(crate) fn open_account(&mut self, store: &mut Store) {
        if let Some(outgoing) = &mut self.outgoing {
            outgoing.open_account(store);
        }
    }

    /// Ring ourselves: there is more to do than one turn may take.
    pub(crate) fn ring_self(&self) {
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }

    /// Take the messages back that a peer that has left did not take.
    pub(crate) fn take_unread(&mut self, store: &Store) -> VecDeque<Message<B>> {
        match &mut self.outgoing {
            Some(outgoing) if self.peer_has_left => outgoing.take_unread(store),
            _ => VecDeque::new(),
        }
    }

    /// Take what the peer of a closed link may still hold; `None` if it holds nothing.
    pub(crate) fn close_account(&mut self, store: &mut Store) -> Option<Account> {
        let mut account = self.outgoing.take()?.into_account();
        account.settle(store, self.peer_is_gone).then_some(account)
    }

    /// The stream of a moved link, which stays open as long as somebody holds it.
    pub(crate) fn line(&self) -> Option<Arc<OwnedFd>> {
        self.stream.as_ref().filter(|_| self.is_upgraded()).map(Stream::line)
    }

    /// Whether the link ended because this process has no room for what its peer shares.
    pub(crate) fn lacks_room(&self) -> bool {
        self.lacks_room
    }

    /// What this link shares with no other.
    pub(crate) fn own_store(&self) -> Option<&Store> {
        self.outgoing.as_ref().and_then(|outgoing| outgoing.own_store())
    }
}
