"""What a broadcast queue hands to its readers, as text."""

import msgspec
import pytest

from busduct.errors import ConfigError
from busduct.transport import BroadcastHandle

HANDLE = BroadcastHandle(1, 3, 1 << 20, "00" * 8, "ipc:///run/a:b/queue")


def test_text_and_bytes_make_the_handle_again() -> None:
    assert BroadcastHandle.parse(str(HANDLE)) == HANDLE
    assert BroadcastHandle.parse(str(HANDLE).encode()) == HANDLE
    assert " " not in str(HANDLE)


def test_msgpack_makes_the_handle_again() -> None:
    payload = msgspec.msgpack.encode(HANDLE)
    assert msgspec.msgpack.decode(payload, type=BroadcastHandle) == HANDLE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ipc:///run/queue",
        "busduct-broadcast:1:3:1048576:0000000000000000",
        "busduct-broadcast:one:3:1048576:0000000000000000:ipc:///a",
        "busduct-other:1:3:1048576:0000000000000000:ipc:///a",
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_handle_is_refused(text: str | bytes) -> None:
    with pytest.raises(ConfigError, match="is not the handle of a broadcast queue"):
        BroadcastHandle.parse(text)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"version": 2}, "version 2; this side speaks 1"),
        ({"num_readers": 0}, "no queue is so"),
        ({"num_readers": 4097}, "no queue is so"),
        ({"max_message_bytes": 0}, "no queue is so"),
        ({"token": "00"}, "16 hexadecimal digits"),
        ({"token": "no digits at all"}, "16 hexadecimal digits"),
    ],
)
def test_handle_that_no_queue_makes_is_refused(
    changed: dict[str, object], reason: str
) -> None:
    fields = {**msgspec.structs.asdict(HANDLE), **changed}
    text = "busduct-broadcast:" + ":".join(map(str, fields.values()))
    with pytest.raises(ConfigError, match=reason):
        BroadcastHandle.parse(text)
