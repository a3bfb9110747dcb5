//! `Batches`: what comes to a socket, in lists.

use std::sync::Arc;

use pyo3::prelude::*;

use super::awaitable::Awaitable;
use super::context::Context;
use super::operation::{Operation, Taking};
use super::shared::Shared;
use crate::socket::SocketKey;

#[pyclass(module = "busduct._core", frozen)]
pub(super) struct Batches {
    /// The context lives as long as what iterates over its messages is in use.
    _context: Py<Context>,
    shared: Arc<Shared>,
    key: SocketKey,
    taking: Taking,
}

impl Batches {
    pub(super) fn new(
        context: Py<Context>,
        shared: Arc<Shared>,
        key: SocketKey,
        taking: Taking,
    ) -> Self {
        Self { _context: context, shared, key, taking }
    }
}

#[pymethods]
impl Batches {
    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __anext__(&self) -> Awaitable {
        Awaitable::new(&self.shared, self.key, Operation::NextBatch(self.taking))
    }
}
