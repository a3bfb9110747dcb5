//! Counters and queues as the frozen records of `busduct.statistics`.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::context::ContextStatistics;
use crate::socket::{PeerStatistics, Statistics};

/// Make the frozen record of a socket.
pub(super) fn to_python<'py>(
    py: Python<'py>,
    statistics: &Statistics,
) -> PyResult<Bound<'py, PyAny>> {
    let counters = &statistics.counters;
    let fields = PyDict::new(py);
    fields.set_item("num_peers", statistics.num_peers)?;
    fields.set_item("num_send_queued", statistics.num_send_queued)?;
    fields.set_item("num_send_queued_bytes", statistics.num_send_queued_bytes)?;
    fields.set_item("num_recv_queued", statistics.num_recv_queued)?;
    fields.set_item("num_recv_queued_bytes", statistics.num_recv_queued_bytes)?;
    fields.set_item("num_messages_sent", counters.num_messages_sent)?;
    fields.set_item("num_bytes_sent", counters.num_bytes_sent)?;
    fields.set_item("num_messages_received", counters.num_messages_received)?;
    fields.set_item("num_bytes_received", counters.num_bytes_received)?;
    fields.set_item("num_accepted", counters.num_accepted)?;
    fields.set_item("num_connected", counters.num_connected)?;
    fields.set_item("num_disconnected", counters.num_disconnected)?;
    fields.set_item("num_retries", counters.num_retries)?;
    fields.set_item("num_handshakes_failed", counters.num_handshakes_failed)?;
    fields.set_item("num_protocol_errors", counters.num_protocol_errors)?;
    fields.set_item("num_refused", counters.num_refused)?;
    fields.set_item("num_undelivered", counters.num_undelivered)?;
    fields.set_item("num_dropped", counters.num_dropped)?;
    fields.set_item("num_subscriptions", statistics.num_subscriptions)?;
    record(py, "SocketStatistics", &fields)
}

/// Make the frozen record of one peer of a socket.
pub(super) fn of_peer<'py>(py: Python<'py>, peer: &PeerStatistics) -> PyResult<Bound<'py, PyAny>> {
    let fields = PyDict::new(py);
    fields.set_item("endpoint", &peer.endpoint)?;
    fields.set_item("routing_id", PyBytes::new(py, &peer.routing_id))?;
    fields.set_item("num_send_queued", peer.num_send_queued)?;
    fields.set_item("num_send_queued_bytes", peer.num_send_queued_bytes)?;
    fields.set_item("num_recv_queued", peer.num_recv_queued)?;
    fields.set_item("num_recv_queued_bytes", peer.num_recv_queued_bytes)?;
    record(py, "PeerStatistics", &fields)
}

/// Make the frozen record of a context.
pub(super) fn of_context<'py>(
    py: Python<'py>,
    statistics: &ContextStatistics,
) -> PyResult<Bound<'py, PyAny>> {
    let fields = PyDict::new(py);
    fields.set_item("num_shm_peers", statistics.num_shm_peers)?;
    fields.set_item("num_shm_refused", statistics.num_shm_refused)?;
    fields.set_item("shm_ring_bytes", statistics.shm_ring_bytes)?;
    fields.set_item("shm_arena_bytes", statistics.shm_arena_bytes)?;
    fields.set_item("num_shm_segments", statistics.num_shm_segments)?;
    fields.set_item("num_shm_slots_held", statistics.num_shm_slots_held)?;
    record(py, "ContextStatistics", &fields)
}

fn record<'py>(
    py: Python<'py>,
    name: &str,
    fields: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    PyModule::import(py, "busduct.statistics")?.getattr(name)?.call((), Some(fields))
}
