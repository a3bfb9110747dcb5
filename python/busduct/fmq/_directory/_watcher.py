"""Follow who the members of a queue or a topic are."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from busduct.errors import (
    BusductError,
    ClosedError,
    HandshakeError,
    RemoteProtocolError,
)
from busduct.fmq._directory._address import check_address, check_data_endpoint
from busduct.fmq._directory._faults import Faults
from busduct.fmq._directory._links import Links
from busduct.fmq._directory._session import Session
from busduct.fmq._directory._wire import Answer, Hello, MemberList, Watch

if TYPE_CHECKING:
    from busduct._core import Context

__all__ = ["Members", "Watcher"]

_log = logging.getLogger("busduct.fmq")

# By id: where the member listens for data.
Members: TypeAlias = Mapping[bytes, str]

ALONE_SECONDS: Final = 1.0


class Watcher:
    """Tell of the members of one queue or topic, as they come and go.

    It connects in the background, for ever. For a moment after one who served has
    gone, the list lacks members that have yet to tell the next; if nobody has come to
    serve after a second, there are none.

    Needs a running loop.

    Args:
        context: Owns the socket.
        address: Where the directory is served.
        name: Of the queue or topic.
        on_members: Called on the loop with all members, whenever they have changed.
        insecure: As of `Socket.connect`.

    Raises:
        ConfigError: Not an address that others can find.
        ClosedError: The context is closed.
    """

    def __init__(
        self,
        context: "Context",
        address: str,
        name: str,
        on_members: Callable[[Members], None],
        *,
        insecure: bool = False,
    ) -> None:
        check_address(address)
        self._address = address
        self._name = name
        self._on_members = on_members
        self._faults = Faults(f"watching {name} at {address}")
        self._members: dict[bytes, str] = {}
        self._alone: asyncio.TimerHandle | None = None
        self._known = asyncio.Event()
        self._is_closed = False
        self._links = Links(context, address)
        try:
            self._session = Session(
                self._links.context,
                address,
                insecure=insecure,
                make_hello=self._make_hello,
                on_answer=self._on_answer,
                on_down=self._on_down,
                on_fault=self._on_fault,
            )
        except BaseException:
            self._links.close()
            raise

    async def wait_known(self) -> None:
        """Wait for the first list, or until it is known that nobody serves.

        Cancelling is safe.

        Raises:
            ClosedError: This one is closed.
        """
        await self._known.wait()
        if self._is_closed:
            what = "watcher"
            raise ClosedError(what)

    def recent_errors(self) -> list[BusductError]:
        """Return why members could not be told, oldest first, the last 16.

        HandshakeError: it is the address of another queue or topic, or of another
        version, or of something else. RemoteProtocolError: a member is nowhere.
        """
        return self._faults.recent()

    def close(self) -> None:
        """Follow no more; `on_members` is not called again. Idempotent."""
        self._is_closed = True
        self._known.set()
        self._cancel_alone()
        self._session.close()
        self._links.close()

    def _make_hello(self, token: int) -> Hello:
        return Watch(token, self._name)

    def _on_answer(self, answer: Answer) -> None:
        if not isinstance(answer, MemberList):
            return
        self._cancel_alone()
        members = {}
        for member_id, endpoint in answer.members.items():
            try:
                check_data_endpoint(endpoint, self._address)
            except RemoteProtocolError as error:
                self._faults.note(error)
            else:
                members[member_id] = endpoint
        self._tell(members)
        self._known.set()

    def _on_down(self, _error: BusductError | None) -> None:
        self._known.set()
        if self._members and self._alone is None:
            loop = asyncio.get_running_loop()
            self._alone = loop.call_later(ALONE_SECONDS, self._tell, {})

    def _on_fault(self, error: HandshakeError) -> None:
        self._faults.note(error)
        self._on_down(error)

    def _tell(self, members: dict[bytes, str]) -> None:
        if members == self._members:
            return
        self._members = members
        try:
            self._on_members(dict(members))
        except Exception:
            _log.exception("the members of %s could not be dealt with", self._name)

    def _cancel_alone(self) -> None:
        if self._alone is not None:
            self._alone.cancel()
            self._alone = None
