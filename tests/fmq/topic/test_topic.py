"""Topics: what is published arrives at whoever listens, whoever started first."""

from types import ModuleType

import pytest
from tests.fmq.topic.parties import PATIENCE, parties, payloads, take, topics
from tests.transport.waiting import eventually

from busduct.fmq._topic import _local

pytestmark = pytest.mark.usefixtures("any_loop")


async def test_messages_arrive_in_order(backend: ModuleType, address: str) -> None:
    async with topics(backend, address) as (topic, other):
        subscription = other.messages()
        for number in range(1000):
            assert await topic.pub({"number": number}) == number
        messages = await take(subscription, 1000)
        assert [message.payload for message in messages] == [
            {"number": number} for number in range(1000)
        ]
        assert [message.msg_id for message in messages] == list(range(1000))
        assert {message.key for message in messages} == {""}
        assert len({message.producer_id for message in messages}) == 1
        assert subscription.recv_nowait() is None
        assert subscription.statistics().num_gaps == 0


async def test_publisher_may_come_first(
    backend: ModuleType, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A publisher answers in a moment, but the machine may do much else.
    monkeypatch.setattr(_local, "READY_SECONDS", PATIENCE)
    async with topics(backend, address) as (topic, other):
        await topic.pub("nobody listens")
        seen: list[object] = []
        await other.sub(lambda message: seen.append(message.payload))
        await topic.pub("heard")
        await eventually(lambda: seen)
        assert seen == ["heard"]


async def test_first_message_waits_for_subscribers(
    backend: ModuleType, address: str
) -> None:
    async with parties(backend, address) as found:
        topic = found.topic()
        await topic.pub("for nobody")
        subscriptions = [found.topic().messages() for _ in range(3)]
        await topic.pub("for three", wait_for_subscribers=3, timeout=PATIENCE)
        for subscription in subscriptions:
            assert await payloads(subscription, 1) == ["for three"]
