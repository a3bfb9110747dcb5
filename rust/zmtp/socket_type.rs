//! Socket types and which of them may speak with each other.

/// A ZeroMQ socket type, numbered as libzmq does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SocketType {
    Dealer = 5,
    Router = 6,
    Pull = 7,
    Push = 8,
}

impl SocketType {
    /// Every type that can be opened.
    pub const ALL: [Self; 4] = [Self::Dealer, Self::Router, Self::Pull, Self::Push];

    /// The name that READY carries.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dealer => "DEALER",
            Self::Router => "ROUTER",
            Self::Pull => "PULL",
            Self::Push => "PUSH",
        }
    }

    /// The type of libzmq's number `code`.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&kind| kind as u8 == code)
    }

    /// Whether a peer that announces `name` is one this type speaks with.
    #[must_use]
    pub fn accepts(self, name: &[u8]) -> bool {
        match self {
            Self::Dealer => matches!(name, b"DEALER" | b"ROUTER" | b"REP"),
            Self::Router => matches!(name, b"DEALER" | b"ROUTER" | b"REQ"),
            Self::Pull => name == b"PUSH",
            Self::Push => name == b"PULL",
        }
    }

    /// Whether messages can be sent.
    #[must_use]
    pub fn sends(self) -> bool {
        self != Self::Pull
    }

    /// Whether messages can be received.
    #[must_use]
    pub fn receives(self) -> bool {
        self != Self::Push
    }
}
