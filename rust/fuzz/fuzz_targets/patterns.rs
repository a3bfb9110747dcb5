#![no_main]

#[path = "../bodies/patterns/mod.rs"]
mod patterns;

libfuzzer_sys::fuzz_target!(|data: &[u8]| patterns::run(data));
