//! ZMTP 3.1 as pure functions on bytes; no I/O. See <https://rfc.zeromq.org/spec/37/>.
#![forbid(unsafe_code)]

mod command;
mod error;
mod frame;
mod greeting;
mod socket_type;

pub use command::{Command, MAX_COMMAND_BYTES, Ready, encode_error, encode_pong, encode_ready};
pub use error::Error;
pub use frame::{Header, MAX_HEADER_BYTES, encode_header, header_len, parse_header};
pub use greeting::{GREETING_BYTES, check_greeting, encode_greeting};
pub use socket_type::SocketType;
