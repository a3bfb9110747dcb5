"""The long texts of a msgpack value are taken from where it lies."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import msgspec
import pytest

from busduct import _fallback

LEAST = 4096


@pytest.fixture
def socket(rust: ModuleType) -> Iterator[Any]:
    """Give a socket that lends memory."""
    with rust.Context() as ctx:
        yield ctx.socket(rust.PUSH)


def leased(socket: Any, payload: bytes) -> Any:
    loan = socket.loan(len(payload))
    loan.fill([payload])
    return loan.freeze()


def restored(split: tuple[bytes, list[str]]) -> Any:
    """Put texts back where they were."""
    rest, texts = split

    def text_of(code: int, number: memoryview) -> str:
        assert (code, len(number)) == (0, 4)
        return texts[int.from_bytes(number, "big")]

    return msgspec.msgpack.decode(rest, ext_hook=text_of)


@pytest.mark.parametrize("nbytes", [LEAST, LEAST + 1, 65_535, 65_536, 1_000_003])
def test_texts_are_those_of_the_value(socket: Any, nbytes: int) -> None:
    text = "".join(map(chr, range(128))) * (nbytes // 128 + 1)
    first, last = text[:nbytes], text[-nbytes:]
    value = [1, {"first": first, "short": "s"}, b"x" * 9000, last, 2.5]
    split = leased(socket, msgspec.msgpack.encode(value)).split_texts(nbytes)
    assert split[1] == [first, last]
    assert restored(split) == value
    # They are as good as texts that were made in another way.
    assert [*map(hash, split[1])] == [hash(first), hash(last)]


def test_shorter_texts_stay(socket: Any) -> None:
    value = ["a" * 5000, "b" * 4999, "c" * 5001]
    split = leased(socket, msgspec.msgpack.encode(value)).split_texts(5000)
    assert split[1] == ["a" * 5000, "c" * 5001]
    assert restored(split) == value


@pytest.mark.parametrize("min_nbytes", [-1, 0, LEAST])
def test_there_is_a_least(socket: Any, min_nbytes: int) -> None:
    value = ["a" * LEAST, "b" * (LEAST - 1)]
    split = leased(socket, msgspec.msgpack.encode(value)).split_texts(min_nbytes)
    assert split[1] == ["a" * LEAST]


@pytest.mark.parametrize("at", [0, 1, 4095, 4096, 8191, 8192, 299_999])
def test_text_that_is_not_ascii_is_left_to_others(socket: Any, at: int) -> None:
    text = "a" * at + "\N{LATIN SMALL LETTER E WITH ACUTE}" + "a" * (300_000 - at)
    lease = leased(socket, msgspec.msgpack.encode([text, "b" * 5000]))
    assert lease.split_texts(LEAST) is None


TEXT = b"\xdb" + (5000).to_bytes(4, "big") + b"a" * 5000


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x07",
        TEXT[:-1],
        b"\x92" + TEXT + b"\xd4\x05\x00",
        b"\x92" + TEXT + b"\xc1",
        b"\x92" + TEXT + b"\xda\xff",
        b"\xdb\xff\xff\xff\xff" + b"a" * 5000,
    ],
)
def test_what_cannot_be_split_gives_none(socket: Any, payload: bytes) -> None:
    assert leased(socket, payload).split_texts(LEAST) is None


def test_pure_python_backend_gives_none() -> None:
    with _fallback.Context() as ctx:
        lease = leased(ctx.socket(_fallback.PUSH), TEXT)
        assert lease.split_texts(LEAST) is None
