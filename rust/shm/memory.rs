//! How much memory the system can still give.
//!
//! Shared memory counts for no process, so the kernel would rather kill one of them than
//! refuse it: it has to be asked before.

use std::fs::read_to_string;
use std::path::Path;

const CGROUPS: &str = "/sys/fs/cgroup";
/// The part of what is available that is left to others, as a power of two.
const SPARED_SHIFT: u32 = 4;

/// Whether `nbytes` can be had without driving anybody out; true where it cannot be known.
pub(super) fn has_room(nbytes: u64) -> bool {
    let available = [system(), control_group()].into_iter().flatten().min();
    available.is_none_or(|available| fits(nbytes, available))
}

fn fits(nbytes: u64, available: u64) -> bool {
    nbytes <= available - (available >> SPARED_SHIFT)
}

/// What the machine has left.
fn system() -> Option<u64> {
    const KIB: u64 = 1024;
    field(&read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?.checked_mul(KIB)
}

/// What the control group (version 2) of this process has left, or one around it.
fn control_group() -> Option<u64> {
    let groups = read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let own = Path::new(CGROUPS).join(path);
    own.ancestors().take_while(|group| group.starts_with(CGROUPS)).filter_map(left_in).min()
}

fn left_in(group: &Path) -> Option<u64> {
    let read = |name| read_to_string(group.join(name)).ok();
    // A group without a limit says "max".
    let limit = read("memory.max")?.trim().parse().ok()?;
    let used = read("memory.current")?.trim().parse().ok()?;
    Some(left(limit, used, &read("memory.stat")?))
}

/// What is left of `limit`, where the files that are only cached would give way.
fn left(limit: u64, used: u64, stat: &str) -> u64 {
    let cached = ["inactive_file", "active_file"].map(|name| field(stat, name).unwrap_or(0));
    let used = used.saturating_sub(cached[0].saturating_add(cached[1]));
    limit.saturating_sub(used)
}

/// The number behind `name` on a line of its own.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next()? == name).then(|| words.next()?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "MemTotal: 24 kB\nMemAvailableX: 1 kB\nMemAvailable:   7 kB\nNone\n";
        assert_eq!(field(text, "MemAvailable:"), Some(7));
        assert_eq!(field(text, "None"), None);
        assert_eq!(field(text, "Mem"), None);
    }

    #[test]
    fn cached_files_give_way() {
        let stat = "anon 10\nfile 50\ninactive_file 20\nactive_file 5\n";
        assert_eq!(left(100, 90, stat), 35);
        assert_eq!(left(100, 200, stat), 0);
        assert_eq!(left(100, 10, stat), 100);
    }

    #[test]
    fn some_is_left_to_others() {
        assert!(fits(15, 16) && fits(0, 0));
        assert!(!fits(16, 16));
    }

    #[test]
    fn no_machine_has_room_for_everything() {
        assert!(has_room(4096));
        assert!(!has_room(u64::MAX));
    }
}
