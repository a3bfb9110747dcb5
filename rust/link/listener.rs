//! A listening socket, and the file of an ipc endpoint.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    getsockname, listen, socket_with, sockopt,
};
use rustix::process::{Pid, getpid};

use super::credentials::check_user;
use super::{Endpoint, KernelOptions, Stream};

const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// Why an endpoint cannot be listened at.
#[derive(Debug)]
pub enum BindError {
    /// Somebody alive listens there, or the path is no socket.
    InUse,
    /// Not a loopback address, and the caller did not ask for that.
    NotLoopback(SocketAddr),
    System(std::io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("endpoint is in use"),
            Self::NotLoopback(address) => {
                write!(
                    f,
                    "{address} is not a loopback address: give the context a key, or pass insecure=True"
                )
            }
            Self::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BindError {}

impl From<Errno> for BindError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ADDRINUSE => Self::InUse,
            other => Self::System(other.into()),
        }
    }
}

/// How to listen.
#[derive(Debug, Clone)]
pub struct ListenOptions {
    /// Permit addresses other than loopback.
    pub insecure: bool,
    /// Connections that the kernel holds until they are accepted.
    pub backlog: usize,
    /// Of each connection.
    pub kernel: KernelOptions,
}

impl ListenOptions {
    fn backlog(&self) -> i32 {
        self.backlog.try_into().unwrap_or(i32::MAX)
    }
}

/// Accepts peers until it is dropped; then its socket file goes, if it is still ours.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    endpoint: String,
    kernel: KernelOptions,
    file: Option<SocketFile>,
}

#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    owner: Pid,
}

impl Listener {
    /// Listen at `endpoint`.
    ///
    /// # Errors
    ///
    /// [`BindError`].
    pub fn bind(endpoint: &Endpoint, options: &ListenOptions) -> Result<Self, BindError> {
        match endpoint {
            Endpoint::Ipc(path) => Self::bind_ipc(path, options),
            Endpoint::Tcp { host, port } => Self::bind_tcp(host, *port, options),
            // A name has no descriptor: the context keeps it.
            Endpoint::Inproc(_) => Err(BindError::System(Errno::ADDRNOTAVAIL.into())),
        }
    }

    fn bind_tcp(host: &str, port: u16, options: &ListenOptions) -> Result<Self, BindError> {
        let mut last = BindError::System(Errno::ADDRNOTAVAIL.into());
        for address in Endpoint::resolve(host, port).map_err(BindError::System)? {
            if !options.insecure && !address.ip().is_loopback() {
                return Err(BindError::NotLoopback(address));
            }
            match listen_tcp(address, options) {
                Ok((fd, real)) => {
                    let endpoint = format!("tcp://{real}");
                    let kernel = options.kernel.clone();
                    return Ok(Self { fd, endpoint, kernel, file: None });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn bind_ipc(path: &Path, options: &ListenOptions) -> Result<Self, BindError> {
        // Two that find the same stale file must not both replace it: the second would
        // take the first one's place. The lock is on the directory, so no file is left.
        let _lock = lock_directory(path)?;
        match rustix::fs::lstat(path) {
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Socket => {
                return Err(BindError::InUse);
            }
            Ok(_) if is_stale(path)? => rustix::fs::unlink(path)?,
            Ok(_) => return Err(BindError::InUse),
        }
        let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
        // Before bind, so that the file never has another mode.
        rustix::fs::fchmod(&fd, Mode::RUSR | Mode::WUSR)?;
        bind(&fd, &SocketAddrUnix::new(path)?)?;
        let stat = rustix::fs::lstat(path)?;
        let file = SocketFile {
            path: std::path::absolute(path).map_err(BindError::System)?,
            device: stat.st_dev,
            inode: stat.st_ino,
            owner: getpid(),
        };
        let listener = Self {
            fd,
            endpoint: Endpoint::Ipc(path.into()).to_string(),
            kernel: options.kernel.clone(),
            file: Some(file),
        };
        listen(&listener.fd, options.backlog())?;
        Ok(listener)
    }

    /// The endpoint really bound.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Accept one connection; `None` if none waits. A peer of another user is refused:
    /// `Err(Errno::PERM)`.
    pub(crate) fn accept(&self) -> rustix::io::Result<Option<Stream>> {
        let fd = match accept_with(&self.fd, FLAGS) {
            Ok(fd) => fd,
            Err(Errno::AGAIN) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let is_unix = self.file.is_some();
        if is_unix {
            check_user(&fd)?;
        }
        Stream::accepted(fd, !is_unix, &self.kernel).map(Some)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let Ok(stat) = rustix::fs::lstat(&self.path) else {
            return;
        };
        let is_ours = (stat.st_dev, stat.st_ino) == (self.device, self.inode);
        if is_ours && self.owner == getpid() {
            // It may be gone already; nobody could be told in either case.
            let _ = rustix::fs::unlink(&self.path);
        }
    }
}

fn listen_tcp(
    address: SocketAddr,
    options: &ListenOptions,
) -> Result<(OwnedFd, SocketAddr), BindError> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = socket_with(family, SocketType::STREAM, FLAGS, None)?;
    sockopt::set_socket_reuseaddr(&fd, true)?;
    options.kernel.set_buffers(fd.as_fd(), true)?;
    bind(&fd, &address)?;
    listen(&fd, options.backlog())?;
    let real = SocketAddr::try_from(getsockname(&fd)?)?;
    Ok((fd, real))
}

fn lock_directory(path: &Path) -> Result<OwnedFd, BindError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(parent, flags, Mode::empty())?;
    rustix::fs::flock(&directory, FlockOperation::LockExclusive)?;
    Ok(directory)
}

/// Whether nobody listens behind the socket file any more.
fn is_stale(path: &Path) -> Result<bool, BindError> {
    let probe = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
    match connect(&probe, &SocketAddrUnix::new(path)?) {
        Err(Errno::CONNREFUSED) => Ok(true),
        Ok(()) | Err(Errno::AGAIN) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}
