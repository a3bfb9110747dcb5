#![no_main]

#[path = "../bodies/auth.rs"]
mod auth;

libfuzzer_sys::fuzz_target!(|data: &[u8]| auth::run(data));
