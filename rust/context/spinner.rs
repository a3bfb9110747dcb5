//! How long a wait looks before it sleeps: less, the more often that was in vain.

use std::time::Duration;

/// Halvings of the bound at most.
const MAX_HALVINGS: u32 = 6;
/// Spins in vain for one halving.
const VAIN_PER_HALVING: u32 = 4;

/// Remembers how the last spins went.
#[derive(Debug, Default)]
pub(super) struct Spinner {
    num_vain: u32,
}

impl Spinner {
    /// For how long to spin now, where `most` is allowed.
    pub(super) fn bound(&self, most: Duration) -> Duration {
        most / (1 << (self.num_vain / VAIN_PER_HALVING).min(MAX_HALVINGS))
    }

    /// Note whether a spin found something.
    pub(super) fn note(&mut self, found: bool) {
        self.num_vain = if found { self.num_vain / 2 } else { self.num_vain.saturating_add(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spins_in_vain_become_short_and_those_that_find_long_again() {
        let most = Duration::from_micros(64);
        let mut spinner = Spinner::default();
        assert_eq!(spinner.bound(most), most);
        (0..1000).for_each(|_| spinner.note(false));
        assert_eq!(spinner.bound(most), most / 64);
        (0..10).for_each(|_| spinner.note(true));
        assert_eq!(spinner.bound(most), most);
    }
}
