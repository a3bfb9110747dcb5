"""What is put, and whether what arrives is that."""

from typing import Any

from busduct.errors import WorkerError
from busduct.fmq.bench._config import PayloadKind

__all__ = ["body_of", "check_payload", "make_payload"]

# A producer's number is less than 256.
_INDEX_NBYTES = 1
_PATTERN_NBYTES = 251


def make_payload(kind: PayloadKind, nbytes: int, index: int) -> Any:
    """Return what a producer puts.

    Args:
        kind: What it is.
        nbytes: Of the bytes in it.
        index: Of the producer; it is part of the bytes.
    """
    body = _body(nbytes, index)
    if kind == "bytes":
        return body
    if kind == "dict":
        return {"producer": index, "payload": body}
    import numpy as np

    return {"producer": index, "payload": np.frombuffer(body, np.uint8)}


def body_of(kind: PayloadKind, payload: Any) -> Any:
    """Return the bytes, or the view or array of them, in a payload."""
    return payload if kind == "bytes" else payload["payload"]


def check_payload(kind: PayloadKind, nbytes: int, payload: Any) -> int:
    """Compare a payload with what was put.

    Returns:
        The index of the producer that put it.

    Raises:
        WorkerError: It differs.
    """
    body = bytes(body_of(kind, payload))
    index = int.from_bytes(body[:_INDEX_NBYTES], "little")
    if len(body) != nbytes or body != _body(nbytes, index):
        msg = f"a payload of {len(body)} bytes is not the {nbytes} that were put"
        raise WorkerError(msg)
    if kind != "bytes" and payload["producer"] != index:
        msg = f"a payload of producer {index} says {payload['producer']!r}"
        raise WorkerError(msg)
    return index


def _body(nbytes: int, index: int) -> bytes:
    # A prime number of bytes, so that no page is like the one before it.
    pattern = bytes((number + index) % 256 for number in range(_PATTERN_NBYTES))
    body = index.to_bytes(_INDEX_NBYTES, "little") + pattern * (nbytes // len(pattern))
    return body + pattern[: nbytes - len(body)] if len(body) < nbytes else body[:nbytes]
