//! The move of a link between two processes of one host into shared memory (docs/wire.md,
//! "Shared memory"): offered after READY, and done before the first message or never.

mod account;
mod host;
mod incoming;
mod notice;
mod outgoing;
mod reading;
mod record;
mod starts;
mod unread;
mod writing;

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;

use super::{Buffer, Closed, Link, Message, Phase, Stream};
use crate::shm::{ControlMap, OpenError, RingData, Store};
use crate::sync::Doorbell;
use crate::zmtp::{Capability, Error, Sharing, encode_sharing};
pub(crate) use account::Account;
pub(crate) use host::this_host;
pub(super) use incoming::Incoming;
pub(crate) use outgoing::INLINE_MAX_BYTES;
pub(super) use outgoing::Outgoing;

/// Rings that a peer may offer.
const RING_BYTES: std::ops::RangeInclusive<u64> = 4096..=16 << 20;
/// Descriptors that may wait for the bytes that tell what they are.
pub(super) const MAX_RECEIVED: usize = 64;
const REQUIRED: &str = "shared memory is required";

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

    /// What READY is to tell.
    pub(super) fn capability(&self) -> Option<&Capability> {
        match &self.upgrade {
            Upgrade::Able(options) => Some(&options.capability),
            _ => None,
        }
    }

    /// Whether descriptors may come with what is read.
    pub(super) fn takes_descriptors(&self) -> bool {
        !matches!(self.upgrade, Upgrade::Never | Upgrade::Declined)
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

    /// Both READYs are known: make an offer if both sides can, or be up.
    pub(super) fn begin_upgrade(&mut self, theirs: Option<Capability>) -> Result<(), Error> {
        self.phase = Phase::Up;
        let Upgrade::Able(options) = std::mem::replace(&mut self.upgrade, Upgrade::Never) else {
            return Ok(());
        };
        if theirs != Some(options.capability) {
            return if options.is_required { Err(Error::refused(REQUIRED)) } else { Ok(()) };
        }
        let is_required = options.is_required;
        match Offer::make(options) {
            Ok(offer) => {
                self.upgrade = Upgrade::Offering(Box::new(offer));
                self.phase = Phase::Upgrading;
                Ok(())
            }
            Err(_) => self.decline(is_required),
        }
    }

    fn decline(&mut self, is_required: bool) -> Result<(), Error> {
        self.is_upgrade_refused = true;
        if is_required {
            return Err(Error::refused("shared memory is required, and there is none"));
        }
        encode_sharing(&mut self.control, Sharing::Decline);
        self.stay();
        Ok(())
    }

    /// The link is up as it is.
    fn stay(&mut self) {
        self.upgrade = Upgrade::Declined;
        self.received.fds.clear();
        self.phase = Phase::Up;
    }

    /// Whether an offer waits to be sent.
    pub(super) fn owes_offer(&self) -> bool {
        matches!(&self.upgrade, Upgrade::Offering(offer) if !offer.is_sent)
            || matches!(&self.upgrade, Upgrade::Accepted(offer, _) if !offer.is_sent)
    }

    /// Send the offer; all that was said before it is written.
    pub(super) fn send_offer(&mut self) -> Result<(), Closed> {
        let has_accepted = matches!(self.upgrade, Upgrade::Accepted(..));
        let (Upgrade::Offering(offer) | Upgrade::Accepted(offer, _)) = &mut self.upgrade else {
            return Ok(());
        };
        let Some(stream) = &self.stream else {
            return Ok(());
        };
        let mut frame = Vec::new();
        let ring_nbytes = offer.data.nbytes() as u64;
        encode_sharing(&mut frame, Sharing::Offer { ring_nbytes });
        let fds = [offer.fds[0].as_fd(), offer.fds[1].as_fd(), offer.bell.as_fd()];
        match stream.send_with(&frame, &fds) {
            Ok(taken) => {
                offer.is_sent = true;
                self.control.extend(frame.drain(taken..));
                if has_accepted {
                    encode_sharing(&mut self.control, Sharing::Accept);
                }
            }
            Err(Errno::AGAIN) => self.blocked = true,
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    /// The peer spoke of shared memory.
    pub(super) fn on_sharing(&mut self, sharing: Sharing, offset: u64) -> Result<(), Error> {
        let out_of_place = || Error::malformed(offset, "SHM out of place");
        if matches!(self.upgrade, Upgrade::Never | Upgrade::Able(_) | Upgrade::Done) {
            return Err(out_of_place());
        }
        match (sharing, std::mem::replace(&mut self.upgrade, Upgrade::Declined)) {
            (_, Upgrade::Never | Upgrade::Able(_) | Upgrade::Done | Upgrade::Declined) => {
                self.received.fds.clear();
                Ok(())
            }
            (Sharing::Offer { ring_nbytes }, Upgrade::Offering(offer)) => {
                self.on_offer(offer, ring_nbytes, offset)
            }
            (Sharing::Accept, Upgrade::Accepted(offer, peer)) => {
                // NB: what is not written yet, our own acceptance above all, is still for the
                // stream. A peer that reads has room for it.
                if !self.control.is_empty()
                    && self.flush_control().is_ok()
                    && !self.control.is_empty()
                {
                    return Err(out_of_place());
                }
                self.move_over(*offer, *peer);
                Ok(())
            }
            (Sharing::Decline, Upgrade::Offering(offer) | Upgrade::Accepted(offer, _)) => {
                self.is_upgrade_refused = true;
                if offer.options.is_required {
                    return Err(Error::refused(REQUIRED));
                }
                // An offer that is not on its way yet is not made any more.
                if !offer.is_sent {
                    encode_sharing(&mut self.control, Sharing::Decline);
                }
                self.stay();
                Ok(())
            }
            (Sharing::Offer { .. }, Upgrade::Accepted(..))
            | (Sharing::Accept, Upgrade::Offering(_)) => Err(out_of_place()),
        }
    }

    fn on_offer(&mut self, offer: Box<Offer>, nbytes: u64, offset: u64) -> Result<(), Error> {
        if !nbytes.is_power_of_two() || !RING_BYTES.contains(&nbytes) {
            return Err(Error::malformed(offset, "ring of a wrong size"));
        }
        if self.received.fds.len() < 3 {
            return match self.received.lacks_some {
                true => self.decline(offer.options.is_required),
                false => Err(Error::malformed(offset, "offer without descriptors")),
            };
        }
        let fds = self.received.fds.drain(..3).collect();
        match Peer::open(fds, nbytes as usize) {
            Ok(peer) => {
                // Our own offer goes first.
                if offer.is_sent {
                    encode_sharing(&mut self.control, Sharing::Accept);
                }
                self.upgrade = Upgrade::Accepted(offer, Box::new(peer));
                Ok(())
            }
            Err(OpenError::System(_)) => self.decline(offer.options.is_required),
            Err(_) => Err(Error::malformed(offset, "descriptors of something else")),
        }
    }

    /// Both sides have mapped what the other one made.
    fn move_over(&mut self, offer: Offer, peer: Peer) {
        let Some(line) = self.stream.as_ref().map(Stream::line) else {
            return;
        };
        let Offer { options, control, data, bell, .. } = offer;
        let outgoing = Outgoing::new(control, data, peer.bell.clone(), options.own_nbytes);
        let incoming = Incoming::new(peer.control, peer.data, peer.bell, line);
        self.outgoing = Some(Box::new(outgoing));
        self.incoming = Some(Box::new(incoming));
        self.bell = Some(bell);
        self.upgrade = Upgrade::Done;
        self.phase = Phase::Up;
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
