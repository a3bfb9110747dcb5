//! Every message that was ever offered to a socket, and what became of it.

use busduct::link::Message;

/// Topics that payloads start with; no routing id and no subscription does.
pub(super) const TOPICS: [u8; 4] = *b"abcd";

const SIZES: [usize; 8] = [0, 0, 1, 30, 100, 250, 1000, 20_000];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Offered; if it was not accepted it was given back.
    Offered,
    Accepted,
    Taken,
    /// Known to be undelivered.
    Lost,
}

struct Record {
    parts: Vec<Vec<u8>>,
    fate: Fate,
    /// Several peers may get it.
    is_fanned: bool,
}

/// All messages, each at the place that is its number.
#[derive(Default)]
pub(super) struct Ledger {
    records: Vec<Record>,
    pub(super) num_probes: u64,
}

/// A message that was found in what a socket gave.
pub(super) struct Found {
    pub(super) number: usize,
    pub(super) topic: u8,
}

impl Ledger {
    /// Make a message that `choice` describes; its number and its parts.
    pub(super) fn make(&mut self, choice: u8, is_fanned: bool) -> (usize, Vec<Vec<u8>>) {
        let number = self.records.len();
        let mut payload = vec![TOPICS[usize::from(choice >> 5 & 3)]];
        payload.extend_from_slice(&(number as u32).to_be_bytes());
        payload.resize(payload.len() + SIZES[usize::from(choice & 7)], choice);
        let mut parts = vec![payload];
        if choice & 8 != 0 {
            parts.extend([vec![choice; 3], Vec::new()]);
        }
        self.records.push(Record { parts: parts.clone(), fate: Fate::Offered, is_fanned });
        (number, parts)
    }

    pub(super) fn accept(&mut self, number: usize) {
        assert_eq!(self.records[number].fate, Fate::Offered);
        self.records[number].fate = Fate::Accepted;
    }

    /// Find the message that is behind an envelope; `None` for a probe.
    fn find(&self, message: &Message<Vec<u8>>) -> Option<Found> {
        let parts = message.parts();
        let is_payload = |part: &Vec<u8>| part.len() >= 5 && TOPICS.contains(&part[0]);
        let at = parts.iter().position(is_payload)?;
        let payload = &parts[at];
        let number = u32::from_be_bytes(payload[1..5].try_into().unwrap()) as usize;
        assert_eq!(self.records[number].parts, parts[at..]);
        Some(Found { number, topic: payload[0] })
    }

    /// Note that `message` was received.
    pub(super) fn take(&mut self, message: &Message<Vec<u8>>) -> Option<Found> {
        let Some(found) = self.find(message) else {
            assert!(message.parts().iter().any(Vec::is_empty), "no probe: {message:?}");
            self.num_probes += 1;
            return None;
        };
        let record = &mut self.records[found.number];
        let may_come =
            record.fate == Fate::Accepted || (record.is_fanned && record.fate == Fate::Taken);
        assert!(may_come, "{:?} came", record.fate);
        record.fate = Fate::Taken;
        Some(found)
    }

    /// Note that `message` is known to be lost.
    pub(super) fn lose(&mut self, message: &Message<Vec<u8>>) {
        let found = self.find(message).expect("nobody sent it");
        let record = &mut self.records[found.number];
        assert_eq!(record.fate, Fate::Accepted);
        record.fate = Fate::Lost;
    }
}
