"""Payloads of a benchmark are what they were, or that is told."""

from typing import Any

import numpy as np
import pytest

from busduct.errors import WorkerError
from busduct.fmq.bench import PayloadKind
from busduct.fmq.bench._payloads import body_of, check_payload, make_payload

KINDS = ("bytes", "dict", "array")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nbytes", [8, 250, 251, 256, 10_000])
@pytest.mark.parametrize("index", [0, 255])
def test_a_payload_tells_its_producer(
    kind: PayloadKind, nbytes: int, index: int
) -> None:
    payload = make_payload(kind, nbytes, index)
    assert len(body_of(kind, payload)) == nbytes
    assert check_payload(kind, nbytes, payload) == index


def changed(payload: Any, at: int) -> Any:
    """Return a payload with another byte."""
    if isinstance(payload, dict):
        body = payload["payload"]
        same = bytes(body) if isinstance(body, bytes) else np.array(body)
        return payload | {"payload": changed(same, at)}
    if isinstance(payload, bytes):
        return payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]
    payload[at] ^= 1
    return payload


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [0, 3, 4, 500, 999])
def test_one_byte_that_differs_is_told(kind: PayloadKind, at: int) -> None:
    payload = make_payload(kind, 1000, 2)
    with pytest.raises(WorkerError, match="is not the 1000 that were put"):
        check_payload(kind, 1000, changed(payload, at))


@pytest.mark.parametrize("kind", KINDS)
def test_another_size_is_told(kind: PayloadKind) -> None:
    with pytest.raises(WorkerError, match="999 bytes is not the 1000"):
        check_payload(kind, 1000, make_payload(kind, 999, 2))


def test_a_dict_of_another_producer_is_told() -> None:
    payload = make_payload("dict", 1000, 2) | {"producer": 3}
    with pytest.raises(WorkerError, match="payload of producer 2 says 3"):
        check_payload("dict", 1000, payload)
