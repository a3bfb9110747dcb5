"""Bytes of the directory: what was encoded is read, and nothing else is."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busduct.errors import RemoteProtocolError
from busduct.fmq._directory import _wire
from busduct.fmq._directory._wire import (
    MemberList,
    Refused,
    Register,
    Registered,
    Watch,
    encode,
    encode_members,
    parse_answer,
    parse_hello,
)

TOKENS = st.integers(0, 2**63)
IDS = st.binary(min_size=16, max_size=16)
HELLOS = st.builds(Register, TOKENS, st.text(), IDS, st.text()) | st.builds(
    Watch, TOKENS, st.text()
)
ANSWERS = (
    st.builds(Registered, TOKENS, st.text())
    | st.builds(MemberList, TOKENS, st.dictionaries(IDS, st.text(), max_size=20))
    | st.builds(Refused, TOKENS, st.text(max_size=512))
)


def test_bytes_of_each_message_are_these() -> None:
    register = Register(7, "q", bytes(16), "ipc:///d")
    assert encode(register).hex() == (
        "20019407a171c41000000000000000000000000000000000a86970633a2f2f2f64"
    )
    assert encode(Watch(7, "q")).hex() == "21019207a171"
    assert encode(Registered(7, "f")).hex() == "30019207a166"
    assert encode(MemberList(7, {})).hex() == "3101920780"
    assert encode(Refused(7, "no")).hex() == "32019207a26e6f"


@given(HELLOS)
def test_hello_is_read_as_it_was_written(hello: Register | Watch) -> None:
    assert parse_hello([encode(hello)]) == hello


@given(ANSWERS)
def test_answer_is_read_as_it_was_written(
    answer: Registered | MemberList | Refused,
) -> None:
    assert parse_answer([encode(answer)]) == answer


@given(TOKENS, st.dictionaries(IDS, st.text(), max_size=20))
def test_members_encoded_before_read_the_same(
    token: int, members: dict[bytes, str]
) -> None:
    raw = msgspec.Raw(msgspec.msgpack.encode(members))
    assert encode_members(token, raw) == encode(MemberList(token, members))


@given(st.lists(st.binary(max_size=64), max_size=3))
def test_any_bytes_are_read_or_refused(parts: list[bytes]) -> None:
    for parse in (parse_hello, parse_answer):
        try:
            parse(parts)
        except RemoteProtocolError:
            continue


@given(HELLOS | ANSWERS, st.data())
def test_message_cut_short_or_with_more_behind_it_is_refused(
    message: Register | Watch | Registered | MemberList | Refused, data: st.DataObject
) -> None:
    parse = parse_hello if isinstance(message, Register | Watch) else parse_answer
    whole = encode(message)
    length = data.draw(st.integers(0, len(whole) - 1))
    for wrong in ([whole[:length]], [whole + b"\0"], [whole, b""], []):
        with pytest.raises(RemoteProtocolError):
            parse(wrong)


def test_other_version_is_refused_by_number() -> None:
    other = encode(Watch(1, "q"))
    other = other[:1] + b"\2" + other[2:]
    with pytest.raises(RemoteProtocolError, match="speaks version 2 of the directory"):
        parse_hello([other])


def test_refusal_is_read_in_every_version() -> None:
    refused = encode(Refused(0, "too old"))
    assert parse_answer([refused[:1] + b"\x09" + refused[2:]]) == Refused(0, "too old")


def test_long_reason_is_cut() -> None:
    (answer,) = [parse_answer([encode(Refused(0, "x" * 10_000))])]
    assert answer == Refused(0, "x" * 512)


@pytest.mark.parametrize("nbytes", [0, 15, 17])
def test_id_of_another_length_is_refused(nbytes: int) -> None:
    wrong = bytes(nbytes)
    with pytest.raises(RemoteProtocolError, match=r"member id .* 16"):
        parse_hello([encode(Register(1, "q", wrong, "ipc:///d"))])
    with pytest.raises(RemoteProtocolError, match=r"member id .* 16"):
        parse_answer([encode(MemberList(1, {wrong: "ipc:///d"}))])


def test_more_members_than_there_may_be_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_wire, "MAX_MEMBERS", 2)
    members = {bytes([n] * 16): "ipc:///d" for n in range(3)}
    with pytest.raises(RemoteProtocolError, match="3 members exceed the limit of 2"):
        parse_answer([encode(MemberList(1, members))])
