"""Be one of the members of a queue or a topic, and serve its directory at need."""

import asyncio
import errno
from typing import TYPE_CHECKING

from busduct.errors import (
    AddressInUseError,
    BusductError,
    ClosedError,
    HandshakeError,
    PeerLostError,
)
from busduct.fmq._directory._address import check_address, remove_file
from busduct.fmq._directory._faults import Faults
from busduct.fmq._directory._links import Links
from busduct.fmq._directory._server import Server
from busduct.fmq._directory._session import Session
from busduct.fmq._directory._wire import Answer, Hello, Register, Registered

if TYPE_CHECKING:
    from busduct._core import Context

__all__ = ["Registration"]


# In a second or so: those who begin together meet a free address now and then.
_MAX_IN_USE = 8


class Registration:
    """Have a member known to all who watch, until it is closed.

    Whoever comes first to the address serves there; the others register with it. When
    it ends, or over ipc when it says nothing for some seconds, another takes its place
    and the rest register again.

    Needs a running loop.

    Args:
        context: Owns the sockets.
        address: Where the directory is, or is to be, served. Over TCP only members of
            the machine that has it can serve.
        name: Of the queue or topic.
        member_id: 16 bytes that no other member has.
        data_endpoint: Where the member listens.
        insecure: As of `Socket.bind` and `Socket.connect`.

    Raises:
        AuthError: As of `Socket.bind`.
        ConfigError: Not an address that others can find.
        ClosedError: The context is closed.
        OSError: What else the system refuses.
    """

    def __init__(
        self,
        context: "Context",
        address: str,
        name: str,
        member_id: bytes,
        data_endpoint: str,
        *,
        insecure: bool = False,
    ) -> None:
        check_address(address)
        self._address = address
        self._name = name
        self._member_id = member_id
        self._endpoint = data_endpoint
        self._insecure = insecure
        self._faults = Faults(f"registering with {name} at {address}")
        self._waiters: set[asyncio.Future[None]] = set()
        self._is_closed = False
        self._is_known = False
        self._num_in_use = 0
        self._fault: HandshakeError | None = None
        self._server_file = ""
        self._server: Server | None = None
        self._session: Session | None = None
        self._links = Links(context, address)
        try:
            if not self._serve():
                self._follow()
        except BaseException:
            self._links.close()
            raise

    @property
    def is_serving(self) -> bool:
        """Whether it is this one that the others register with."""
        return self._server is not None and not self._server.closed

    @property
    def is_registered(self) -> bool:
        """Whether those who watch are told of the member, as far as is known."""
        return self._is_known

    @property
    def num_refused(self) -> int:
        """Clients that this one turned away, garbage included, while it serves."""
        return 0 if self._server is None else self._server.num_refused

    async def wait_registered(self) -> None:
        """Wait until those who watch are told of the member. Cancelling is safe.

        Raises:
            HandshakeError: It is the address of another queue or topic, or of something
                that is no directory, as far as is known. It is tried again, less and
                less often.
            ClosedError: This one is closed.
        """
        while not self._is_known:
            if self._is_closed:
                what = "registration"
                raise ClosedError(what)
            if self._fault is not None:
                raise HandshakeError(self._fault.peer, self._fault.reason)
            await self._news()

    def recent_errors(self) -> list[BusductError]:
        """Return why the member could not be registered, oldest first, the last 16."""
        return self._faults.recent()

    def close(self) -> None:
        """Be a member no more. Idempotent."""
        self._is_closed = True
        self._is_known = False
        self._stop()
        self._links.close()
        self._wake()

    def _stop(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None
        if self._server is not None:
            self._server.close()
            self._server = None

    def _serve(self) -> bool:
        """Take the address if it is free; tell whether it was.

        Raises:
            BusductError: As the class does.
            OSError: As the class does.
        """
        try:
            self._server = Server(
                self._links.context,
                self._address,
                name=self._name,
                member_id=self._member_id,
                endpoint=self._endpoint,
                insecure=self._insecure,
                on_replaced=self._on_replaced,
            )
        except AddressInUseError:
            self._note_in_use()
            return False
        except OSError as error:
            # It is the address of another machine.
            if error.errno == errno.EADDRNOTAVAIL:
                return False
            raise
        self._succeed()
        return True

    def _note_in_use(self) -> None:
        """Note that the address cannot be had; he who has it should answer soon."""
        self._num_in_use += 1
        if self._num_in_use == _MAX_IN_USE:
            reason = "the address is in use, and nobody accepts connections"
            self._on_fault(HandshakeError(self._address, reason))

    def _succeed(self) -> None:
        self._is_known = True
        self._num_in_use = 0
        self._fault = None
        self._wake()

    def _follow(self) -> None:
        self._session = Session(
            self._links.context,
            self._address,
            insecure=self._insecure,
            make_hello=self._make_hello,
            on_answer=self._on_answer,
            on_down=self._on_down,
            on_fault=self._on_fault,
        )

    def _make_hello(self, token: int) -> Hello:
        return Register(token, self._name, self._member_id, self._endpoint)

    def _on_answer(self, answer: Answer) -> None:
        if isinstance(answer, Registered):
            self._server_file = answer.file
            self._succeed()

    def _on_down(self, error: BusductError | None) -> None:
        self._is_known = False
        # Without a farewell it may live, and hold the address without a word.
        silent_file = self._server_file if isinstance(error, PeerLostError) else ""
        self._server_file = ""
        try:
            is_serving = self._serve()
            if not is_serving and silent_file:
                remove_file(self._address, silent_file)
                is_serving = self._serve()
        except (BusductError, OSError) as refused:
            self._on_fault(HandshakeError(self._address, str(refused)))
            return
        if is_serving and self._session is not None:
            self._session.close()
            self._session = None

    def _on_fault(self, error: HandshakeError) -> None:
        self._is_known = False
        self._faults.note(error)
        self._fault = error
        self._wake()

    def _on_replaced(self) -> None:
        self._stop()
        self._is_known = False
        self._follow()

    async def _news(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiters.add(future)
        try:
            await future
        finally:
            self._waiters.discard(future)

    def _wake(self) -> None:
        for future in self._waiters:
            if not future.done():
                future.set_result(None)
