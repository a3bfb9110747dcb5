//! Any text: no panic, and an endpoint that parses prints as one that parses to the same.

use busduct::link::{Endpoint, MAX_IPC_PATH_BYTES};

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
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
        Endpoint::Inproc(name) => {
            assert!((1..=255).contains(&name.len()) && !name.contains('\0'));
        }
    }
}
