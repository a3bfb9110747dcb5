//! Every ordering but Relaxed is needed: with one of them weakened, some model fails.

use std::collections::BTreeSet;
use std::env;
use std::process::{Command, Stdio};

use busduct_loom::sync::atomic::WEAKEN;

/// Files, and the models that must fail.
const SOURCES: [(&str, &str, &str); 5] = [
    ("rust/shm/free_list.rs", include_str!("../../../rust/shm/free_list.rs"), "free_slots::"),
    ("rust/shm/holds.rs", include_str!("../../../rust/shm/holds.rs"), "holds::"),
    ("rust/sync/held.rs", include_str!("../../../rust/sync/held.rs"), "slot::"),
    ("rust/sync/ring.rs", include_str!("../../../rust/sync/ring.rs"), "ring::"),
    (WORDS, WORDS_TEXT, "sleep::"),
];
const WORDS: &str = "rust/sync/words.rs";
const WORDS_TEXT: &str = include_str!("../../../rust/sync/words.rs");
/// In each of these, one side sleeps.
const SLEEPERS: [&str; 3] = [
    "sleep::reader_that_sleeps_is_woken",
    "sleep::writer_that_sleeps_is_woken",
    "slot::owner_is_woken_by_whoever_gives_the_slot_back",
];
const STRONG: [&str; 4] =
    ["Ordering::Acquire", "Ordering::Release", "Ordering::AcqRel", "Ordering::SeqCst"];

const OPERATIONS: [&str; 6] =
    ["fence(", "load(", "store(", "swap(", "fetch_sub(", "compare_exchange_weak("];

fn has_any(line: &str, words: &[&str]) -> bool {
    words.iter().any(|word| line.contains(word))
}

/// The operations of a file with a strong ordering, as `FILE:LINE`.
fn strong_operations(file: &str, text: &str) -> BTreeSet<String> {
    let mut places = BTreeSet::new();
    let mut operation = 0;
    for (index, line) in text.lines().enumerate() {
        if has_any(line, &OPERATIONS) {
            operation = index + 1;
        }
        if has_any(line, &STRONG) {
            places.insert(format!("{file}:{operation}"));
        }
    }
    places
}

/// Run the models that `choice` names with the operation at `place` weakened.
///
/// In a process of its own: loom aborts when a model fails in certain states.
fn models_pass(place: &str, choice: &[&str]) -> bool {
    let mut models = Command::new(env::current_exe().unwrap());
    models.args(choice).env(WEAKEN, place);
    models.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

#[test]
fn each_ordering_is_needed() {
    let mut num_places = 0;
    for (file, text, models) in SOURCES {
        assert!(models_pass("none:0", &[models]));
        for place in strong_operations(file, text) {
            assert!(!models_pass(&place, &[models]), "{models} passes with {place} weakened");
            num_places += 1;
        }
    }
    assert_eq!(num_places, 15);
}

#[test]
fn each_sleeper_needs_both_fences() {
    for place in strong_operations(WORDS, WORDS_TEXT) {
        for model in SLEEPERS {
            assert!(!models_pass(&place, &["--exact", model]), "{model} passes without {place}");
        }
    }
}
