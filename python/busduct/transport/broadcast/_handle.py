"""What a broadcast queue hands to its readers, so that they find it."""

import secrets
from typing import Final, Self

import msgspec

from busduct.errors import ConfigError

__all__ = ["MAX_READERS", "VERSION", "BroadcastHandle", "new_handle"]

VERSION: Final = 1
MAX_READERS: Final = 4096

_PREFIX: Final = "busduct-broadcast"
_TOKEN_NBYTES: Final = 8


class BroadcastHandle(msgspec.Struct, frozen=True):
    """Where a `BroadcastQueue` is, for its readers.

    A value of strings and integers: msgspec encodes it, and `str` makes it one word for
    an environment variable or a command line, which `parse` reads.

    Attributes:
        version: Of what writer and readers say to each other.
        num_readers: How many the queue has; ranks are below it.
        max_message_bytes: Of one item at most.
        token: Names the queue, in 16 hexadecimal digits: whoever listens at the
            endpoint by now may be another one.
        endpoint: Where the writer listens until all readers have joined.

    Raises:
        ConfigError: Another version, or not what a queue would hand out.
    """

    version: int
    num_readers: int
    max_message_bytes: int
    token: str
    endpoint: str

    def __post_init__(self) -> None:
        if self.version != VERSION:
            msg = f"handle is of version {self.version}; this side speaks {VERSION}"
            raise ConfigError(msg)
        if not 1 <= self.num_readers <= MAX_READERS or self.max_message_bytes < 1:
            msg = (
                f"handle says {self.num_readers} readers and "
                f"{self.max_message_bytes} bytes; no queue is so"
            )
            raise ConfigError(msg)
        if len(_to_bytes(self.token)) != _TOKEN_NBYTES:
            msg = f"token {self.token!r} is not {2 * _TOKEN_NBYTES} hexadecimal digits"
            raise ConfigError(msg)

    def __str__(self) -> str:
        return (
            f"{_PREFIX}:{self.version}:{self.num_readers}:{self.max_message_bytes}:"
            f"{self.token}:{self.endpoint}"
        )

    @property
    def token_bytes(self) -> bytes:
        """The token as it is on the wire."""
        return bytes.fromhex(self.token)

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Read what `str` made, or its bytes.

        Raises:
            ConfigError: It is nothing of that kind, or of another version.
        """
        if isinstance(text, bytes):
            text = text.decode(errors="replace")
        prefix, *fields = text.split(":", maxsplit=5)
        if prefix != _PREFIX or len(fields) != 5:
            msg = f"{text!r} is not the handle of a broadcast queue"
            raise ConfigError(msg)
        *numbers, token, endpoint = fields
        try:
            version, num_readers, max_message_bytes = map(int, numbers)
        except ValueError as error:
            msg = f"{text!r} is not the handle of a broadcast queue"
            raise ConfigError(msg) from error
        return cls(version, num_readers, max_message_bytes, token, endpoint)


def new_handle(
    num_readers: int, max_message_bytes: int, endpoint: str
) -> BroadcastHandle:
    """Make the handle of a queue that no other has.

    Raises:
        ConfigError: A number out of its range.
    """
    token = secrets.token_hex(_TOKEN_NBYTES)
    return BroadcastHandle(VERSION, num_readers, max_message_bytes, token, endpoint)


def _to_bytes(token: str) -> bytes:
    try:
        return bytes.fromhex(token)
    except ValueError:
        return b""
