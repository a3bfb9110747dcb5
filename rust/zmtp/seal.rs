//! Sealed records: the stream of a keyed connection in pieces that carry a MAC
//! (docs/wire.md, "Records").
//!
//! Nothing is encrypted. Two sides that share a key per direction notice every record that
//! was changed, added, left out, repeated or moved.

use std::fmt;
use std::io::IoSlice;

use blake2b_simd::Params;
use blake2b_simd::many::{HashManyJob, MAX_DEGREE, hash_many};

/// Payload bytes of the largest record that is accepted.
pub const MAX_RECORD_BYTES: usize = 64 << 10;
/// Bytes of a MAC.
pub const MAC_BYTES: usize = 16;
/// Payload bytes that one call of [`Sealer::seal`] takes at most.
pub const MAX_SEAL_BYTES: usize = 128 << 10;

pub(super) const LENGTH_BYTES: usize = 4;
/// What a record takes besides its payload.
pub(super) const OVERHEAD_BYTES: usize = LENGTH_BYTES + MAC_BYTES;
/// Payload bytes of the records that are made here: a fraction of what a read brings, so
/// that four whole ones are at hand and their MACs can be computed side by side, which
/// takes 0.43 of the time (docs/decisions/0004-keys.md).
const RECORD_BYTES: usize = 16 << 10;
/// From here on a batch is cut into records for the sake of that.
pub(super) const SPLIT_BYTES: usize = 4 << 10;
pub(super) const LANES: usize = MAX_DEGREE;

/// Computes the MACs of one direction, in order.
pub(super) struct Macs {
    params: Params,
    /// Records so far.
    pub(super) counter: u64,
}

impl Macs {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let mut params = Params::new();
        params.hash_length(MAC_BYTES).key(key);
        Self { params, counter: 0 }
    }

    /// Give `take` the MACs of the next `records`, which are lengths with their payloads, at
    /// most [`LANES`] of them.
    pub(super) fn each(
        &mut self,
        records: &[&[u8]],
        mut take: impl FnMut(usize, &blake2b_simd::Hash),
    ) {
        let mut jobs: [Option<HashManyJob<'_>>; LANES] = Default::default();
        for (index, (job, record)) in jobs.iter_mut().zip(records).enumerate() {
            let counter = self.counter + index as u64;
            *job = Some(HashManyJob::new(self.params.salt(&counter.to_be_bytes()), record));
        }
        hash_many(jobs.iter_mut().flatten());
        for (index, job) in jobs.iter().flatten().enumerate() {
            take(index, &job.to_hash());
        }
        self.counter += records.len() as u64;
    }
}

/// Seals what one side sends.
pub struct Sealer {
    macs: Macs,
}

impl Sealer {
    /// Start with the key of this direction.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self { macs: Macs::new(key) }
    }

    /// Append the records of what `slices` hold, up to [`MAX_SEAL_BYTES`], to `out`;
    /// return how many bytes of them were taken.
    pub fn seal(&mut self, slices: &[IoSlice<'_>], out: &mut Vec<u8>) -> usize {
        let offered = slices.iter().map(|slice| slice.len()).sum::<usize>();
        let taken = offered.min(MAX_SEAL_BYTES);
        let mut starts = Vec::with_capacity(taken.div_ceil(RECORD_BYTES) + LANES);
        let largest = record_size(taken);
        let mut source = Source { slices, index: 0, at: 0 };
        out.reserve(taken + OVERHEAD_BYTES * (taken.div_ceil(RECORD_BYTES) + LANES));
        let mut left = taken;
        while left > 0 {
            let nbytes = left.min(largest);
            starts.push(out.len()..out.len() + LENGTH_BYTES + nbytes);
            out.extend_from_slice(&(nbytes as u32).to_be_bytes());
            source.copy(nbytes, out);
            out.extend_from_slice(&[0; MAC_BYTES]);
            left -= nbytes;
        }
        for group in starts.chunks(LANES) {
            self.close(group, out);
        }
        taken
    }

    /// Write the MACs behind records that lie in `out`.
    fn close(&mut self, group: &[std::ops::Range<usize>], out: &mut [u8]) {
        let mut macs = [[0; MAC_BYTES]; LANES];
        let mut records = [&[][..]; LANES];
        for (record, range) in records.iter_mut().zip(group) {
            *record = &out[range.clone()];
        }
        self.macs.each(&records[..group.len()], |index, mac| {
            macs[index].copy_from_slice(mac.as_bytes());
        });
        for (mac, range) in macs.iter().zip(group) {
            out[range.end..range.end + MAC_BYTES].copy_from_slice(mac);
        }
    }
}

/// Payload bytes a record gets when `nbytes` are sealed at once.
fn record_size(nbytes: usize) -> usize {
    if nbytes < SPLIT_BYTES {
        return SPLIT_BYTES;
    }
    nbytes.div_ceil(LANES * nbytes.div_ceil(LANES * RECORD_BYTES))
}

/// Bytes that lie in several places, taken from the front.
struct Source<'a> {
    slices: &'a [IoSlice<'a>],
    index: usize,
    at: usize,
}

impl Source<'_> {
    fn copy(&mut self, mut nbytes: usize, out: &mut Vec<u8>) {
        while nbytes > 0
            && let Some(slice) = self.slices.get(self.index)
        {
            let rest = &slice[self.at..];
            let taken = rest.len().min(nbytes);
            out.extend_from_slice(&rest[..taken]);
            nbytes -= taken;
            self.at += taken;
            if taken == rest.len() {
                (self.index, self.at) = (self.index + 1, 0);
            }
        }
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("counter", &self.macs.counter).finish_non_exhaustive()
    }
}
