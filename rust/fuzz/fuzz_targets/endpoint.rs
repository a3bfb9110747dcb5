//! Any text: no panic, and an endpoint that parses prints as one that parses to the same.
#![no_main]

use busduct::link::{Endpoint, MAX_IPC_PATH_BYTES};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(endpoint) = Endpoint::parse(text) else {
        return;
    };
    assert_eq!(Endpoint::parse(&endpoint.to_string()).as_ref(), Ok(&endpoint));
    match endpoint {
        Endpoint::Ipc(path) => {
            let nbytes = path.as_os_str().len();
            assert!((1..=MAX_IPC_PATH_BYTES).contains(&nbytes));
        }
        Endpoint::Tcp { host, .. } => assert!(!host.is_empty()),
    }
});
