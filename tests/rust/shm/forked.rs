//! A child that was forked while a payload was leased.
#![allow(unsafe_code)]

use std::os::unix::process::CommandExt;
use std::process::Command;

use super::support::{Ends, pattern};

#[test]
fn a_forked_child_gives_nothing_back() {
    let mut ends = Ends::new(1 << 20);
    let slot = ends.fill(1, 100);
    ends.introduce(&slot);
    let descriptor = slot.descriptor();
    ends.lender.lend(slot).unwrap();
    let mut lease = Some(ends.borrower.take(descriptor).unwrap());
    let first = pattern(1, 1)[0];
    let mut command = Command::new("true");
    // SAFETY: the closure allocates nothing and takes no lock: it compares, and drops a lease,
    // of which others are left in the parent.
    unsafe {
        command.pre_exec(move || {
            let is_intact = lease.as_ref().is_some_and(|lease| lease.as_ref()[0] == first);
            drop(lease.take());
            if is_intact { Ok(()) } else { Err(std::io::ErrorKind::InvalidData.into()) }
        });
    }
    assert!(command.status().unwrap().success());
    assert_eq!(ends.lender.sweep(), 0, "the child gave the slot back");
    drop(command);
    assert_eq!(ends.lender.sweep(), 1);
}
