"""How large a message may be that is to be sent."""

from busduct._fallback._options import SocketOptions
from busduct.errors import FrameTooLargeError

__all__ = ["check_size"]


def check_size(options: SocketOptions, message: list[bytes]) -> None:
    """Check a message as it goes over the wire, its envelope included.

    Raises:
        FrameTooLargeError: Too many parts, or too many bytes.
    """
    if len(message) > options.max_parts:
        raise FrameTooLargeError(len(message), options.max_parts, "parts")
    nbytes = sum(map(len, message))
    if nbytes > options.max_message_bytes:
        raise FrameTooLargeError(nbytes, options.max_message_bytes)
