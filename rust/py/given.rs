//! The loans of messages that are being sent.

use pyo3::prelude::*;

use super::buffer::PyFrame;
use super::loan::Loan;

/// Loans whose messages may not be accepted; those that are not go back to their owners.
///
/// In order, each with the number of parts before it.
#[derive(Default)]
pub(super) struct Given<'py>(Vec<(usize, Bound<'py, Loan>)>);

impl<'py> Given<'py> {
    /// Give a loan, as the part that has `index` others before it.
    ///
    /// # Errors
    ///
    /// BufferError if views of it are held, ClosedError if it was given up.
    pub(super) fn add(&mut self, loan: &Bound<'py, Loan>, index: usize) -> PyResult<PyFrame> {
        let frame = loan.get().give(loan.py())?;
        self.0.push((index, loan.clone()));
        Ok(frame)
    }

    /// All were accepted.
    #[inline]
    pub(super) fn accept(self) {
        self.accept_first(usize::MAX);
    }

    /// So many parts were accepted.
    #[inline]
    pub(super) fn accept_first(mut self, num_parts: usize) {
        for (index, loan) in self.0.drain(..) {
            loan.get().settle(index < num_parts);
        }
    }
}

impl Drop for Given<'_> {
    #[inline]
    fn drop(&mut self) {
        for (_, loan) in self.0.drain(..) {
            loan.get().settle(false);
        }
    }
}
