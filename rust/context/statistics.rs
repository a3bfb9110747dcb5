//! What a context has in shared memory.

/// What a context has in shared memory, as it stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContextStatistics {
    /// Connections whose messages go through shared memory.
    pub num_shm_peers: usize,
    /// Connections that stayed in the kernel for want of memory.
    pub num_shm_refused: u64,
    /// Of the rings that this side made.
    pub shm_ring_bytes: usize,
    /// Of the segments that this side made for large payloads.
    pub shm_arena_bytes: usize,
    /// Those segments.
    pub num_shm_segments: usize,
    /// Pieces of them that somebody holds.
    pub num_shm_slots_held: usize,
}
