"""What cannot be sent: which part of the payload it is, and what to do about it."""

import dataclasses
import enum
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.fmq.payloads import encoded

from busduct.errors import BusductError, PayloadError


class Request(msgspec.Struct):
    callback: Any = None
    items: list[Any] = []


@dataclasses.dataclass
class Step:
    hook: Any


class Kind(enum.Enum):
    NONE = object()


def a_function() -> None:
    raise NotImplementedError


LONG = "k" * 1000


@pytest.mark.parametrize(
    ("payload", "path", "type_name"),
    [
        (a_function, "payload", "function"),
        (object(), "payload", "object"),
        ({"x": object()}, 'payload["x"]', "object"),
        ({"x": [1, {"y": a_function}]}, 'payload["x"][1]["y"]', "function"),
        ({"request": Request(a_function)}, 'payload["request"].callback', "function"),
        (Request(items=[{1: 1j}]), "payload.items[0][1]", "complex"),
        ((1, Step(object)), "payload[1].hook", "type"),
        ({"x": {a_function}}, 'payload["x"].item(<function>)', "function"),
        ({a_function: 1}, "payload.key(<function>)", "function"),
        ({(1, a_function): 1}, "payload.key(<tuple>)[1]", "function"),
        ({b"k": {2.5: 1j}}, "payload[b'k'][2.5]", "complex"),
        ({'"\n': 1j}, 'payload["\\"\\n"]', "complex"),
        ({LONG: 1j}, f'payload["{LONG[:40]}"]', "complex"),
        ([[[0]] * 99 + [a_function]], "payload[0][99]", "function"),
        ({"kind": Kind.NONE}, 'payload["kind"].value', "object"),
        ({"x": [0, 2**64]}, 'payload["x"][1]', "int"),
        (-(2**63) - 1, "payload", "int"),
        ({"x": "\ud800"}, 'payload["x"]', "str"),
        ({"\ud800": 1}, 'payload.key("\\ud800")', "str"),
        ([np.zeros(2, object)], "payload[0]", "ndarray"),
        ({"x": np.ma.masked_array([1, 2], [0, 1])}, 'payload["x"]', "MaskedArray"),
        ({"x": np.zeros((1,) * 33)}, 'payload["x"]', "ndarray"),
        ({"x": msgspec.msgpack.Ext(1, b"")}, 'payload["x"]', "Ext"),
    ],
)
def test_error_says_where_it_is(payload: Any, path: str, type_name: str) -> None:
    with pytest.raises(PayloadError) as raised:
        encoded(payload)
    assert raised.value.path == path
    assert raised.value.type_name == type_name
    assert str(raised.value).startswith(f"{path} is of type {type_name}: ")


def test_error_is_also_a_type_error_with_its_cause() -> None:
    with pytest.raises(TypeError, match="or give enc_hook") as raised:
        encoded({"x": a_function})
    assert isinstance(raised.value, BusductError)
    assert raised.value.__cause__ is not None


@pytest.mark.parametrize(
    ("payload", "advice"),
    [
        ({"x": a_function}, r"send a msgspec\.Struct, a dataclass or a dict, or give"),
        (np.zeros(2, object), "dtype object cannot be sent; one of bool, int8"),
        (np.zeros(2, "M8[s]"), r"dtype datetime64\[s\] cannot be sent"),
        (np.ma.masked_array([1, 2], [0, 1]), r"send its \.filled\(\)"),
        ([2**64], "send it as str"),
        (["\udfff"], "send it as bytes"),
        ({"x": msgspec.msgpack.Ext(1, b"")}, "extension types are refused"),
    ],
)
def test_error_says_what_to_do(payload: Any, advice: str) -> None:
    with pytest.raises(PayloadError, match=advice) as raised:
        encoded(payload)
    assert raised.value.reason in str(raised.value)


def test_payload_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    table: dict[str, Any] = {}
    table["x"] = {"y": table}
    for payload in (loop, table, [loop, a_function]):
        with pytest.raises(PayloadError, match="holds itself"):
            encoded(payload)


def test_what_enc_hook_does_not_take_is_told_with_what_it_says() -> None:
    def hook(value: Any) -> Any:
        if isinstance(value, complex):
            return {"re": value.real, "at": [a_function]}
        msg = f"no {type(value).__name__} here"
        raise NotImplementedError(msg)

    with pytest.raises(PayloadError, match="extension types are refused"):
        encoded({"x": 1j}, enc_hook=lambda _value: msgspec.msgpack.Ext(1, b""))
    with pytest.raises(PayloadError, match="enc_hook: no object here") as raised:
        encoded({"x": object()}, enc_hook=hook)
    assert raised.value.path == 'payload["x"]'
    with pytest.raises(PayloadError, match="enc_hook: no function here") as raised:
        encoded({"x": 1j}, enc_hook=hook)
    assert raised.value.path == "something in payload"


def test_other_errors_of_enc_hook_are_the_callers() -> None:
    def hook(value: Any) -> Any:
        raise KeyError(value)

    with pytest.raises(KeyError):
        encoded({"x": 1j}, enc_hook=hook)


def test_array_on_a_device_is_refused_with_what_to_do() -> None:
    class OnDevice:
        def __dlpack_device__(self) -> tuple[int, int]:
            return (2, 0)

        def __dlpack__(self, **_options: Any) -> object:
            raise AssertionError

    with pytest.raises(PayloadError, match=r"is on a device .* send its \.cpu\(\)"):
        encoded({"kv": OnDevice()})
