//! What becomes of a message beyond a high-water mark.

use crate::zmtp::SocketType;

/// What becomes of a message beyond a high-water mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFull {
    /// Who sends waits; of received messages, no more is read.
    Wait,
    /// Who sends is told.
    Error,
    /// It is dropped.
    DropNew,
    /// The oldest are dropped until it fits.
    DropOld,
    /// It takes the place of the one that is queued.
    Conflate,
}

use OnFull::{Conflate, DropNew, DropOld, Error, Wait};

impl OnFull {
    const ALL: [(&str, Self); 5] = [
        ("wait", Wait),
        ("error", Error),
        ("drop_new", DropNew),
        ("drop_old", DropOld),
        ("conflate", Conflate),
    ];

    /// The policy that users call `word`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(name, _)| *name == word).map(|(_, policy)| policy)
    }

    /// What a socket of type `kind` does unless it is told otherwise.
    #[must_use]
    pub fn default_of(kind: SocketType) -> Self {
        if matches!(kind, SocketType::Pub | SocketType::XPub) { DropNew } else { Wait }
    }

    /// The policies that make sense for `kind`, and their names.
    pub(super) fn allowed(kind: SocketType) -> (&'static [Self], &'static str) {
        match kind {
            SocketType::Req | SocketType::Rep => {
                (&[Wait, Error], "'wait' or 'error' for REQ and REP")
            }
            SocketType::Router => (
                &[Wait, Error, DropNew, DropOld],
                "'wait', 'error', 'drop_new' or 'drop_old' for ROUTER",
            ),
            SocketType::Pull | SocketType::Sub | SocketType::XSub => (
                &[Wait, DropNew, DropOld, Conflate],
                "'wait', 'drop_new', 'drop_old' or 'conflate' for PULL, SUB and XSUB",
            ),
            SocketType::Pair
            | SocketType::Pub
            | SocketType::Dealer
            | SocketType::Push
            | SocketType::XPub => (
                &[Wait, Error, DropNew, DropOld, Conflate],
                "'wait', 'error', 'drop_new', 'drop_old' or 'conflate'",
            ),
        }
    }
}
