//! Every interleaving of small programs on the lock-free layer, as loom finds them.

mod cells;
mod free_slots;
mod holds;
mod mutations;
mod ring;
mod sleep;
mod slot;

/// Run `program` under every interleaving with at most `max_preemptions` switches that no
/// thread asked for; `LOOM_MAX_PREEMPTIONS` overrides it.
fn explore(max_preemptions: usize, program: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(max_preemptions));
    builder.check(program);
}
