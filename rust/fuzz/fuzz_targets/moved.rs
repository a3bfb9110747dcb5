#![no_main]

#[path = "../bodies/moved/mod.rs"]
mod moved;

libfuzzer_sys::fuzz_target!(|data: &[u8]| moved::run(data));
