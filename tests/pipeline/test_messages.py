"""The messages between the processes."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from busduct.pipeline import SamplingParams
from busduct.pipeline.messages import (
    AbortReq,
    BatchStrOutput,
    BatchTokenIDOutput,
    ReadyRes,
    RequestFailed,
    ResetReq,
    StopReq,
    TokenizedGenerateReqInput,
    decode_detokenizer_input,
    decode_scheduler_input,
    decode_tokenizer_input,
    encode,
    salvage_rids,
)

TOKENS = BatchTokenIDOutput(
    rids=["a", "b"],
    epoch=3,
    output_ids=[[1, 2], []],
    finish_reasons=[None, "stop"],
    prompt_tokens=[4, 5],
    completion_tokens=[2, 9],
    stops=[("x", "y"), None],
)
TEXT = BatchStrOutput(
    rids=["a"],
    epoch=3,
    output_strs=["é"],
    output_ids=[[1]],
    finish_reasons=["length"],
    prompt_tokens=[1],
    completion_tokens=[1],
)
GENERATE = TokenizedGenerateReqInput(
    "a", 0, [1, 2], SamplingParams(temperature=0, seed=-5, stop=("x",))
)
DECODERS: list[Callable[[bytes], msgspec.Struct]] = [
    decode_scheduler_input,
    decode_detokenizer_input,
    decode_tokenizer_input,
]


@pytest.mark.parametrize(
    ("message", "decoder"),
    [
        (GENERATE, decode_scheduler_input),
        (AbortReq("a"), decode_scheduler_input),
        (StopReq("a"), decode_scheduler_input),
        (ResetReq(4), decode_scheduler_input),
        (TOKENS, decode_detokenizer_input),
        (ResetReq(4), decode_detokenizer_input),
        (RequestFailed("a", 1, "overloaded", "full"), decode_detokenizer_input),
        (RequestFailed("a", 1, "overloaded", "full"), decode_tokenizer_input),
        (TEXT, decode_tokenizer_input),
        (ReadyRes("scheduler", 1, 10, 20), decode_tokenizer_input),
    ],
)
def test_message_survives_the_wire(
    message: msgspec.Struct, decoder: Callable[[bytes], msgspec.Struct]
) -> None:
    assert decoder(encode(message)) == message


def test_messages_for_another_process_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_scheduler_input(encode(TOKENS))
    with pytest.raises(msgspec.ValidationError):
        decode_tokenizer_input(encode(GENERATE))


def test_lists_of_different_lengths_are_refused() -> None:
    items = msgspec.msgpack.decode(encode(TOKENS))
    for position in range(3, 8):
        broken = list(items)
        broken[position] = broken[position][:1]
        with pytest.raises(msgspec.ValidationError, match="different lengths"):
            decode_detokenizer_input(msgspec.msgpack.encode(broken))


@pytest.mark.parametrize("field", ["max_tokens", "top_p", "stop"])
def test_bad_sampling_parameters_do_not_decode(field: str) -> None:
    items = msgspec.msgpack.decode(encode(GENERATE))
    items[4][field] = 0 if field != "stop" else [""]
    with pytest.raises(msgspec.ValidationError):
        decode_scheduler_input(msgspec.msgpack.encode(items))


@given(st.binary(max_size=200))
@example(b"\x91\xa8\0\0\0\0\0\0\0\x80")
@example(b"\x91" * 100_000)
def test_any_bytes_decode_or_raise_a_decode_error(data: bytes) -> None:
    for decoder in DECODERS:
        try:
            decoder(data)
        except msgspec.DecodeError:
            salvage_rids(data)


@given(
    st.recursive(
        st.none() | st.integers(-5, 5) | st.text(max_size=3) | st.binary(max_size=3),
        lambda inner: st.lists(inner, max_size=9),
        max_leaves=30,
    ),
    st.sampled_from(["generate", "abort", "tokens", "text", "ready", "failed"]),
)
def test_any_values_decode_or_raise_a_decode_error(values: object, tag: str) -> None:
    items = [tag, *values] if isinstance(values, list) else values
    data = msgspec.msgpack.encode(items)
    for decoder in DECODERS:
        try:
            decoder(data)
        except msgspec.DecodeError:
            salvage_rids(data)


@pytest.mark.parametrize(
    ("message", "rids"),
    [
        (["generate", "a", "bad"], ["a"]),
        (["tokens", ["a", 5, "b"]], ["a", "b"]),
        (["ready"], []),
        ({"rid": "a"}, []),
        (["abort", None], []),
    ],
)
def test_ids_of_a_broken_message_are_salvaged(message: object, rids: list[str]) -> None:
    assert salvage_rids(msgspec.msgpack.encode(message)) == rids
    assert salvage_rids(msgspec.msgpack.encode(message)[:-1]) == []
