//! Every ordering but Relaxed is needed: with one of them weakened, some model fails.

use std::env;
use std::process::{Command, Stdio};

use crate::sync::atomic::WEAKEN;

const SOURCES: [(&str, &str); 3] = [
    ("rust/sync/held.rs", include_str!("../../../rust/sync/held.rs")),
    ("rust/sync/ring.rs", include_str!("../../../rust/sync/ring.rs")),
    ("rust/sync/words.rs", include_str!("../../../rust/sync/words.rs")),
];
/// In each of these, one side sleeps.
const SLEEPERS: [&str; 3] = [
    "sleep::reader_that_sleeps_is_woken",
    "sleep::writer_that_sleeps_is_woken",
    "slot::owner_is_woken_by_whoever_gives_the_slot_back",
];
const STRONG: [&str; 4] =
    ["Ordering::Acquire", "Ordering::Release", "Ordering::AcqRel", "Ordering::SeqCst"];

/// Where a strong ordering stands, as `FILE:LINE`.
fn strong_orderings() -> Vec<String> {
    let lines = SOURCES
        .iter()
        .flat_map(|(file, text)| text.lines().enumerate().map(move |line| (file, line)));
    lines
        .filter(|(_, (_, line))| STRONG.iter().any(|ordering| line.contains(ordering)))
        .map(|(file, (index, _))| format!("{file}:{}", index + 1))
        .collect()
}

/// Run the models that `choice` names with the ordering at `place` weakened.
///
/// In a process of its own: loom aborts when a model fails in certain states.
fn models_pass(place: &str, choice: [&str; 2]) -> bool {
    let mut models = Command::new(env::current_exe().unwrap());
    models.args(choice).env(WEAKEN, place);
    models.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

#[test]
fn each_ordering_is_needed() {
    let all = ["--skip", "mutations::"];
    assert!(models_pass("none:0", all));
    let places = strong_orderings();
    assert_eq!(places.len(), 8);
    let unneeded: Vec<_> = places.iter().filter(|place| models_pass(place, all)).collect();
    assert!(unneeded.is_empty(), "no model fails when weakened: {unneeded:?}");
}

#[test]
fn each_sleeper_needs_both_fences() {
    let places = strong_orderings().into_iter().filter(|place| place.contains("words.rs"));
    for place in places {
        for model in SLEEPERS {
            assert!(!models_pass(&place, ["--exact", model]), "{model} passes without {place}");
        }
    }
}
