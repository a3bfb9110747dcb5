//! Records of the other side: verified, then opened (docs/wire.md, "Records").

use std::fmt;

use super::Error;
use super::seal::{LANES, LENGTH_BYTES, MAC_BYTES, MAX_RECORD_BYTES, Macs, OVERHEAD_BYTES};

/// Opens what the other side sealed, wherever the reads happen to cut it.
///
/// It holds the bytes that came of at most one record, and never reserves memory for a
/// length that it has not checked.
pub struct Opener {
    macs: Macs,
    /// The beginning of a record that is not whole.
    partial: Vec<u8>,
    /// A record was not what the other side sealed: nothing more is opened.
    is_broken: bool,
}

impl Opener {
    /// Start with the key of this direction.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self { macs: Macs::new(key), partial: Vec::new(), is_broken: false }
    }

    /// Whether a record has begun and not ended.
    #[must_use]
    pub fn is_amid_record(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Take bytes as they came; give the payload of each record that is proven whole.
    ///
    /// # Errors
    ///
    /// [`Error::Tampered`] for a record that was tampered with, of which nothing is given, nor
    /// of any that follows; and what `give` returns.
    pub fn open<E: From<Error>>(
        &mut self,
        mut input: &[u8],
        give: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.is_broken {
            return Err(self.tampered("follows one that was tampered with").into());
        }
        let opened = match self.complete(&mut input) {
            Ok(false) => Ok(()),
            Ok(true) => {
                let begun = std::mem::take(&mut self.partial);
                self.open_all(&begun, input, give)
            }
            Err(error) => Err(error.into()),
        };
        self.is_broken = opened.is_err();
        opened
    }

    /// Open the record in `begun`, if there is one, and those in `input`; hold its rest.
    fn open_all<'a, E: From<Error>>(
        &mut self,
        mut begun: &'a [u8],
        mut input: &'a [u8],
        mut give: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let group = Group::take(&mut begun, &mut input);
            self.open_group(&group.records[..group.count], &mut give)?;
            if let Some(nbytes) = group.wrong_length {
                return Err(self.wrong_length(nbytes).into());
            }
            if group.count < LANES {
                self.partial.extend_from_slice(input);
                return Ok(());
            }
        }
    }

    /// Verify whole records side by side, then give those before the first wrong one.
    fn open_group<E: From<Error>>(
        &mut self,
        group: &[&[u8]],
        give: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let first = self.macs.counter;
        let mut bodies = [&[][..]; LANES];
        for (body, record) in bodies.iter_mut().zip(group) {
            *body = &record[..record.len() - MAC_BYTES];
        }
        let mut num_sound = 0;
        self.macs.each(&bodies[..group.len()], |index, mac| {
            // NB: the comparison takes the same time wherever the two differ.
            if index == num_sound && *mac == group[index][bodies[index].len()..] {
                num_sound += 1;
            }
        });
        for body in &bodies[..num_sound] {
            give(&body[LENGTH_BYTES..])?;
        }
        if num_sound < group.len() {
            self.macs.counter = first + num_sound as u64;
            return Err(self.tampered("was tampered with").into());
        }
        Ok(())
    }

    /// Put what `input` starts with behind the beginning that is held; `false` if no record
    /// is whole even so.
    fn complete(&mut self, input: &mut &[u8]) -> Result<bool, Error> {
        if self.partial.is_empty() {
            return Ok(true);
        }
        self.fill(LENGTH_BYTES, input);
        let Some(length) = self.partial.first_chunk() else {
            return Ok(false);
        };
        let nbytes = check_length(*length).map_err(|nbytes| self.wrong_length(nbytes))?;
        self.fill(nbytes + OVERHEAD_BYTES, input);
        Ok(self.partial.len() == nbytes + OVERHEAD_BYTES)
    }

    fn fill(&mut self, nbytes: usize, input: &mut &[u8]) {
        let missing = nbytes.saturating_sub(self.partial.len()).min(input.len());
        let (taken, rest) = input.split_at(missing);
        self.partial.extend_from_slice(taken);
        *input = rest;
    }

    fn tampered(&self, what: &str) -> Error {
        Error::Tampered { reason: format!("record {} {what}", self.macs.counter) }
    }

    fn wrong_length(&self, nbytes: u32) -> Error {
        self.tampered(&format!("of {nbytes} bytes is not one of 1 to {MAX_RECORD_BYTES} bytes"))
    }
}

/// Whole records that are verified side by side.
#[derive(Default)]
struct Group<'a> {
    records: [&'a [u8]; LANES],
    count: usize,
    /// What follows them announces so many payload bytes, which no record has.
    wrong_length: Option<u32>,
}

impl<'a> Group<'a> {
    /// Take records off the front of `begun`, then of `input`.
    fn take(begun: &mut &'a [u8], input: &mut &'a [u8]) -> Self {
        let mut group = Self::default();
        while group.count < LANES {
            match split_record(if begun.is_empty() { input } else { begun }) {
                Ok(Some(record)) => group.records[group.count] = record,
                Ok(None) => break,
                Err(nbytes) => {
                    group.wrong_length = Some(nbytes);
                    break;
                }
            }
            group.count += 1;
        }
        group
    }
}

/// Take a whole record off the front of `input`.
///
/// # Errors
///
/// The payload bytes that it announces, if a record cannot have so many.
fn split_record<'a>(input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, u32> {
    let Some(length) = input.first_chunk() else {
        return Ok(None);
    };
    let nbytes = check_length(*length)?;
    let Some((record, rest)) = input.split_at_checked(nbytes + OVERHEAD_BYTES) else {
        return Ok(None);
    };
    *input = rest;
    Ok(Some(record))
}

fn check_length(length: [u8; LENGTH_BYTES]) -> Result<usize, u32> {
    let announced = u32::from_be_bytes(length);
    match usize::try_from(announced) {
        Ok(nbytes) if (1..=MAX_RECORD_BYTES).contains(&nbytes) => Ok(nbytes),
        _ => Err(announced),
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("counter", &self.macs.counter).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
