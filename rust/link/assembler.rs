//! From a peer's byte stream to messages and commands, limits checked first.

use super::{Buffer, Filling, Message};
use crate::zmtp::{Error, Header, MAX_COMMAND_BYTES, MAX_HEADER_BYTES, parse_header};

/// What one message may be at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Payload bytes of all its parts.
    pub max_message_bytes: u64,
    pub max_parts: usize,
}

/// By what a message is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Excess {
    pub(crate) size: u64,
    pub(crate) limit: u64,
    pub(crate) unit: &'static str,
}

impl Limits {
    /// Whether a message, or as much of it as is known, keeps to them.
    #[inline]
    pub(crate) fn check(&self, nbytes: u64, num_parts: usize) -> Result<(), Excess> {
        let (size, limit, unit) = if nbytes > self.max_message_bytes {
            (nbytes, self.max_message_bytes, "bytes")
        } else if num_parts > self.max_parts {
            (num_parts as u64, self.max_parts as u64, "parts")
        } else {
            return Ok(());
        };
        Err(Excess { size, limit, unit })
    }
}

impl From<Excess> for Error {
    fn from(Excess { size, limit, unit }: Excess) -> Self {
        Self::TooLarge { size, limit, unit }
    }
}

/// What a stream of frames consists of.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<B> {
    Message(Message<B>),
    /// The body of a command.
    Command(Vec<u8>),
}

enum Body<B: Buffer> {
    Part { filling: B::Filling, more: bool },
    Command { filling: <Vec<u8> as Buffer>::Filling },
}

/// Puts frames together, wherever the reads happen to cut them.
pub struct Assembler<B: Buffer> {
    limits: Limits,
    /// Position in the peer's stream, for error messages.
    offset: u64,
    /// The start of a header that was cut by the end of a read.
    header: [u8; MAX_HEADER_BYTES],
    header_nbytes: usize,
    body: Option<Body<B>>,
    parts: Vec<B>,
    message_nbytes: u64,
}

impl<B: Buffer> Assembler<B> {
    /// Start at `offset` of the peer's stream.
    #[must_use]
    pub fn new(limits: Limits, offset: u64) -> Self {
        Self {
            limits,
            offset,
            header: [0; MAX_HEADER_BYTES],
            header_nbytes: 0,
            body: None,
            parts: Vec::new(),
            message_nbytes: 0,
        }
    }

    /// Position in the peer's stream.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether a message has begun and not ended.
    #[must_use]
    pub fn is_amid_message(&self) -> bool {
        self.header_nbytes > 0 || self.body.is_some() || !self.parts.is_empty()
    }

    /// The frame being received, if so much of it is missing that it is worth reading
    /// straight into its buffer.
    pub fn large_part(&mut self, threshold: usize) -> Option<&mut B::Filling> {
        match &mut self.body {
            Some(Body::Part { filling, .. }) if filling.missing() >= threshold => Some(filling),
            _ => None,
        }
    }

    /// Count bytes that were read by way of [`Self::large_part`].
    pub fn advance(&mut self, nbytes: usize) {
        self.offset += nbytes as u64;
    }

    /// Take the next item off the front of `input`; `None` once it is used up.
    ///
    /// # Errors
    ///
    /// What is wrong with the stream; nothing more can be read from it.
    #[inline]
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Item<B>>, Error> {
        loop {
            if self.body.is_some() {
                match self.fill_body(input) {
                    Some(Body::Command { filling }) => {
                        return Ok(Some(Item::Command(filling.finish())));
                    }
                    Some(Body::Part { filling, more }) => {
                        if let Some(message) = self.end_part(filling.finish(), more) {
                            return Ok(Some(Item::Message(message)));
                        }
                    }
                    None => return Ok(None),
                }
                continue;
            }
            let Some(header) = self.take_header(input)? else {
                return Ok(None);
            };
            self.check(&header)?;
            // Checked against the limits, which are sizes of this machine.
            let nbytes = header.nbytes as usize;
            match input.split_at_checked(nbytes) {
                Some((payload, rest)) if !header.command => {
                    let part = B::copy_from(payload).map_err(|_| out_of_memory(&header))?;
                    *input = rest;
                    self.offset += header.nbytes;
                    if let Some(message) = self.end_part(part, header.more) {
                        return Ok(Some(Item::Message(message)));
                    }
                }
                _ => self.body = Some(Self::start_body(&header)?),
            }
        }
    }

    fn start_body(header: &Header) -> Result<Body<B>, Error> {
        let nbytes = header.nbytes as usize;
        if header.command {
            return <Vec<u8> as Buffer>::reserve(nbytes)
                .map(|filling| Body::Command { filling })
                .map_err(|_| out_of_memory(header));
        }
        B::reserve(nbytes)
            .map(|filling| Body::Part { filling, more: header.more })
            .map_err(|_| out_of_memory(header))
    }

    /// Fill the body under way; give it back once it is whole.
    fn fill_body(&mut self, input: &mut &[u8]) -> Option<Body<B>> {
        let (taken, missing) = match self.body.as_mut()? {
            Body::Part { filling, .. } => (filling.extend(input), filling.missing()),
            Body::Command { filling } => (filling.extend(input), filling.missing()),
        };
        *input = &input[taken..];
        self.offset += taken as u64;
        if missing == 0 { self.body.take() } else { None }
    }

    fn end_part(&mut self, part: B, more: bool) -> Option<Message<B>> {
        if !more && self.parts.is_empty() {
            self.message_nbytes = 0;
            return Some(Message::Single(part));
        }
        self.parts.push(part);
        if more {
            return None;
        }
        self.message_nbytes = 0;
        Message::from_parts(std::mem::take(&mut self.parts))
    }

    #[inline]
    fn take_header(&mut self, input: &mut &[u8]) -> Result<Option<Header>, Error> {
        if self.header_nbytes == 0 {
            if let Some(header) = self.parse(input)? {
                *input = &input[header.header_nbytes..];
                self.offset += header.header_nbytes as u64;
                return Ok(Some(header));
            }
            self.header[..input.len()].copy_from_slice(input);
            self.header_nbytes = input.len();
            *input = &[];
            return Ok(None);
        }
        self.take_cut_header(input)
    }

    fn take_cut_header(&mut self, input: &mut &[u8]) -> Result<Option<Header>, Error> {
        while let Some((&byte, rest)) = input.split_first() {
            self.header[self.header_nbytes] = byte;
            self.header_nbytes += 1;
            *input = rest;
            if let Some(header) = self.parse(&self.header[..self.header_nbytes])? {
                self.offset += self.header_nbytes as u64;
                self.header_nbytes = 0;
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    #[inline]
    fn parse(&self, bytes: &[u8]) -> Result<Option<Header>, Error> {
        parse_header(bytes).map_err(|reason| Error::malformed(self.offset, reason))
    }

    #[inline]
    fn check(&mut self, header: &Header) -> Result<(), Error> {
        if header.command {
            return check_command(header);
        }
        let nbytes = self.message_nbytes.saturating_add(header.nbytes);
        let num_parts = self.parts.len() + 1 + usize::from(header.more);
        self.limits.check(nbytes, num_parts)?;
        self.message_nbytes = nbytes;
        Ok(())
    }
}

/// A command may stand between the parts of a message: libzmq puts its PINGs there.
fn check_command(header: &Header) -> Result<(), Error> {
    if header.nbytes > MAX_COMMAND_BYTES {
        let (size, limit) = (header.nbytes, MAX_COMMAND_BYTES);
        return Err(Error::TooLarge { size, limit, unit: "bytes" });
    }
    Ok(())
}

fn out_of_memory(header: &Header) -> Error {
    Error::OutOfMemory { size: header.nbytes }
}
