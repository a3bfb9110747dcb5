"""Payloads of every kind through a queue, and where they lie when they arrive."""

from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.fmq.payloads import comparable

from busduct.errors import FrameTooLargeError, PayloadError
from busduct.fmq import FMQ, Queue
from busduct.tensors import Tensor

pytestmark = pytest.mark.usefixtures("home", "no_leaks")

BIG = bytes(range(256)) * 4096
ARRAY = np.arange(1 << 17)


class Step(msgspec.Struct):
    name: str
    image: bytes
    logits: np.ndarray


PAYLOADS: list[Any] = [
    b"",
    b"x" * 16384,
    BIG,
    None,
    "text",
    {"image": BIG, "more": [BIG, {"deeper": BIG}]},
    ARRAY,
    ARRAY[::-3],
    {"small": ARRAY[:3], "large": [ARRAY, ARRAY.astype("float32")]},
    [np.full(1000, index) for index in range(1050)],
]


def lease_under(value: Any) -> Any:
    """Return what was received that a view is of."""
    while not hasattr(value, "is_shared"):
        value = value.obj if isinstance(value, memoryview) else value.base
    return value


async def taken(consumer: Queue) -> Any:
    message = await consumer.get(timeout=20_000)
    assert message is not None
    return message.payload


async def test_any_payload_arrives_as_it_was() -> None:
    async with FMQ() as fmq:
        producer, consumer = fmq.queue("q"), fmq.queue("q", "consumer")
        for payload in PAYLOADS:
            await producer.put(payload)
            got = await taken(consumer)
            assert type(got) is type(payload)
            assert comparable(got) == comparable(payload)
            del got


@pytest.mark.parametrize("copy", [False, True])
async def test_large_arrays_and_buffers_are_views_of_shared_memory(
    backend: ModuleType, copy: bool
) -> None:
    async with FMQ() as producers, FMQ() as consumers:
        producer = producers.queue("q")
        consumer = consumers.queue("q", "consumer", copy=copy)
        await producer.put(b"first, for there to be shared memory")
        await taken(consumer)
        for payload in (bytearray(BIG), ARRAY, ARRAY[::2]):
            await producer.put(payload)
            got = await taken(consumer)
            assert comparable(got) == comparable(payload)
            assert memoryview(got).readonly is not copy
            if not copy:
                is_native = backend.BACKEND == "rust"
                assert lease_under(got).is_shared is is_native
            del got


async def test_bytes_are_views_where_that_is_asked_for(backend: ModuleType) -> None:
    async with FMQ() as producers, FMQ() as consumers:
        producer = producers.queue("q")
        consumer = consumers.queue("q", "consumer", views=True)
        await producer.put(b"first")
        assert await taken(consumer) == b"first"
        for payload in (BIG, {"x": BIG}):
            await producer.put(payload)
            got = await taken(consumer)
            view = got["x"] if isinstance(got, dict) else got
            assert view == BIG
            assert lease_under(view).is_shared is (backend.BACKEND == "rust")
            del got, view


async def test_loan_is_filled_in_place(backend: ModuleType) -> None:
    async with FMQ() as producers, FMQ() as consumers:
        producer, consumer = producers.queue("q"), consumers.queue("q", "consumer")
        await producer.put(b"first, for there to be a loan")
        await taken(consumer)
        tensor = Tensor.lend(producer.loan, "int64", ARRAY.shape)
        assert tensor.storage.is_shared is (backend.BACKEND == "rust")
        tensor.numpy()[...] = ARRAY
        await producer.put([tensor])
        (got,) = await taken(consumer)
        assert got.numpy().tolist() == ARRAY.tolist()
        del got


async def test_struct_arrives_as_the_type_that_the_consumer_names() -> None:
    async with FMQ() as fmq:
        producer = fmq.queue("q")
        consumer = fmq.queue("q", "consumer", type=Step)
        for image in (b"small", BIG):
            await producer.put({"name": 7, "image": image})
            await producer.put(Step("a", image, ARRAY))
            got = await taken(consumer)
            assert type(got) is Step
            assert (got.image, got.logits.tolist()) == (image, ARRAY.tolist())
            del got
        assert len(consumer.recent_errors()) == 2


async def test_what_cannot_be_sent_is_refused_and_the_rest_goes_on() -> None:
    async with FMQ() as fmq:
        producer = fmq.queue("q", max_message_bytes=1 << 20)
        consumer = fmq.queue("q", "consumer", max_message_bytes=1 << 20)
        with pytest.raises(PayloadError, match=r'payload\["request"\] is of type'):
            await producer.put({"request": print})
        for payload in (bytes(1 << 21), {"x": bytes(1 << 21)}, np.zeros(1 << 18)):
            with pytest.raises(FrameTooLargeError):
                await producer.put(payload)
        assert await producer.put("next") == 0
        assert await taken(consumer) == "next"
