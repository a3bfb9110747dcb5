"""Long texts are taken apart from their messages, which nobody notices."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.transport.pool.conftest import Pool

from busduct.messages import Query, QueryResult, StreamChunk, TextModelOutput
from busduct.transport.pool._long_texts import TEXT_NBYTES, TextJoiner, TextSplitter

NewPool = Callable[..., Pool]

LONG = "".join(map(chr, range(128))) * (TEXT_NBYTES // 128)
LONGER = LONG + "and more"
NOT_ASCII = LONG + "\N{EURO SIGN}"


def output(text: Any, **fields: Any) -> QueryResult:
    return QueryResult(
        id="1",
        response_output=TextModelOutput(output=text, **fields),
        metadata={"worker_id": 3},
        completed_at=7,
    )


SPLIT = {
    "query": Query(id="1", data={"prompt": LONG, "n": [1, None]}, headers={"a": "b"}),
    "chat": Query(
        data={"messages": [{"role": "a", "content": LONGER}, {"content": LONG}]}
    ),
    "result": output(LONG),
    "thought": output("", reasoning=LONGER),
    "streamed": output((LONG, "short", LONGER)),
    "chunk": StreamChunk(id="1", response_chunk=LONG, metadata={"first_chunk": True}),
}
WHOLE = {
    "short": Query(data={"prompt": LONG[:-1]}),
    "not_ascii": Query(data={"prompt": NOT_ASCII}),
    "no_text": Query(data={"prompt": LONG.encode()}),
    "far_behind": Query(data={"ids": [*range(100)], "prompt": LONG}),
    "many": output(("a",) * 50_000 + (LONG,)),
}


@pytest.mark.parametrize("name", SPLIT)
def test_parts_are_the_encoding_and_texts_are_not_copied(name: str) -> None:
    message = SPLIT[name]
    before = msgspec.msgpack.encode(message)
    parts = TextSplitter().split(message)
    assert parts is not None
    texts = [part for part in parts if isinstance(part, str)]
    assert texts
    assert all(text is LONG or text is LONGER for text in texts)
    joined = b"".join(p.encode() if isinstance(p, str) else p for p in parts)
    assert joined == before == msgspec.msgpack.encode(message)


@pytest.mark.parametrize("name", WHOLE)
def test_what_has_no_long_text_is_not_split(name: str) -> None:
    assert TextSplitter().split(WHOLE[name]) is None


def test_string_itself_may_be_long() -> None:
    assert TextSplitter().split(LONG) == [b"", b"\xdb\x00\x02\x00\x00", LONG, b""]


def test_value_without_end_is_not_split() -> None:
    data: dict[str, Any] = {}
    data["data"] = data
    assert TextSplitter().split(Query(data=data)) is None


def test_value_that_looks_like_a_stand_in_is_sent_as_it_is() -> None:
    splitter = TextSplitter()
    data = {"prompt": LONG, "other": splitter._separator}
    assert splitter.split(Query(data=data)) is None
    assert splitter.split(Query(data={"prompt": LONG})) is not None


def test_what_msgpack_cannot_hold_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        TextSplitter().split(Query(data={"prompt": LONG, "other": object()}))


class Bare(msgspec.Struct):
    """A map, with a field that refuses what is no text."""

    text: str
    number: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise TypeError


def test_struct_is_not_made_anew() -> None:
    message = Bare(LONG, 5)
    parts = TextSplitter().split(message)
    assert parts is not None
    assert message.text is LONG
    assert parts[-1] == b"\xa6number\x05"


@pytest.mark.parametrize("name", [*SPLIT, *WHOLE])
async def test_messages_arrive_as_they_were_sent(new_pool: NewPool, name: str) -> None:
    pool = new_pool()
    message: Any = {**SPLIT, **WHOLE}[name]
    async with pool.worker_connector.connect(0) as (receiver, sender):
        small: Any = StreamChunk(id="small")
        send, source = sender.send, pool
        if isinstance(message, Query):
            small = Query(id="small")
            send, source = (lambda each: pool.send(0, each)), receiver
        sent = [message, message, small, message, small, message, message]
        for each in sent:
            send(each)
        assert [await source.recv() for _ in sent] == sent


async def test_messages_that_wait_for_room_arrive(new_pool: NewPool) -> None:
    pool = new_pool()
    async with pool.worker_connector.connect(0) as (_, sender):
        sent = [SPLIT["chunk"], SPLIT["result"], StreamChunk(id="small")] * 2
        for each in sent:
            await sender.asend(each)
        assert [await pool.recv() for _ in sent] == sent


MALFORMED = {
    "wrong type": msgspec.msgpack.encode([1, {"prompt": LONG}]),
    "text where none is due": msgspec.msgpack.encode(["1", LONG]),
    "followed": msgspec.msgpack.encode(["1", {"prompt": LONG}]) + b"\x00",
    "not UTF-8": msgspec.msgpack.encode(["1", {"prompt": LONG}])[:-1] + b"\xff",
    "cut off": msgspec.msgpack.encode(["1", {"prompt": LONG}])[:-1],
}
ODD = {
    "text as a key": ["1", {LONG: LONGER}, {}, 0.5],
    "bytes": ["1", {"data": LONG.encode(), "prompt": LONG}, {}, 0.5],
    "extension": ["1", {"e": msgspec.msgpack.Ext(5, b"five"), "prompt": LONG}, {}, 0.5],
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_message_is_dropped_alone(new_pool: NewPool, name: str) -> None:
    pool = new_pool()
    good = Query(id="good", data={"prompt": LONG})
    async with pool.worker_connector.connect(0) as (receiver, _):
        await pool.wait_for_workers_ready(20.0)
        for _ in range(2):
            pool.send(0, good)
            pool._requests.send_nowait[0](bytearray(MALFORMED[name]))
        pool.send(0, good)
        assert [await receiver.recv() for _ in range(3)] == [good] * 3
        assert receiver.num_malformed == 2


@pytest.mark.parametrize("name", ODD)
def test_decoding_is_that_of_the_decoder(rust: Any, name: str) -> None:
    decoder = msgspec.msgpack.Decoder(Query | str)
    payload = msgspec.msgpack.encode(ODD[name])
    with rust.Context() as ctx:
        loan = ctx.socket(rust.PUSH).loan(len(payload))
        loan.fill([payload])
        lease = loan.freeze()
    assert TextJoiner(decoder).decode(lease) == decoder.decode(payload)


class Changing:
    """A payload that its sender changes while it is looked at."""

    def split_texts(self, min_nbytes: int) -> tuple[bytes, list[str]]:
        assert min_nbytes == TEXT_NBYTES
        stand_in = msgspec.msgpack.Ext(0, (9).to_bytes(4, "big"))
        return msgspec.msgpack.encode(["1", {"prompt": stand_in}]), ["one"]


def test_stand_in_of_no_text_is_left_to_the_decoder() -> None:
    joiner: Any = TextJoiner(msgspec.msgpack.Decoder(Query))
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(joiner, "_decode", lambda payload: type(payload))
        assert joiner.decode(Changing()) is Changing
