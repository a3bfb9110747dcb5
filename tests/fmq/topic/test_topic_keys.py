"""Keys: what can be one, and which of them a pattern takes."""

from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fmq.topic.parties import PATIENCE, parties, take, topics

from busduct.errors import ConfigError, RemoteProtocolError
from busduct.fmq._topic._keys import key_of, prefix_of, topic_of

KEYS = st.text(st.characters(exclude_characters="*\0", exclude_categories=["Cs"]))


@given(KEYS.filter(lambda key: len(key.encode()) <= 254))
def test_key_is_found_again(key: str) -> None:
    assert key_of(topic_of(key)) == key


@given(KEYS.filter(lambda key: len(key) < 60), KEYS.filter(lambda key: len(key) < 60))
def test_pattern_takes_what_it_says(pattern: str, key: str) -> None:
    topic = topic_of(key)
    assert topic.startswith(prefix_of(pattern + "*")) == key.startswith(pattern)
    if pattern:
        assert topic.startswith(prefix_of(pattern)) == (key == pattern)
    assert topic.startswith(prefix_of(""))


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("gpu.*", "asterisk"),
        ("gpu\0", "zero byte"),
        ("x" * 255, "255 bytes exceeds limit of 254 bytes"),
        ("é" * 128, "256 bytes"),
        ("\ud800", "no text"),
    ],
)
def test_what_is_no_key_is_refused(key: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        topic_of(key)


@pytest.mark.parametrize("pattern", ["*.gpu", "gpu.*.load", "**", "gpu\0*"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError):
        prefix_of(pattern)


@pytest.mark.parametrize("topic", [b"", b"gpu", b"gpu\0x", b"\0\0", b"\xff\xfe\0"])
def test_what_no_publisher_of_a_topic_sends_is_refused(topic: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="no topic of a key"):
        key_of(topic)


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [
        ("", ["gpu", "gpu.0", "gpu.1", "cpu", ""]),
        ("*", ["gpu", "gpu.0", "gpu.1", "cpu", ""]),
        ("gpu*", ["gpu", "gpu.0", "gpu.1"]),
        ("gpu.*", ["gpu.0", "gpu.1"]),
        ("gpu", ["gpu"]),
    ],
)
@pytest.mark.usefixtures("any_loop")
async def test_subscription_gets_the_keys_of_its_pattern(
    backend: ModuleType, address: str, pattern: str, taken: list[str]
) -> None:
    async with topics(backend, address) as (topic, other):
        subscription = other.messages(pattern)
        for key in ("gpu", "gpu.0", "gpu.1", "cpu", ""):
            await topic.pub(None, key=key)
        got = await take(subscription, len(taken))
        assert sorted(message.key for message in got) == sorted(taken)
        await topic.pub("last", key=taken[0])
        assert [message.payload for message in await take(subscription, 1)] == ["last"]


async def test_subscribers_of_other_keys_are_not_waited_for(
    backend: ModuleType, address: str
) -> None:
    async with (
        topics(backend, address) as (topic, other),
        other.messages("a"),
        other.messages("b*") as second,
    ):
        await topic.pub(0, key="bb", wait_for_subscribers=1, timeout=PATIENCE)
        assert (await second.recv()).key == "bb"
        with pytest.raises(TimeoutError):
            await topic.pub(1, key="b", wait_for_subscribers=2, timeout=0.05)
        assert await topic.pub(2, key="b") == 1
        assert (await second.recv()).payload == 2


async def test_too_many_keys_are_refused(backend: ModuleType, address: str) -> None:
    from busduct.errors import FullError

    async with parties(backend, address) as found:
        topic = found.topic(max_keys=2)
        await topic.pub(0, key="a")
        await topic.pub(1, key="b")
        with pytest.raises(FullError, match="2 topics"):
            await topic.pub(2, key="c")
        assert await topic.pub(2, key="a") == 2
