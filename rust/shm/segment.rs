//! Segments: memory that one process makes and seals, and another checks and maps.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, fcntl_get_seals, fstat,
    fstatfs, memfd_create,
};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::{Layout, Map, OpenError, memory};

const NAME: &str = "busduct";
/// `TMPFS_MAGIC` of `statfs(2)`. Files of huge pages can be sealed too, but reading one may
/// raise SIGBUS.
const TMPFS_MAGIC: u64 = 0x0102_1994;
/// What `st_blocks` counts in.
const BLOCK_BYTES: u64 = 512;
/// Allocated at a time: a signal interrupts the call and undoes what that call did.
const STEP_BYTES: u64 = 64 << 20;

/// What the process that a segment is handed to may do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerAccess {
    ReadWrite,
    ReadOnly,
}

/// Make a segment with memory for all of it, which nobody can resize any more.
///
/// Its bytes are 0. The map is writable; the descriptor is for handing over.
///
/// # Errors
///
/// ENOMEM or ENOSPC without memory, EMFILE or ENFILE without descriptors, EFBIG over
/// RLIMIT_FSIZE, EINVAL for no bytes, for a doubled layout of what is not whole pages, and
/// from a kernel before Linux 5.1.
pub fn create(nbytes: usize, access: PeerAccess, layout: Layout) -> Result<(Map, OwnedFd), Errno> {
    let fd = new_memfd()?;
    allocate(fd.as_fd(), nbytes as u64)?;
    let map = Map::new(fd.as_fd(), nbytes, true, layout)?;
    let mut seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    if access == PeerAccess::ReadOnly {
        // Maps that are writable already stay so.
        seals |= SealFlags::FUTURE_WRITE;
    }
    fcntl_add_seals(&fd, seals)?;
    Ok((map, fd))
}

fn new_memfd() -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create(NAME, flags | MemfdFlags::NOEXEC_SEAL) {
        // Before Linux 6.3; since then `vm.memfd_noexec` may demand the flag.
        Err(Errno::INVAL) => memfd_create(NAME, flags),
        created => created,
    }
}

/// Give `fd` its length and its memory, so that the lack of it is an error here, and later
/// neither SIGBUS nor the end of a process that has done nothing.
fn allocate(fd: BorrowedFd<'_>, nbytes: u64) -> Result<(), Errno> {
    // Beyond this limit the kernel also raises SIGXFSZ, which ends a process by default.
    if getrlimit(Resource::Fsize).current.is_some_and(|limit| nbytes > limit) {
        return Err(Errno::FBIG);
    }
    if nbytes == 0 {
        return Err(Errno::INVAL);
    }
    if !memory::has_room(nbytes) {
        return Err(Errno::NOMEM);
    }
    let mut done = 0;
    while done < nbytes {
        let step = STEP_BYTES.min(nbytes - done);
        match fallocate(fd, FallocateFlags::empty(), done, step) {
            Ok(()) => done += step,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Map what a peer handed over, if it can neither shrink nor, where it is only to be read, be
/// changed by others than its maker.
///
/// # Errors
///
/// What is wrong with it, or what the system refuses. The descriptor is closed either way.
pub fn open(fd: OwnedFd, nbytes: usize, writable: bool, layout: Layout) -> Result<Map, OpenError> {
    check(fd.as_fd(), nbytes as u64, writable)?;
    Ok(Map::new(fd.as_fd(), nbytes, writable, layout)?)
}

fn check(fd: BorrowedFd<'_>, expected: u64, writable: bool) -> Result<(), OpenError> {
    let seals = fcntl_get_seals(fd).map_err(|_| OpenError::NotMemfd)?;
    if fstatfs(fd)?.f_type as u64 != TMPFS_MAGIC {
        return Err(OpenError::NotMemfd);
    }
    let mut wanted = SealFlags::SHRINK | SealFlags::GROW;
    if !writable {
        // Without it holes could be punched, and a page that cannot be found again is SIGBUS.
        wanted |= SealFlags::FUTURE_WRITE;
    }
    if !seals.contains(wanted) {
        return Err(OpenError::NotSealed);
    }
    let status = fstat(fd)?;
    let nbytes = status.st_size as u64;
    if nbytes != expected {
        return Err(OpenError::WrongSize { nbytes, expected });
    }
    let allocated = (status.st_blocks as u64).saturating_mul(BLOCK_BYTES);
    if allocated < nbytes {
        return Err(OpenError::Sparse { nbytes, allocated });
    }
    Ok(())
}
