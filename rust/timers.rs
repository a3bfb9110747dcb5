//! Deadlines in order, each of which can be taken back.

use std::collections::BTreeMap;
use std::time::Instant;

/// Names a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerId(Instant, u64);

/// Deadlines, each with what is due then.
#[derive(Debug)]
pub(crate) struct Timers<D> {
    due: BTreeMap<TimerId, D>,
    num_made: u64,
}

impl<D> Timers<D> {
    pub(crate) fn new() -> Self {
        Self { due: BTreeMap::new(), num_made: 0 }
    }

    /// Note that `due` is due at `at`.
    pub(crate) fn insert(&mut self, at: Instant, due: D) -> TimerId {
        self.num_made += 1;
        let id = TimerId(at, self.num_made);
        self.due.insert(id, due);
        id
    }

    /// Take a deadline back; one that passed, or none, is fine.
    pub(crate) fn cancel(&mut self, id: Option<TimerId>) {
        if let Some(id) = id {
            self.due.remove(&id);
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first_key_value().map(|(id, _)| id.0)
    }

    /// Take what is due by `now`, earliest first.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<D> {
        let entry = self.due.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}

impl<D> Default for Timers<D> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn deadlines_come_in_order_and_cancelled_ones_do_not() {
        let mut timers = Timers::new();
        let now = Instant::now();
        let after = |ms| now + Duration::from_millis(ms);
        timers.insert(after(30), 'c');
        timers.insert(after(10), 'a');
        let second = timers.insert(after(10), 'b');
        assert_eq!(timers.next(), Some(after(10)));
        timers.cancel(Some(second));
        timers.cancel(None);
        assert_eq!(timers.pop(now), None);
        assert_eq!(timers.pop(after(40)), Some('a'));
        assert_eq!(timers.pop(after(40)), Some('c'));
        assert_eq!(timers.pop(after(40)), None);
    }
}
