"""What a publisher is called in the directory: when it began, and random bytes."""

import secrets
import time

from busduct.fmq._wire import ID_BYTES

__all__ = ["began_after", "new_publisher_id"]

_TIME_BYTES = 8


def new_publisher_id() -> bytes:
    """Return the id of a publisher that begins at this moment."""
    began = time.time_ns().to_bytes(_TIME_BYTES, "big")
    return began + secrets.token_bytes(ID_BYTES - _TIME_BYTES)


def began_after(publisher_id: bytes, moment_ns: int) -> bool:
    """Tell whether a publisher began after a moment, by the clocks of both machines."""
    return int.from_bytes(publisher_id[:_TIME_BYTES], "big") >= moment_ns
