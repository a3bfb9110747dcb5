"""Remote calls: what goes in, and what comes out."""

import asyncio
import logging
from types import ModuleType
from typing import Any

import msgspec
import pytest
from tests.transport.rpc_service import calling, serving

from busduct.errors import (
    ClosedError,
    ConfigError,
    RemoteError,
    RemoteProtocolError,
)
from busduct.transport.rpc import RpcClient, RpcServer, rpc_method

pytestmark = pytest.mark.usefixtures("any_loop")


class Point(msgspec.Struct):
    x: int
    y: int


async def test_call_returns_the_result(backend: ModuleType, address: str) -> None:
    async with (
        serving(backend, address) as (_, _, endpoint),
        calling(backend, endpoint) as client,
    ):
        assert await client.call("add", a=1, b=5) == 6
        assert await client.call("add", a=1) == 3
        assert await client.call("ping") == "pong"
        assert await client.call("echo", value=None) is None


async def test_thousand_calls_at_once_get_each_its_own_result(
    backend: ModuleType, address: str
) -> None:
    async with (
        serving(backend, address) as (_, server, endpoint),
        calling(backend, endpoint) as client,
    ):
        calls = [client.call("add", a=number) for number in range(1000)]
        assert await asyncio.gather(*calls) == list(range(2, 1002))
        assert server.statistics().num_requests == 1000
        assert client.statistics().num_pending == 0


async def test_typed_stub_returns_the_type(backend: ModuleType) -> None:
    async with (
        serving(backend) as (_, server, endpoint),
        calling(backend, endpoint) as client,
    ):

        @server.method(name="points.mirror")
        async def mirror(point: Point, timeout: float = 0.5) -> Point:
            return Point(int(point.y * timeout), point.x)

        mirrored = client.method("points.mirror", Point)
        assert await mirrored(point=Point(1, 4)) == Point(2, 1)
        # A name that `call` takes for itself.
        assert await mirrored(point=Point(1, 4), timeout=1.0) == Point(4, 1)


async def test_result_of_another_type_is_a_protocol_error(backend: ModuleType) -> None:
    async with (
        serving(backend) as (_, _, endpoint),
        calling(backend, endpoint) as client,
    ):
        with pytest.raises(RemoteProtocolError, match="add: Expected `str`"):
            await client.method("add", str)(a=1)


@pytest.mark.parametrize(
    ("method", "parameters", "type_", "text"),
    [
        ("nope", {}, "UnknownMethodError", "no method 'nope'"),
        ("add", {"a": "1"}, "InvalidParametersError", "Expected `int`, got `str`"),
        ("add", {}, "InvalidParametersError", "missing required field `a`"),
        ("add", {"a": 1, "z": 2}, "InvalidParametersError", "unknown field `z`"),
        ("add", {"a": 2**64 - 1, "b": None}, "InvalidParametersError", "got `None`"),
        ("ping", {"a": 1}, "InvalidParametersError", "unknown field `a`"),
        ("fail", {"kind": "meant"}, "NoSuchModelError", "no model of that name"),
        ("fail", {"kind": "exposed"}, "LookupError", "7 is too many"),
        (
            "echo",
            {"value": msgspec.msgpack.Ext(1, b"")},
            "InvalidParametersError",
            "extension types are refused",
        ),
    ],
)
async def test_error_reaches_the_caller(
    backend: ModuleType, method: str, parameters: dict[str, Any], type_: str, text: str
) -> None:
    async with (
        serving(backend, expose=(LookupError,)) as (_, _, endpoint),
        calling(backend, endpoint) as client,
    ):
        with pytest.raises(RemoteError) as caught:
            await client.call(method, **parameters)
        assert caught.value.type == type_
        assert text in caught.value.message


async def test_other_exceptions_show_nothing_but_an_id(
    backend: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        serving(backend) as (_, server, endpoint),
        calling(backend, endpoint) as client,
    ):
        with (
            caplog.at_level(logging.ERROR, "busduct.rpc"),
            pytest.raises(RemoteError) as caught,
        ):
            await client.call("fail", kind="bug")
        assert caught.value.type == "InternalError"
        text, _, incident = caught.value.message.rpartition(" ")
        assert text == "internal error, id"
        (record,) = (r for r in caplog.records if r.name == "busduct.rpc")
        assert incident in record.getMessage()
        assert record.exc_info
        assert "secret" in str(record.exc_info[1])
        assert server.statistics().num_internal_errors == 1


async def test_result_that_cannot_be_encoded_is_an_internal_error(
    backend: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        serving(backend) as (_, server, endpoint),
        calling(backend, endpoint) as client,
    ):
        server.add(object, name="make")
        with pytest.raises(RemoteError, match="InternalError: internal error, id"):
            await client.call("make")
        assert "object is unsupported" in caplog.text


async def test_error_text_that_is_no_text_reaches_the_caller_bounded(
    backend: ModuleType,
) -> None:
    async with (
        serving(backend, expose=(LookupError,)) as (_, server, endpoint),
        calling(backend, endpoint) as client,
    ):

        @server.method()
        def shout() -> None:
            raise LookupError("\ud800" * 100_000)

        with pytest.raises(RemoteError) as caught:
            await client.call("shout")
        assert caught.value.message == "?" * 4096


async def test_parameter_that_cannot_be_encoded_is_not_sent(
    backend: ModuleType,
) -> None:
    async with (
        serving(backend) as (_, server, endpoint),
        calling(backend, endpoint) as client,
    ):
        with pytest.raises(TypeError):
            await client.call("echo", value=object())
        assert await client.call("ping") == "pong"
        assert server.statistics().num_requests == 1


async def test_marked_methods_of_an_object_can_be_called(backend: ModuleType) -> None:
    class Counter:
        def __init__(self) -> None:
            self.count = 0

        @rpc_method
        def step(self) -> int:
            self.count += 1
            return self.count

        @rpc_method(name="back")
        async def step_back(self, by: int) -> int:
            self.count -= by
            return self.count

        def reset(self) -> None:
            self.count = 0

    async with (
        serving(backend) as (_, server, endpoint),
        calling(backend, endpoint) as client,
    ):
        server.add_object(Counter(), prefix="counter.")
        assert await client.call("counter.step") == 1
        assert await client.call("counter.back", by=3) == -2
        with pytest.raises(RemoteError, match="UnknownMethodError"):
            await client.call("counter.reset")
        with pytest.raises(ConfigError, match="object has no method marked"):
            server.add_object(object())


def untyped(a) -> None:  # type: ignore[no-untyped-def]
    """Be refused."""


def variadic(*values: int) -> None:
    """Be refused."""


def by_position(a: int, /) -> None:
    """Be refused."""


def unknown_type(a: "Nowhere") -> None:  # type: ignore[name-defined] # noqa: F821
    """Be refused."""


@pytest.mark.parametrize(
    ("function", "options", "text"),
    [
        (untyped, {}, "parameter a has no annotation"),
        (variadic, {}, "cannot be given by name"),
        (by_position, {}, "cannot be given by name"),
        (unknown_type, {}, "'Nowhere' is not defined"),
        (len, {"name": "add"}, "there is a method add already"),
        (untyped, {"name": "x" * 256}, "256 characters"),
        (lambda: None, {"timeout": 0}, "more than 0 s"),
    ],
)
async def test_function_that_cannot_be_called_remotely_is_refused(
    backend: ModuleType, function: Any, options: dict[str, Any], text: str
) -> None:
    async with serving(backend) as (_, server, _):
        with pytest.raises(ConfigError, match=text):
            server.add(function, **options)


@pytest.mark.parametrize(
    "options", [{"on_full": "drop_new"}, {"router_mandatory": False}]
)
async def test_options_that_would_lose_messages_are_refused(
    backend: ModuleType, options: dict[str, Any]
) -> None:
    async with backend.Context() as ctx:
        with pytest.raises(ConfigError, match="remote calls need"):
            RpcServer(ctx, **options)
        with pytest.raises(ConfigError, match="remote calls need"):
            RpcClient(ctx, "tcp://127.0.0.1:1", **options)
        with pytest.raises(ConfigError, match="timeout is -1"):
            RpcClient(ctx, "tcp://127.0.0.1:1", timeout=-1)
        with pytest.raises(ConfigError):
            RpcClient(ctx, "nowhere")


async def test_body_is_the_plain_one(backend: ModuleType) -> None:
    async with serving(backend) as (_, _, endpoint), backend.Context() as ctx:
        dealer = ctx.socket(backend.DEALER)
        dealer.connect(endpoint)
        header = b"\x01" + (7).to_bytes(8, "big")

        async def ask(body: Any) -> Any:
            await dealer.send_multipart([header, msgspec.msgpack.encode(body)])
            reply_header, reply = await dealer.recv_multipart()
            assert reply_header == b"\x02" + header[1:]
            return msgspec.msgpack.decode(reply)

        assert await ask({"method": "add", "parameters": {"a": 1}}) == {"result": 3}
        assert await ask({"method": "ping", "parameters": None}) == {"result": "pong"}
        assert await ask({"method": "ping"}) == {"result": "pong"}
        assert await ask({"method": "nope", "parameters": {}}) == {
            "error": {"type": "UnknownMethodError", "message": "no method 'nope'"}
        }


async def test_many_clients_of_one_server(backend: ModuleType, address: str) -> None:
    async with serving(backend, address) as (_, _, endpoint), backend.Context() as ctx:

        async def use(number: int) -> int:
            async with RpcClient(ctx, endpoint) as client:
                return await client.method("add", int)(a=number)

        results = await asyncio.gather(*(use(number) for number in range(50)))
        assert results == list(range(2, 52))


async def test_closed_client_refuses_calls(backend: ModuleType) -> None:
    async with serving(backend) as (_, _, endpoint):
        async with calling(backend, endpoint) as client:
            assert await client.call("ping") == "pong"
            await client.aclose()
            await client.aclose()
            with pytest.raises(ClosedError, match="client"):
                await client.call("ping")
        async with backend.Context() as ctx:
            lazy = RpcClient(ctx, endpoint)
            assert await lazy.call("ping") == "pong"
        with pytest.raises(ClosedError, match="context"):
            await lazy.call("ping")
        await lazy.aclose()


async def test_unclosed_ends_warn(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        client = RpcClient(ctx, "tcp://127.0.0.1:1")
        with pytest.warns(ResourceWarning, match="unclosed"):
            client.__del__()
        await client.aclose()
        server = RpcServer(ctx)
        with pytest.warns(ResourceWarning, match="unclosed"):
            server.__del__()
        await server.aclose()
