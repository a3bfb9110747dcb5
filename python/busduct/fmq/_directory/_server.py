"""The directory at an address, for as long as one of its members serves it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from busduct._backend import load_backend
from busduct.errors import ClosedError, PeerLostError
from busduct.fmq._directory._address import file_of
from busduct.fmq._directory._links import SERVER_OPTIONS
from busduct.fmq._directory._roster import Roster
from busduct.fmq._enduring_task import EnduringTask

if TYPE_CHECKING:
    from busduct._core import Context
    from busduct.monitor import MonitorEvent

__all__ = ["Server"]

_MAX_EVENTS = 16384
CHECK_SECONDS: Final = 0.5


class Server:
    """A ROUTER that registers members, and tells watchers of them.

    Args:
        context: Owns the socket.
        address: To bind to.
        name: Of the queue or topic.
        member_id: Of the member that serves.
        endpoint: Where that member listens.
        insecure: As of `Socket.bind`.
        on_replaced: Told that others have taken the address, of which this one would
            be the last to know.

    Raises:
        AddressInUseError: Somebody listens there.
        AuthError: As of `Socket.bind`.
        ConfigError: As of `Socket.bind`.
        ClosedError: The context is closed.
        OSError: What else the system refuses.
    """

    def __init__(
        self,
        context: "Context",
        address: str,
        *,
        name: str,
        member_id: bytes,
        endpoint: str,
        insecure: bool,
        on_replaced: Callable[[], None],
    ) -> None:
        self._address = address
        self._on_replaced = on_replaced
        self._socket = context.socket(load_backend().ROUTER, **SERVER_OPTIONS)
        try:
            self._monitor = self._socket.monitor(_MAX_EVENTS)
            self._socket.bind(address, insecure=insecure)
        except BaseException:
            self._socket.close(0)
            raise
        self._file = file_of(address)
        self._num_events_lost = 0
        self._roster = Roster(address, name, self._file, member_id, endpoint)
        self._is_telling = False
        self._checking: asyncio.TimerHandle | None = None
        self._tasks = (
            EnduringTask(f"busduct fmq {name} directory", self._receive),
            EnduringTask(f"busduct fmq {name} clients", self._watch),
        )

    @property
    def closed(self) -> bool:
        """Whether nobody is served any more."""
        return self._socket.closed

    @property
    def num_refused(self) -> int:
        """Clients turned away, and messages that no client sends."""
        return self._roster.num_refused

    def close(self) -> None:
        """Leave the address to others. Idempotent."""
        self._socket.close(0)
        if self._checking is not None:
            self._checking.cancel()
            self._checking = None
        for task in self._tasks:
            task.cancel()

    async def _receive(self) -> None:
        with suppress(ClosedError):
            while True:
                peer, *parts = await self._socket.recv_multipart()
                # First: who came back under the same routing id must not lose its
                # place to its own farewell.
                self._take_events()
                self._say(peer, self._roster.on_message(peer, parts))
                self._tell_soon()

    async def _watch(self) -> None:
        async for event in self._monitor:
            self._on_event(event)
            self._take_events()
            self._tell_soon()

    def _take_events(self) -> None:
        with suppress(ClosedError):
            while (event := self._monitor.recv_nowait()) is not None:
                self._on_event(event)
        if self._monitor.num_dropped > self._num_events_lost:
            self._num_events_lost = self._monitor.num_dropped
            for peer in self._roster.clients() - self._connected():
                self._roster.forget(peer)

    def _on_event(self, event: "MonitorEvent") -> None:
        if event.kind != "disconnected":
            return
        self._roster.forget(event.routing_id)
        if self._file and self._checking is None:
            # They leave a server that says nothing, and one of them then takes its
            # address: in this order, and whoever was stopped learns it from them.
            loop = asyncio.get_running_loop()
            self._checking = loop.call_later(CHECK_SECONDS, self._check_address)

    def _check_address(self) -> None:
        self._checking = None
        if file_of(self._address) != self._file:
            self._on_replaced()

    def _connected(self) -> set[bytes]:
        with suppress(ClosedError):
            return {peer.routing_id for peer in self._socket.peers()}
        return set()

    def _tell_soon(self) -> None:
        if self._roster.is_changed and not self._is_telling:
            self._is_telling = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        """Tell all watchers of what has changed in this turn of the loop."""
        self._is_telling = False
        for peer, news in self._roster.take_news():
            self._say(peer, news)
        self._tell_soon()

    def _say(self, peer: bytes, message: bytes) -> None:
        try:
            self._socket.send_multipart_nowait([peer, message])
        except PeerLostError:
            # Its farewell came before what it had said.
            self._roster.forget(peer)
        except ClosedError:
            return
