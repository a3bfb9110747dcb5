"""Server-sent events: parsed as the specification says, however they are cut."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busduct.endpoint import SSEParser, _sse
from busduct.errors import ConfigError, FrameTooLargeError, RemoteProtocolError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def lines_of(stream: bytes) -> tuple[list[bytes], bytes]:
    """Return the lines that ended, one byte at a time, and what follows the last."""
    lines: list[bytes] = []
    line = b""
    previous = b""
    for value in stream:
        byte = bytes([value])
        if byte == b"\n" and previous == b"\r":
            pass
        elif byte in b"\r\n":
            lines.append(line)
            line = b""
        else:
            line += byte
        previous = byte
    return lines, line


def reference(stream: bytes) -> tuple[list[bytes], bool]:
    """Interpret a whole stream by the letter of the specification, section 9.2.6."""
    lines, rest = lines_of(stream.removeprefix(BYTE_ORDER_MARK))
    events: list[bytes] = []
    data = b""
    for line in lines:
        if line == b"":
            if data != b"":
                events.append(data[:-1])
            data = b""
            continue
        field, _, value = line.partition(b":")
        if field == b"data":
            data += value.removeprefix(b" ") + b"\n"
    return events, data != b"" or rest != b""


def parse(pieces: Iterable[bytes]) -> tuple[list[bytes], bool]:
    parser = SSEParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events, parser.finish()


def cut(stream: bytes, positions: Iterable[int]) -> list[bytes]:
    """Cut a stream at the positions; equal ones make empty pieces."""
    ends = [0, *sorted(min(at, len(stream)) for at in positions), len(stream)]
    return [stream[start:end] for start, end in pairwise(ends)]


STREAMS = {
    "one": (b"data: {}\n\n", [b"{}"]),
    "several": (b"data: a\n\ndata: b\n\ndata: c\n\n", [b"a", b"b", b"c"]),
    "no space": (b"data:a\n\ndata:  b\n\n", [b"a", b" b"]),
    "crlf": (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    "cr": (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
    "mixed line ends": (b"data: a\r\ndata: b\ndata: c\r\n\rdata: d\n\r\n", None),
    "cr in the value": (b"data: a\rb\n\ndata: c\n\n", [b"a", b"c"]),
    "several lines": (b"data: a\ndata:\ndata: b\n\n", [b"a\n\nb"]),
    "no colon": (b"data\n\ndata\ndata\n\n", [b"", b"\n"]),
    "only a colon": (b"data:\n\n", [b""]),
    "comments": (b": hello\n\ndata: a\n:\ndata: b\n\n:ping\n\n", [b"a\nb"]),
    "comment before": (b":ping\ndata: a\n\n", [b"a"]),
    "other fields": (b"event: x\nid: 1\nretry: 5\ndata: a\n\nid\n\n", [b"a"]),
    "not quite data": (b"datax: a\nDATA: b\n data: c\nd: e\n\n", []),
    "blank lines": (b"\n\n\ndata: a\n\n\n\ndata: b\n\n\n", [b"a", b"b"]),
    "an odd blank line": (b"data: a\n\n\ndata: b\n\n", [b"a", b"b"]),
    "mark": (BYTE_ORDER_MARK + b"data: a\n\n", [b"a"]),
    "two marks": (BYTE_ORDER_MARK * 2 + b"data: a\n\ndata: b\n\n", [b"b"]),
    "mark later": (b"data: a\n\n" + BYTE_ORDER_MARK + b"data: b\n\n", [b"a"]),
    "half a mark": (b"\xef\xbbdata: a\n\ndata: b\n\n", [b"b"]),
    "not UTF-8": (b"data: \xff\xfe{\x80\n\ndata: b\n\n", [b"\xff\xfe{\x80", b"b"]),
    "data in data": (b"data: a data: b\n\n", [b"a data: b"]),
    "half an event": (b"data: a\n\ndata: b\n", [b"a"]),
    "half a line": (b"data: a\n\ndat", [b"a"]),
    "nothing": (b"", []),
}
STREAM_CASES = pytest.mark.parametrize(
    ("stream", "events"), STREAMS.values(), ids=STREAMS.keys()
)


@STREAM_CASES
def test_stream_fed_whole(stream: bytes, events: list[bytes] | None) -> None:
    assert parse([stream]) == reference(stream)
    if events is not None:
        assert parse([stream])[0] == events


@STREAM_CASES
def test_stream_fed_byte_by_byte(stream: bytes, events: list[bytes] | None) -> None:
    assert parse(bytes([byte]) for byte in stream) == reference(stream)


@STREAM_CASES
def test_stream_cut_once_anywhere(stream: bytes, events: list[bytes] | None) -> None:
    for at in range(len(stream) + 1):
        assert parse([stream[:at], stream[at:]]) == reference(stream), at


FRAGMENTS = st.sampled_from(
    [
        b"data: {}\n\n",
        b"data: ",
        b"data:",
        b"data",
        b"event: x",
        b"retry",
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b":",
        b" ",
        b"x",
        b"\xff",
        b"\0",
        BYTE_ORDER_MARK,
        b"\xef",
    ]
)
ANY_STREAM = st.lists(FRAGMENTS, max_size=25).map(b"".join)


@given(stream=ANY_STREAM, positions=st.lists(st.integers(0, 200), max_size=12))
def test_any_stream_cut_anywhere(stream: bytes, positions: list[int]) -> None:
    assert parse(cut(stream, positions)) == reference(stream)


@pytest.mark.parametrize(
    ("stream", "is_left"),
    [
        (b"", False),
        (b"data: a\n\n", False),
        (b"data: a\n", True),
        (b"data: a", True),
        (b"data\n", True),
        (b"data: a\n\n\n", False),
        (b"data: a\n\n: ping\n", False),
        (b"data: a\n\n: pin", True),
        (b"event: x\n", False),
        (b"data: a\r", True),
        (b"data: a\r\r", False),
        (b"\xef\xbb", True),
        (BYTE_ORDER_MARK, False),
    ],
)
def test_finish_tells_whether_half_an_event_is_left(
    stream: bytes, is_left: bool
) -> None:
    assert parse([stream])[1] is is_left


LIMIT = 32
LARGEST = b"data: " + b"x" * (LIMIT - 8) + b"\n\n"


def parse_bounded(pieces: Iterable[bytes]) -> list[bytes]:
    parser = SSEParser(max_event_bytes=LIMIT)
    return [event for piece in pieces for event in parser.feed(piece)]


@pytest.mark.parametrize("piece_nbytes", [1, 5, LIMIT, 1000])
@pytest.mark.parametrize(
    "stream",
    [LARGEST * 3, b"\n\n\n" + LARGEST + b"\n" + LARGEST, b":\n\n" * 30 + LARGEST],
)
def test_events_as_large_as_the_limit_pass(stream: bytes, piece_nbytes: int) -> None:
    pieces = cut(stream, range(0, len(stream), piece_nbytes))
    assert parse_bounded(pieces) == reference(stream)[0]


@pytest.mark.parametrize("piece_nbytes", [1, 5, LIMIT, 1000])
@pytest.mark.parametrize(
    "event",
    [
        b"data: x" + LARGEST[6:],
        b":" * 20 + b"\n" + LARGEST,
        b"data: " + b"y" * 100,
        b": no end\n" * 10,
    ],
)
def test_event_over_the_limit_is_an_error(event: bytes, piece_nbytes: int) -> None:
    pieces = cut(LARGEST + event, range(0, len(LARGEST + event), piece_nbytes))
    with pytest.raises(FrameTooLargeError) as caught:
        parse_bounded(pieces)
    assert caught.value.limit == LIMIT < caught.value.size
    assert isinstance(caught.value, RemoteProtocolError)


def test_limit_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_event_bytes is 0"):
        SSEParser(max_event_bytes=0)


class CountedBuffer(bytearray):
    """Counts the bytes that a call on it may look at; appending looks at none."""

    num_touched = 0

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name not in {"extend", "append", "clear"}:
            CountedBuffer.num_touched += len(self)
        return super().__getattribute__(name)

    def __contains__(self, item: Any) -> bool:
        CountedBuffer.num_touched += len(self)
        return super().__contains__(item)

    def __add__(self, other: Any) -> bytearray:
        CountedBuffer.num_touched += len(self)
        return super().__add__(other)

    def __bytes__(self) -> bytes:
        CountedBuffer.num_touched += len(self)
        return bytes(memoryview(self))

    def __getitem__(self, index: Any) -> Any:
        item = super().__getitem__(index)
        CountedBuffer.num_touched += len(item) if isinstance(index, slice) else 1
        return item


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_large_event_in_small_pieces_is_looked_at_once(
    monkeypatch: pytest.MonkeyPatch, end: bytes
) -> None:
    monkeypatch.setattr(_sse, "bytearray", CountedBuffer, raising=False)
    monkeypatch.setattr(CountedBuffer, "num_touched", 0)
    stream = (b"data: " + b"x" * 20 + end) * 1000 + end
    events, is_left = parse(cut(stream, range(0, len(stream), 3)))
    assert (len(events), is_left) == (1, False)
    # Once as a whole, and a byte for each of the pieces that might end it.
    assert 0 < CountedBuffer.num_touched < 2 * len(stream)
