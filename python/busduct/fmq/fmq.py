"""The way to queues and topics, for code with an event loop and without one."""

import weakref
from collections.abc import Awaitable, Callable
from typing import Any

from busduct._scopes import AsyncScope, Scope
from busduct.errors import ConfigError
from busduct.fmq._closing import begin_closing
from busduct.fmq._config import Role
from busduct.fmq._config_source import AnyConfig
from busduct.fmq._consuming import Consuming
from busduct.fmq._endpoint_manager import EndpointManager
from busduct.fmq._hub import HubSettings
from busduct.fmq._hubs import Hubs
from busduct.fmq._payload import PayloadDecoder
from busduct.fmq._producing import Producing
from busduct.fmq._topic._parking import Parking
from busduct.fmq.queue import Queue
from busduct.fmq.topic import Topic

__all__ = ["FMQ"]


class FMQ(Scope, AsyncScope):
    """Makes queues and topics; there may be any number, made by any thread.

    It opens nothing before it is used. Then there is one context for each event loop
    that uses it, and one in a thread of its own for code without a loop. They end with
    the loop, with `close`, when nobody refers to it or its queues any more, or with the
    process; each time what was put is handed over first, within the linger.

    In a forked child it begins anew; queues that were open raise `ForkedError` there.

    Args:
        config: A `Config`, a mapping of settings, or the path of a JSON or TOML file.
            None for what stands in ``FMQ_CONFIG_JSON``, or else the defaults.
        key: Of TCP connections; as of `Context`.
        shm: As of `Context`.
        **overrides: Settings that take the place of those in `config`.

    Attributes:
        manager: What knows the settings.

    Raises:
        ConfigError: A key that is not known, a wrong value, or no such file.
    """

    def __init__(
        self,
        config: AnyConfig = None,
        *,
        key: bytes | None = None,
        shm: str = "auto",
        **overrides: Any,
    ) -> None:
        self.manager = EndpointManager(config, **overrides)
        self._hubs = Hubs(HubSettings(self.manager, key, shm))
        self._topics = Parking()
        self._finalizer = weakref.finalize(self, self._hubs.close_soon)
        # At exit there is time to wait, which the hubs see to themselves.
        self._finalizer.atexit = False

    def queue(
        self,
        name: str,
        role: str | Role = Role.PRODUCER,
        *,
        type: Any = Any,  # noqa: A002
        views: bool = False,
        enc_hook: Callable[[Any], Any] | None = None,
        dec_hook: Callable[[type, Any], Any] | None = None,
        **overrides: Any,
    ) -> Queue:
        """Return one end of a queue.

        Args:
            name: Of the queue.
            role: ``"producer"`` or ``"consumer"``.
            type: What payloads have to be, for a consumer; Any for whatever comes.
            views: Bytes arrive as read-only views of shared memory.
            enc_hook: As of `msgspec.msgpack.Encoder`.
            dec_hook: As of `msgspec.msgpack.Decoder`.
            **overrides: Fields of `QueueOptions`: `ack`, `on_full`, `copy` ...

        Raises:
            ClosedError: It is closed.
            ConfigError: A value that does not exist, or cannot be.
        """
        role = _role_of(role)
        options = self.manager.options_of(name, **overrides)
        side: Producing | Consuming
        if role is Role.PRODUCER:
            side = Producing(self._hubs, name, options, enc_hook)
        else:
            decode = PayloadDecoder(
                type, copy=options.copy, views=views, dec_hook=dec_hook
            )
            side = Consuming(self._hubs, name, options, decode)
        return Queue(name, role, side, self)

    def topic(self, name: str, **overrides: Any) -> Topic:
        """Return a topic, to publish to and to subscribe to.

        Args:
            name: Of the topic.
            **overrides: Fields of `TopicOptions`.

        Raises:
            ConfigError: It cannot be a name.
            TypeError: A setting that a topic does not have.
        """
        options = self.manager.options_of(name)
        return Topic(
            self._hubs,
            name,
            options,
            owner=self,
            parking=self._topics,
            **overrides,
        )

    def close(self) -> Awaitable[None]:  # type: ignore[override]
        """Close all queues and topics: hand over what there is, within the lingers.

        Idempotent. It begins at once; without a running loop it is done on return. Else
        await what it returns.
        """
        return begin_closing(self._hubs.close, self._hubs.close_blocking)

    destroy = close

    async def aclose(self) -> None:
        """Do what `close` does, at the end of an ``async with`` block."""
        await self._hubs.close()


def _role_of(role: str | Role) -> Role:
    try:
        return Role(role)
    except ValueError as error:
        names = " or ".join(repr(role.value) for role in Role)
        msg = f"role is {role!r}; it must be {names}"
        raise ConfigError(msg) from error
