//! The BUSDUCT mechanism: both sides prove that they know the same key (docs/wire.md,
//! "Keys").
//!
//! Pure steps on bytes: the nonce is handed in, so that a handshake can be repeated byte
//! by byte in a test.

use std::fmt;

use blake2b_simd::Params;

use super::{Command, Error, GREETING_BYTES, Mechanism, Opener, Sealer, parse_header};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes that each side draws anew for each connection.
pub const NONCE_BYTES: usize = 32;

const VERSION: u8 = 1;
const PROOF_BYTES: usize = 32;
/// The longest body: an ERROR with a reason of 255 bytes.
const MAX_BODY_BYTES: u64 = 262;
const HELLO: &[u8] = b"\x05HELLO";
const WELCOME: &[u8] = b"\x07WELCOME";
const INITIATE: &[u8] = b"\x08INITIATE";

/// A secret that both ends of a connection know.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; KEY_BYTES]);

impl Key {
    /// Take a secret; it should be random.
    #[must_use]
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Which end of the connection a side is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It connected.
    Client,
    /// It bound.
    Server,
}

/// What a digest under the key is good for. One made for one purpose, or by one side,
/// never passes for another, so that nothing can be sent back to whom it came from.
#[derive(Clone, Copy)]
enum Label {
    Proof(Role),
    Records(Role),
}

impl Label {
    fn bytes(self) -> &'static [u8; 16] {
        match self {
            Self::Proof(Role::Client) => b"busduct client 1",
            Self::Proof(Role::Server) => b"busduct server 1",
            Self::Records(Role::Client) => b"busduct c-seal 1",
            Self::Records(Role::Server) => b"busduct s-seal 1",
        }
    }
}

/// The state of one handshake.
pub struct Handshake {
    key: Key,
    role: Role,
    nonce: [u8; NONCE_BYTES],
    /// What both sides have said that matters: the client's greeting, the server's, the
    /// version, the client's nonce, the server's.
    transcript: Vec<u8>,
    /// The command under way.
    command: Vec<u8>,
    /// Where it starts in the peer's stream.
    offset: u64,
}

impl Handshake {
    /// Prepare to prove knowledge of `key`. The `nonce` must never have been used before.
    #[must_use]
    pub fn new(key: Key, role: Role, nonce: [u8; NONCE_BYTES]) -> Self {
        let offset = GREETING_BYTES as u64;
        Self { key, role, nonce, transcript: Vec::new(), command: Vec::new(), offset }
    }

    /// What to greet with, and what to want of the peer's greeting.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        Mechanism::Busduct(self.role)
    }

    /// Go on once the peer's greeting is whole and was checked; append to `out` what is to
    /// be sent.
    pub fn begin(&mut self, peer_greeting: &[u8], out: &mut Vec<u8>) {
        let ours = self.mechanism().greeting();
        match self.role {
            Role::Client => {
                self.transcript.extend_from_slice(&ours);
                self.transcript.extend_from_slice(peer_greeting);
                push_command(out, HELLO, &[&[VERSION], &self.nonce]);
            }
            Role::Server => {
                self.transcript.extend_from_slice(peer_greeting);
                self.transcript.extend_from_slice(&ours);
            }
        }
    }

    /// Take the peer's commands off the front of `input`, and append the answers to `out`.
    ///
    /// Once the peer has proven itself it returns what seals our records and what opens
    /// the peer's. What is left of `input` is records then.
    ///
    /// # Errors
    ///
    /// [`Error::WrongKey`] if the peer does not know the key, another one if it says anything
    /// but what the handshake wants.
    pub fn feed(
        &mut self,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<(Sealer, Opener)>, Error> {
        while let Some((body, framed)) = self.take_command(input)? {
            let proven = match self.role {
                Role::Server if self.is_begun() => self.on_initiate(&body)?,
                Role::Server => self.on_hello(&body, out)?,
                Role::Client => self.on_welcome(&body, out)?,
            };
            if proven {
                return Ok(Some(self.channel()));
            }
            self.offset += framed as u64;
        }
        Ok(None)
    }

    /// Whether both nonces are known.
    fn is_begun(&self) -> bool {
        self.transcript.len() > 2 * GREETING_BYTES
    }

    fn on_hello(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<bool, Error> {
        let (version, nonce) = self.data(body, HELLO, 1 + NONCE_BYTES)?.split_at(1);
        if version != [VERSION] {
            return Err(Error::refused(format!(
                "peer speaks version {} of BUSDUCT; this side speaks {VERSION}",
                version[0]
            )));
        }
        self.agree(nonce, &self.nonce.clone());
        push_command(out, WELCOME, &[&self.nonce, self.proof(Role::Server).as_bytes()]);
        Ok(false)
    }

    fn on_welcome(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<bool, Error> {
        let data = self.data(body, WELCOME, NONCE_BYTES + PROOF_BYTES)?;
        let (nonce, proof) = data.split_at(NONCE_BYTES);
        self.agree(&self.nonce.clone(), nonce);
        self.check(Role::Server, proof)?;
        push_command(out, INITIATE, &[self.proof(Role::Client).as_bytes()]);
        Ok(true)
    }

    fn on_initiate(&self, body: &[u8]) -> Result<bool, Error> {
        let proof = self.data(body, INITIATE, PROOF_BYTES)?;
        self.check(Role::Client, proof)?;
        Ok(true)
    }

    fn agree(&mut self, client: &[u8], server: &[u8]) {
        self.transcript.push(VERSION);
        self.transcript.extend_from_slice(client);
        self.transcript.extend_from_slice(server);
    }

    /// Compare a proof with the one that `role` gives if it knows the key.
    fn check(&self, role: Role, proof: &[u8]) -> Result<(), Error> {
        // NB: the comparison takes the same time wherever the two differ.
        if self.proof(role) == *proof {
            return Ok(());
        }
        Err(Error::WrongKey)
    }

    fn proof(&self, role: Role) -> blake2b_simd::Hash {
        self.digest(Label::Proof(role))
    }

    fn digest(&self, label: Label) -> blake2b_simd::Hash {
        let mut params = Params::new();
        params.hash_length(PROOF_BYTES).key(&self.key.0).personal(label.bytes());
        params.hash(&self.transcript)
    }

    fn channel(&self) -> (Sealer, Opener) {
        let key = |role| {
            let mut key = [0; 32];
            key.copy_from_slice(self.digest(Label::Records(role)).as_bytes());
            key
        };
        let (client, server) = (key(Role::Client), key(Role::Server));
        match self.role {
            Role::Client => (Sealer::new(&client), Opener::new(&server)),
            Role::Server => (Sealer::new(&server), Opener::new(&client)),
        }
    }

    /// Return the body of the next command and the bytes of its frame, or `None` if it is
    /// not whole.
    fn take_command(&mut self, input: &mut &[u8]) -> Result<Option<(Vec<u8>, usize)>, Error> {
        loop {
            let header = parse_header(&self.command).map_err(|reason| self.malformed(reason))?;
            let wanted = match header {
                None => self.command.len() + 1,
                Some(header) if !header.command => {
                    return Err(self.malformed("message amid the handshake"));
                }
                Some(header) if header.nbytes > MAX_BODY_BYTES => {
                    let (size, limit) = (header.nbytes, MAX_BODY_BYTES);
                    return Err(Error::TooLarge { size, limit, unit: "bytes" });
                }
                Some(header) => header.header_nbytes + header.nbytes as usize,
            };
            if let Some(header) = header
                && self.command.len() == wanted
            {
                let mut body = std::mem::take(&mut self.command);
                body.drain(..header.header_nbytes);
                return self.hear(body).map(|body| Some((body, wanted)));
            }
            let (taken, rest) = input.split_at(input.len().min(wanted - self.command.len()));
            if taken.is_empty() {
                return Ok(None);
            }
            self.command.extend_from_slice(taken);
            *input = rest;
        }
    }

    /// Let a command pass that is no ERROR.
    fn hear(&self, body: Vec<u8>) -> Result<Vec<u8>, Error> {
        if let Command::Error(reason) = Command::parse(&body, self.offset)? {
            let reason = String::from_utf8_lossy(reason);
            return Err(Error::refused(format!("peer refused: {}", reason.escape_debug())));
        }
        Ok(body)
    }

    fn data<'a>(&self, body: &'a [u8], name: &[u8], nbytes: usize) -> Result<&'a [u8], Error> {
        let data = body.strip_prefix(name);
        data.filter(|data| data.len() == nbytes)
            .ok_or_else(|| self.malformed("not the command that the handshake wants"))
    }

    fn malformed(&self, reason: &'static str) -> Error {
        Error::malformed(self.offset, reason)
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("role", &self.role).finish_non_exhaustive()
    }
}

fn push_command(out: &mut Vec<u8>, name: &[u8], fields: &[&[u8]]) {
    let nbytes = name.len() + fields.iter().map(|field| field.len()).sum::<usize>();
    super::encode_header(out, nbytes, false, true);
    out.extend_from_slice(name);
    for field in fields {
        out.extend_from_slice(field);
    }
}

#[cfg(test)]
mod tests;
