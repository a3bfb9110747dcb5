"""Read the byte vectors, and say what became of one in the same words."""

import json
from pathlib import Path
from typing import Any

from busduct.errors import (
    AuthError,
    BusductError,
    FrameTooLargeError,
    MalformedFrameError,
    RemoteProtocolError,
)

VECTORS = Path(__file__).parent / "vectors"


def load(name: str) -> list[dict[str, Any]]:
    """Return the vectors of a file."""
    vectors: list[dict[str, Any]] = json.loads((VECTORS / name).read_text())
    return vectors


def matches(error: BusductError | None, expected: dict[str, Any] | None) -> bool:
    """Tell whether an error is the one that a vector names."""
    if error is None or expected is None:
        return error is expected
    found: dict[str, Any]
    if isinstance(error, FrameTooLargeError):
        found = {
            "kind": "too_large",
            "size": error.size,
            "limit": error.limit,
            "unit": error.unit,
        }
    elif isinstance(error, MalformedFrameError):
        found = {"kind": "malformed", "offset": error.offset}
    elif isinstance(error, RemoteProtocolError):
        found = {"kind": "refused"}
    elif isinstance(error, AuthError):
        found = {"kind": "auth"}
    else:
        return False
    return all(found.get(name) == value for name, value in expected.items())
