//! Socket types and which of them may speak with each other.

/// A ZeroMQ socket type, numbered as libzmq does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SocketType {
    Pair = 0,
    Pub = 1,
    Sub = 2,
    Req = 3,
    Rep = 4,
    Dealer = 5,
    Router = 6,
    Pull = 7,
    Push = 8,
    XPub = 9,
    XSub = 10,
}

use SocketType::{Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub, XPub, XSub};

impl SocketType {
    /// Every type, by number.
    pub const ALL: [Self; 11] = [Pair, Pub, Sub, Req, Rep, Dealer, Router, Pull, Push, XPub, XSub];

    /// The name that READY carries.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Pair => "PAIR",
            Pub => "PUB",
            Sub => "SUB",
            Req => "REQ",
            Rep => "REP",
            Dealer => "DEALER",
            Router => "ROUTER",
            Pull => "PULL",
            Push => "PUSH",
            XPub => "XPUB",
            XSub => "XSUB",
        }
    }

    /// The type of libzmq's number `code`.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&kind| kind as u8 == code)
    }

    /// The types that this one speaks with, by name.
    #[must_use]
    pub fn partners(self) -> &'static [Self] {
        match self {
            Pair => &[Pair],
            Pub | XPub => &[Sub, XSub],
            Sub | XSub => &[Pub, XPub],
            Req => &[Rep, Router],
            Rep => &[Dealer, Req],
            Dealer => &[Dealer, Rep, Router],
            Router => &[Dealer, Req, Router],
            Pull => &[Push],
            Push => &[Pull],
        }
    }

    /// Whether a peer that announces `name` is one this type speaks with.
    #[must_use]
    pub fn accepts(self, name: &[u8]) -> bool {
        self.partners().iter().any(|partner| partner.name().as_bytes() == name)
    }

    /// Why a peer that announces `name`, which is not accepted, is turned away.
    #[must_use]
    pub fn refusal(self, name: &[u8]) -> String {
        let names: Vec<_> = self.partners().iter().map(|partner| partner.name()).collect();
        let partners = match names.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
            _ => names.concat(),
        };
        format!(
            "socket type {} does not speak with {}; it speaks with {partners}",
            self.name(),
            String::from_utf8_lossy(name).escape_debug()
        )
    }

    /// Whether messages can be sent.
    #[must_use]
    pub fn sends(self) -> bool {
        !matches!(self, Pull | Sub)
    }

    /// Whether messages can be received.
    #[must_use]
    pub fn receives(self) -> bool {
        !matches!(self, Push | Pub)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speaking_is_mutual_and_partners_stand_by_name() {
        for kind in SocketType::ALL {
            for other in SocketType::ALL {
                let is_mutual = kind.accepts(other.name().as_bytes());
                assert_eq!(is_mutual, other.accepts(kind.name().as_bytes()), "{kind:?} {other:?}");
            }
            assert!(kind.partners().is_sorted_by_key(|partner| partner.name()), "{kind:?}");
            assert!(!kind.accepts(b"") && !kind.accepts(b"push"));
        }
    }

    #[test]
    fn all_types_stand_at_their_number() {
        for (code, kind) in SocketType::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, code);
        }
        assert_eq!(SocketType::from_code(11), None);
    }

    #[test]
    fn refusal_names_the_partners() {
        let text = "socket type PUSH does not speak with PUB; it speaks with PULL";
        assert_eq!(Push.refusal(b"PUB"), text);
        let text = "socket type REP does not speak with a\\n; it speaks with DEALER and REQ";
        assert_eq!(Rep.refusal(b"a\n"), text);
        assert!(Dealer.refusal(b"SUB").ends_with("speaks with DEALER, REP and ROUTER"));
    }
}
