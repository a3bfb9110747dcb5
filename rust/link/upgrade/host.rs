//! Where this process runs, as it tells peers that might share memory with it.

use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use crate::zmtp::Capability;

/// What READY tells of this host; `None` where the system does not say.
pub(crate) fn this_host() -> Option<Capability> {
    static HERE: OnceLock<Option<Capability>> = OnceLock::new();
    *HERE.get_or_init(look)
}

fn look() -> Option<Capability> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let boot_id = u128::from_str_radix(&digits, 16).ok()?.to_be_bytes();
    let pid_namespace = std::fs::metadata("/proc/self/ns/pid").ok()?.ino();
    Some(Capability { boot_id, pid_namespace })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_known() {
        let here = this_host().unwrap();
        assert_ne!(here.boot_id, [0; 16]);
        assert_ne!(here.pid_namespace, 0);
    }
}
