//! Loom's atomics, of which one ordering can be weakened to see that a model misses it.

use std::env;
use std::panic::Location;
use std::sync::LazyLock;

pub use loom::sync::atomic::Ordering;

/// Names the operation to weaken, as `FILE:LINE`.
pub const WEAKEN: &str = "BUSDUCT_WEAKEN";

static WEAKENED: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
    let place = env::var(WEAKEN).ok()?;
    let (file, line) = place.split_once(':').expect("place is FILE:LINE");
    Some((file.to_owned(), line.parse().expect("line is a number")))
});

/// Return the ordering that the caller's caller gets for the one that it asked for.
#[track_caller]
fn weaken(ordering: Ordering) -> Ordering {
    let here = Location::caller();
    match &*WEAKENED {
        Some((file, line)) if here.line() == *line && here.file().ends_with(file) => {
            weaker(ordering)
        }
        _ => ordering,
    }
}

fn weaker(ordering: Ordering) -> Ordering {
    match ordering {
        Ordering::SeqCst => Ordering::AcqRel,
        _ => Ordering::Relaxed,
    }
}

#[track_caller]
pub fn fence(ordering: Ordering) {
    loom::sync::atomic::fence(weaken(ordering));
}

macro_rules! atomic {
    ($name:ident, $word:ty) => {
        #[derive(Debug, Default)]
        pub struct $name(loom::sync::atomic::$name);

        impl $name {
            #[track_caller]
            pub fn new(word: $word) -> Self {
                Self(loom::sync::atomic::$name::new(word))
            }

            #[track_caller]
            pub fn load(&self, ordering: Ordering) -> $word {
                self.0.load(weaken(ordering))
            }

            #[track_caller]
            pub fn store(&self, word: $word, ordering: Ordering) {
                self.0.store(word, weaken(ordering));
            }

            #[track_caller]
            pub fn swap(&self, word: $word, ordering: Ordering) -> $word {
                self.0.swap(word, weaken(ordering))
            }

            #[track_caller]
            pub fn fetch_add(&self, word: $word, ordering: Ordering) -> $word {
                self.0.fetch_add(word, weaken(ordering))
            }

            #[track_caller]
            pub fn fetch_sub(&self, word: $word, ordering: Ordering) -> $word {
                self.0.fetch_sub(word, weaken(ordering))
            }

            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                current: $word,
                word: $word,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$word, $word> {
                self.0.compare_exchange_weak(current, word, weaken(success), weaken(failure))
            }
        }
    };
}

atomic!(AtomicU8, u8);
atomic!(AtomicU32, u32);
atomic!(AtomicU64, u64);
