//! Endpoints as users write them: `ipc://PATH`, `tcp://HOST:PORT` and `inproc://NAME`.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

/// The longest path that a Unix socket address holds, less its final zero.
pub const MAX_IPC_PATH_BYTES: usize = 107;

/// The longest name within a context.
const MAX_INPROC_NAME_BYTES: usize = 255;

/// Where to listen or to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    Ipc(PathBuf),
    Tcp {
        host: String,
        port: u16,
    },
    /// A name within one context.
    Inproc(String),
}

/// A text that is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointError {
    Syntax { text: String, reason: &'static str },
    PathTooLong { nbytes: usize },
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { text, reason } => write!(f, "endpoint {text:?}: {reason}"),
            Self::PathTooLong { nbytes } => {
                write!(f, "ipc path of {nbytes} bytes exceeds limit of {MAX_IPC_PATH_BYTES} bytes")
            }
        }
    }
}

impl std::error::Error for EndpointError {}

impl Endpoint {
    /// Parse `text`.
    ///
    /// # Errors
    ///
    /// [`EndpointError`], with what is wrong.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let fail = |reason| Err(EndpointError::Syntax { text: text.into(), reason });
        if let Some(path) = text.strip_prefix("ipc://") {
            return match path.as_bytes() {
                [] => fail("the path is empty"),
                [b'@', ..] => fail("abstract names are not supported"),
                b"*" => fail("a wildcard path is not supported"),
                bytes if bytes.contains(&0) => fail("the path holds a zero byte"),
                bytes if bytes.len() > MAX_IPC_PATH_BYTES => {
                    Err(EndpointError::PathTooLong { nbytes: bytes.len() })
                }
                _ => Ok(Self::Ipc(path.into())),
            };
        }
        if let Some(name) = text.strip_prefix("inproc://") {
            return match name.len() {
                0 => fail("the name is empty"),
                1..=MAX_INPROC_NAME_BYTES if !name.contains('\0') => Ok(Self::Inproc(name.into())),
                1..=MAX_INPROC_NAME_BYTES => fail("the name holds a zero byte"),
                _ => fail("the name has more than 255 bytes"),
            };
        }
        let Some(address) = text.strip_prefix("tcp://") else {
            return fail("must start with ipc://, tcp:// or inproc://");
        };
        if address.contains('\0') {
            return fail("the host holds a zero byte");
        }
        let Some((host, port)) = address.rsplit_once(':') else {
            return fail("the port is missing");
        };
        // NB: parsing a number takes a sign as well.
        let digits = Some(port).filter(|port| !port.starts_with('+'));
        let Some(port) = digits.and_then(|digits| digits.parse().ok()) else {
            return fail("the port is not a number from 0 to 65535");
        };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let name = bare.unwrap_or(host);
        if name.is_empty() || name.contains(['[', ']']) || bare.is_some() != name.contains(':') {
            return fail("the host is missing, or an IPv6 address without brackets");
        }
        Ok(Self::Tcp { host: name.into(), port })
    }

    /// The socket addresses behind a TCP endpoint; looking up a name may block.
    ///
    /// # Errors
    ///
    /// As the system's resolver.
    pub fn resolve(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        if host == "*" {
            return Ok(vec![(Ipv4Addr::UNSPECIFIED, port).into()]);
        }
        Ok((host, port).to_socket_addrs()?.collect())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipc(path) => write!(f, "ipc://{}", path.display()),
            Self::Inproc(name) => write!(f, "inproc://{name}"),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_print_as_they_are_written() {
        for text in
            ["ipc:///tmp/a.ipc", "ipc://b", "inproc://a", "tcp://127.0.0.1:0", "tcp://[::1]:5555"]
        {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn texts_that_are_no_endpoint_are_refused() {
        let long = format!("ipc:///{}", "x".repeat(MAX_IPC_PATH_BYTES));
        for text in [
            "",
            "ipc://",
            "ipc://@x",
            "ipc://*",
            "ipc://a\0b",
            "inproc://",
            "inproc://a\0b",
            &format!("inproc://{}", "x".repeat(256)),
            &long,
            "tcp://",
            "tcp://h",
            "tcp://:1",
            "tcp://h:",
            "tcp://h:65536",
            "tcp://h\0:1",
            "tcp://h:+1",
            "tcp://[]:1",
            "tcp://[h]:1",
            "tcp://[[::1]]:1",
            "tcp://::1:80",
            "udp://h:1",
        ] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
        let border = format!("ipc:///{}", "x".repeat(MAX_IPC_PATH_BYTES - 1));
        assert!(Endpoint::parse(&border).is_ok());
    }
}
