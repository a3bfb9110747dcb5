"""Links between sockets of one context: messages are moved, nothing is written."""

from collections import deque
from typing import TYPE_CHECKING, Final

from busduct._fallback._backoff import Backoff
from busduct._fallback._endpoint import Endpoint
from busduct._fallback._kinds import KIND_NAMES, explain_mismatch, is_compatible
from busduct._fallback._limits import check_size
from busduct._fallback._outbox import Written
from busduct._fallback._peer import Peer
from busduct._fallback._timer import Timer
from busduct.errors import AddressInUseError, BusductError, RemoteProtocolError

if TYPE_CHECKING:
    from busduct._fallback._pattern import Pattern

__all__ = ["InprocConnector", "InprocListener", "InprocNames"]

_REFUSED: Final = "peer refused: "


class InprocNames:
    """The inproc names of a context: who is bound to them, and who waits for them."""

    def __init__(self) -> None:
        self._bound: dict[str, InprocListener] = {}
        self._waiting: dict[str, dict[InprocConnector, None]] = {}

    def find(self, name: str) -> "InprocListener | None":
        """Return who is bound to a name."""
        return self._bound.get(name)

    def bind(self, name: str, listener: "InprocListener") -> None:
        """Give a name to a listener.

        Raises:
            AddressInUseError: Another has it.
        """
        if name in self._bound:
            raise AddressInUseError(listener.endpoint)
        self._bound[name] = listener

    def serve(self, name: str) -> None:
        """Connect everybody who waits for a name that is bound."""
        for connector in self._waiting.pop(name, {}):
            connector.start()

    def free(self, name: str) -> None:
        """Take a name back."""
        del self._bound[name]

    def wait(self, name: str, connector: "InprocConnector") -> None:
        """Have a connector started once a name is bound."""
        self._waiting.setdefault(name, {})[connector] = None

    def forget(self, name: str, connector: "InprocConnector") -> None:
        """Have a connector wait no longer, if it does."""
        waiting = self._waiting.get(name, {})
        waiting.pop(connector, None)
        if not waiting:
            self._waiting.pop(name, None)


class InprocListener:
    """A name that sockets of the same context can connect to.

    Attributes:
        pattern: The socket that is bound.
        endpoint: As it was bound.
    """

    def __init__(
        self, pattern: "Pattern", endpoint: Endpoint, names: InprocNames
    ) -> None:
        self._name = endpoint.name
        self._names = names
        self.pattern = pattern
        self.endpoint = str(endpoint)
        names.bind(self._name, self)

    def start(self) -> None:
        """Accept who waits already."""
        self.pattern.report("listening", self.endpoint)
        self._names.serve(self._name)

    def accept(self) -> "InprocLink | None":
        """Return our end of a fresh link; None if there may be no more."""
        if self.pattern.is_crowded:
            self.pattern.counters.num_refused += 1
            self.pattern.report("refused", self.endpoint)
            return None
        self.pattern.counters.num_accepted += 1
        self.pattern.report("accepted", self.endpoint)
        return InprocLink(self.pattern, self.endpoint)

    def close(self) -> None:
        """Free the name."""
        self._names.free(self._name)
        self.pattern.report("closed", self.endpoint)


class InprocConnector:
    """Keeps one link to an inproc name for as long as it is not stopped.

    Attributes:
        endpoint: Where to.
        link: The link, while there is one.
    """

    def __init__(
        self, pattern: "Pattern", endpoint: Endpoint, names: InprocNames
    ) -> None:
        self._pattern = pattern
        self._names = names
        self._backoff = Backoff(pattern.options)
        self._timer: Timer | None = None
        self._is_stopped = False
        self.endpoint = endpoint
        self.link: Peer | None = None

    def start(self) -> None:
        """Connect, or wait until the name is bound."""
        self._timer = None
        listener = self._names.find(self.endpoint.name)
        if listener is None:
            self._names.wait(self.endpoint.name, self)
            return
        ours = InprocLink(self._pattern, str(self.endpoint), self)
        theirs = listener.accept()
        self.link = ours
        self._pattern.add_link(ours)
        if theirs is None:
            ours.close(None)
        else:
            listener.pattern.add_link(theirs)
            ours.join(theirs)

    def put_off(self) -> None:
        """Try again later, unless stopped; at once when the name is bound again."""
        self.link = None
        if self._is_stopped:
            return
        if self._names.find(self.endpoint.name) is None:
            self._names.wait(self.endpoint.name, self)
            return
        self._pattern.counters.num_retries += 1
        self._pattern.report("retried", str(self.endpoint))
        wait = self._backoff.next_wait()
        self._timer = self._pattern.reactor.call_later(wait, self.start)

    def succeeded(self) -> None:
        """Start the back-off anew."""
        self._backoff.reset()

    def stop(self) -> None:
        """Connect no more. The link stays. Idempotent."""
        self._is_stopped = True
        self._names.forget(self.endpoint.name, self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class InprocLink(Peer):
    """One end of a link between two sockets of the same context."""

    def __init__(
        self,
        pattern: "Pattern",
        endpoint: str,
        connector: InprocConnector | None = None,
    ) -> None:
        super().__init__(pattern, endpoint, connector)
        self._other: InprocLink | None = None
        self._is_closed = False
        # Messages that go ahead of all others.
        self._posted: deque[list[bytes]] = deque()
        self.peer_options = pattern.options

    @property
    def is_open(self) -> bool:
        """Whether neither end was closed."""
        return not self._is_closed

    @property
    def is_flushed(self) -> bool:
        """Whether all that was to be handed over is."""
        return not self.outbox and not self._posted

    @property
    def peer_routing_id(self) -> bytes:
        """The id of the other socket."""
        return self.peer_options.routing_id

    def start(self) -> None:
        """Do nothing: `join` does all."""

    def join(self, other: "InprocLink") -> None:
        """Become the two ends of a link, if the two sockets will have each other."""
        self._other, other._other = other, self
        self.peer_options, other.peer_options = other.peer_options, self.peer_options
        for end in (self, other):
            # Each tells what it thinks, as over a stream.
            error = end._find_mismatch()
            if error is not None:
                end._end(error)
                end._other = None
        for end in (self, other):
            if end.is_open:
                try:
                    end._come_up()
                except RemoteProtocolError as error:
                    end.close(error)

    def _find_mismatch(self) -> RemoteProtocolError | None:
        kind, peer = self._pattern.options.kind, self.peer_options.kind
        name = KIND_NAMES[peer].encode()
        if is_compatible(kind, name):
            return None
        return RemoteProtocolError(explain_mismatch(kind, name))

    def post(self, message: list[bytes]) -> None:
        """Hand over a message ahead of all others, that no queue counts."""
        self._posted.append(message)
        self._mark_dirty()

    def resume(self) -> None:
        """Take what the other end could not hand over."""
        self._is_paused = False
        if self._other is not None:
            self._other._mark_dirty()

    def flush(self) -> None:
        """Hand over what the other end has room for."""
        self._is_dirty = False
        done = Written()
        while self.is_up and self._other is not None:
            if not self._other.is_up or not self._hand_over_next(self._other, done):
                break
        if done.num_messages:
            self._pattern.on_written(self, done)

    def _hand_over_next(self, other: "InprocLink", done: Written) -> bool:
        """Hand over what is next; tell whether there was something and room for it."""
        if self._posted:
            return self._offer(other, self._posted[0]) and bool(self._posted.popleft())
        if self.announcements:
            topic, is_wanted = self.announcements.first()
            if self._offer(other, [bytes((is_wanted,)) + topic]):
                self.announcements.pop()
                return True
            return False
        lane = self.outbox.front()
        if lane is None:
            return False
        message = lane.messages[0]
        try:
            is_taken = self._offer(other, message)
        except RemoteProtocolError as error:
            done.add(lane.pop())
            other.close(error)
            return False
        if is_taken:
            done.add(lane.pop())
        return is_taken

    def _offer(self, other: "InprocLink", message: list[bytes]) -> bool:
        if not other._pattern.is_open:
            # It will take nothing more. Another peer may, unless this side ends too:
            # two that close must not wait for each other.
            return not self._pattern.is_open
        check_size(other._pattern.options, message)
        # The list is copied, as a publisher gives it to many; its parts are not.
        if other._has_inbox_room and other._pattern.deliver(other, list(message)):
            return True
        other._is_paused = True
        return False

    def drain(self) -> bool:
        """Return False: nothing is under way."""
        return False

    def close(self, error: BusductError | None) -> None:
        """End the link; what came can still be taken. Idempotent."""
        other, self._other = self._other, None
        self._end(error)
        if other is None:
            return
        other._other = None
        # As over a stream, where bad bytes get no answer and a refusal is no refusal.
        is_told = type(error) is RemoteProtocolError
        is_told = is_told and not str(error).startswith(_REFUSED)
        other._end(RemoteProtocolError(f"{_REFUSED}{error}") if is_told else None)

    def _end(self, error: BusductError | None) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._pattern.on_down(self, error)
