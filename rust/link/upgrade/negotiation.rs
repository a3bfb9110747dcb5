//! Whether a link is moved: both sides say that they can, offer what they made, and map what
//! the other one did; one that cannot declines, and the link stays as it is.

use std::os::fd::AsFd;

use rustix::io::Errno;

use super::{Incoming, Offer, Outgoing, Peer, RING_BYTES, Upgrade};
use crate::link::{Buffer, Closed, Link, Phase, Stream};
use crate::shm::OpenError;
use crate::zmtp::{Capability, Error, Sharing, encode_sharing};

const REQUIRED: &str = "shared memory is required";

impl<B: Buffer> Link<B> {
    /// Both READYs are known: make an offer if both sides can, or be up.
    pub(in crate::link) fn begin_upgrade(
        &mut self,
        theirs: Option<Capability>,
    ) -> Result<(), Error> {
        self.phase = Phase::Up;
        let options = match std::mem::replace(&mut self.upgrade, Upgrade::Never) {
            Upgrade::Able(options) => options,
            before => {
                let is_short = matches!(before, Upgrade::Short);
                self.is_upgrade_refused = is_short && theirs.is_some();
                return Ok(());
            }
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
    pub(in crate::link) fn owes_offer(&self) -> bool {
        matches!(&self.upgrade, Upgrade::Offering(offer) if !offer.is_sent)
            || matches!(&self.upgrade, Upgrade::Accepted(offer, _) if !offer.is_sent)
    }

    /// Send the offer; all that was said before it is written.
    pub(in crate::link) fn send_offer(&mut self) -> Result<(), Closed> {
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
    pub(in crate::link) fn on_sharing(
        &mut self,
        sharing: Sharing,
        offset: u64,
    ) -> Result<(), Error> {
        let out_of_place = || Error::malformed(offset, "SHM out of place");
        if !matches!(self.upgrade, Upgrade::Offering(_) | Upgrade::Accepted(..) | Upgrade::Declined)
        {
            return Err(out_of_place());
        }
        match (sharing, std::mem::replace(&mut self.upgrade, Upgrade::Declined)) {
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
            // What the peer said before it knew that it does not come to it.
            _ => {
                self.received.fds.clear();
                Ok(())
            }
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
}
