"""Payloads as they go from a producer to a consumer, without a queue between them."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
from tests.tensors.arrays import bits_of

from busduct._fallback import Loan
from busduct.fmq._payload import PayloadDecoder, encode
from busduct.fmq._wire import Data, Encoded, data_parts, parse_from_producer

MAX_BYTES = 1 << 30
THRESHOLD = 1 << 20


def lend(nbytes: int) -> Any:
    """Lend private memory, as a socket of the fallback does."""
    return Loan._open(nbytes)


@contextmanager
def lender(backend: ModuleType) -> Iterator[Any]:
    """Give what lends memory of a backend."""
    context = backend.Context()
    try:
        yield context.socket(backend.PUSH).loan
    finally:
        context.close()


def encoded(payload: Any, **options: Any) -> Encoded:
    defaults = {"threshold": THRESHOLD, "loan": lend, "max_bytes": MAX_BYTES}
    return encode(payload, **(defaults | options))


def received(sent: Encoded) -> Data:
    """Return what the consumer gets of what a producer sends."""
    parts = data_parts(sent, msg_id=7, timestamp=1.5, num_deliveries=1, num_skipped=0)
    data = parse_from_producer(parts)
    assert isinstance(data, Data)
    return data


def through(payload: Any, message_type: Any = Any, **options: Any) -> Any:
    decoder = PayloadDecoder(message_type, **options)
    return decoder(received(encoded(payload)))


def comparable(value: Any) -> Any:
    """Return what two equal payloads have in common, arrays and NaNs included."""
    if isinstance(value, np.ndarray):
        return bits_of(value)
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [comparable(item) for item in value]
    return value
