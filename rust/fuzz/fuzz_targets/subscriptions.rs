#![no_main]

#[path = "../bodies/subscriptions.rs"]
mod subscriptions;

libfuzzer_sys::fuzz_target!(|data: &[u8]| subscriptions::run(data));
