"""What a producer says."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from busduct.errors import MalformedFrameError, RemoteProtocolError
from busduct.fmq._wire._control import GOODBYE, HELLO, Goodbye, Hello, parse_hello
from busduct.fmq._wire._messages import (
    DATA,
    HEADER_BYTES,
    INLINE_BYTES,
    Data,
    parse_data,
    unpack_header,
)
from busduct.fmq._wire._runs import RUN, Run, parse_run

__all__ = ["parse_from_producer"]

_Said: TypeAlias = Hello | Data | Run | Goodbye


def parse_from_producer(parts: Sequence[Any]) -> _Said:
    """Return what a producer said.

    Args:
        parts: Leases or bytes, without the routing id.

    Raises:
        RemoteProtocolError: It is nothing that a producer says.
    """
    head = parts[0]
    if len(head) >= HEADER_BYTES:
        if type(head) is not bytes and len(head) < HEADER_BYTES + INLINE_BYTES:
            # NB: a part so small is `bytes` already, which are read in half the time.
            head = head.tobytes()
        header = unpack_header(head)
        if header[0] == DATA:
            return parse_data(header, head, parts)
        if header[0] == RUN and len(parts) == 1:
            return parse_run(head)
    first = memoryview(head)
    kind = first[0] if first.nbytes else -1
    if kind == HELLO and len(parts) == 1:
        return parse_hello(first)
    if kind == GOODBYE and first.nbytes == 1 and len(parts) == 1:
        return Goodbye()
    if kind in (DATA, RUN) and first.nbytes < HEADER_BYTES:
        raise MalformedFrameError(first.nbytes, "header of a message ends early")
    msg = f"kind {kind} in {len(parts)} parts is nothing that a producer says"
    raise RemoteProtocolError(msg)
