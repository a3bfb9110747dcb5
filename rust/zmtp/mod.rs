//! ZMTP 3.1 as pure functions on bytes; no I/O. See <https://rfc.zeromq.org/spec/37/>.
#![forbid(unsafe_code)]

mod auth;
mod capability;
mod command;
mod error;
mod frame;
mod greeting;
mod open;
mod seal;
mod socket_type;

pub use auth::{Handshake, KEY_BYTES, Key, NONCE_BYTES, Role};
pub use capability::{Capability, Sharing, encode_sharing};
pub use command::{
    Command, MAX_COMMAND_BYTES, Ready, encode_error, encode_ping, encode_pong, encode_ready,
    encode_subscription,
};
pub use error::Error;
pub use frame::{Header, MAX_HEADER_BYTES, encode_header, header_len, parse_header};
pub use greeting::{GREETING_BYTES, Mechanism, encode_greeting};
pub use open::Opener;
pub use seal::{MAC_BYTES, MAX_RECORD_BYTES, MAX_SEAL_BYTES, Sealer};
pub use socket_type::SocketType;
