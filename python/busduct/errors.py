"""The errors that busduct raises.

::

    BusductError
    |- ClosedError
    |- PeerLostError(peer)
    |- FullError(limit)
    |- WaitTimeoutError                 also a TimeoutError
    |  `- WorkersNotReadyError(timeout, num_ready, missing)
    |- AddressInUseError(endpoint)      also an OSError
    |- ProtocolError
    |  |- LocalProtocolError
    |  |  `- AlreadySubscribedError     also a RuntimeError
    |  `- RemoteProtocolError
    |     |- FrameTooLargeError(size, limit)
    |     `- MalformedFrameError(offset)
    |- WorkerError
    |  |- WorkerStartError(worker_id)   also a RuntimeError
    |  |- WorkerDiedError(worker_id, exit_code)
    |  `- EngineDeadError(engine)
    |- SegmentError
    |  |- SegmentGoneError(name)
    |  |- SegmentFullError(requested, available)
    |  `- StaleDescriptorError(generation)
    |- PayloadError(path, type_name)    also a TypeError
    |- RequestError(code)               also a ValueError
    |- QueryError(query_id, error_type)
    |  `- QueryTimeoutError             also a TimeoutError
    |- RpcError
    |- RemoteError(type, message)
    |- HandshakeError(peer, reason)
    |- AuthError
    |- ConfigError                      also a ValueError
    `- ForkedError
"""

__all__ = [
    "AddressInUseError",
    "AlreadySubscribedError",
    "AuthError",
    "BusductError",
    "ClosedError",
    "ConfigError",
    "EngineDeadError",
    "ForkedError",
    "FrameTooLargeError",
    "FullError",
    "HandshakeError",
    "LocalProtocolError",
    "MalformedFrameError",
    "PayloadError",
    "PeerLostError",
    "ProtocolError",
    "QueryError",
    "QueryTimeoutError",
    "RemoteError",
    "RemoteProtocolError",
    "RequestError",
    "RpcError",
    "SegmentError",
    "SegmentFullError",
    "SegmentGoneError",
    "StaleDescriptorError",
    "WaitTimeoutError",
    "WorkerDiedError",
    "WorkerError",
    "WorkerStartError",
    "WorkersNotReadyError",
]


class BusductError(Exception):
    """Base of every error of this package."""


class ClosedError(BusductError):
    """This side is closed."""

    def __init__(self, what: str = "socket") -> None:
        super().__init__(f"{what} is closed")
        self.what = what


class PeerLostError(BusductError):
    """The other side went away, or was never there.

    Attributes:
        peer: The endpoint or, for a ROUTER, the routing id in hexadecimal.
    """

    def __init__(self, peer: str) -> None:
        super().__init__(f"peer {peer} is gone")
        self.peer = peer


class FullError(BusductError):
    """A high-water mark is reached; nothing was accepted.

    Attributes:
        limit: The marks, as ``"<n> messages or <m> bytes"``.
    """

    def __init__(self, limit: str) -> None:
        super().__init__(f"high-water mark of {limit} is reached")
        self.limit = limit


class WaitTimeoutError(BusductError, TimeoutError):
    """A blocking call did not end within its timeout.

    Attributes:
        timeout: What the caller allowed, in seconds.
    """

    def __init__(self, timeout: float) -> None:
        super().__init__(f"timed out after {timeout} s")
        self.timeout = timeout


class WorkersNotReadyError(WaitTimeoutError):
    """Not all workers of a pool became ready in time; the wait may be resumed.

    Attributes:
        num_ready: How many did.
        missing: The ids of the others, in order.
    """

    def __init__(
        self, timeout: float, num_ready: int, missing: tuple[int, ...]
    ) -> None:
        super().__init__(timeout)
        self.num_ready = num_ready
        self.missing = missing

    def __str__(self) -> str:
        names = ", ".join(map(str, self.missing))
        total = self.num_ready + len(self.missing)
        return (
            f"{self.num_ready}/{total} workers ready after {self.timeout} s; "
            f"missing {names}"
        )


class AddressInUseError(BusductError, OSError):
    """Another live owner listens at this endpoint.

    Attributes:
        endpoint: The endpoint that was asked for.
    """

    def __init__(self, endpoint: str) -> None:
        super().__init__(f"endpoint {endpoint} is in use")
        self.endpoint = endpoint


class ProtocolError(BusductError):
    """Base of protocol violations, ours or the peer's."""


class LocalProtocolError(ProtocolError):
    """The caller misused the interface."""


class AlreadySubscribedError(LocalProtocolError, RuntimeError):
    """A topic calls back somebody already.

    Attributes:
        topic: Its name.
    """

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic!r} has a subscriber; call stop_sub() first")
        self.topic = topic


class RemoteProtocolError(ProtocolError):
    """A peer broke the protocol; only its link was closed."""


class FrameTooLargeError(RemoteProtocolError):
    """A message is larger than the limit; nothing was allocated for it.

    Attributes:
        size: Bytes (or parts, if the text says so) that were announced.
        limit: Bytes or parts that are allowed.
    """

    def __init__(self, size: int, limit: int, unit: str = "bytes") -> None:
        super().__init__(f"message of {size} {unit} exceeds limit of {limit} {unit}")
        self.size = size
        self.limit = limit
        self.unit = unit


class MalformedFrameError(RemoteProtocolError):
    """Bytes from a peer do not parse.

    Attributes:
        offset: Position in that peer's byte stream.
        reason: What is wrong there.
    """

    def __init__(self, offset: int, reason: str = "malformed frame") -> None:
        super().__init__(f"{reason} at byte {offset}")
        self.offset = offset
        self.reason = reason


class SegmentError(BusductError):
    """Memory that processes share is not what it was said to be."""


class SegmentGoneError(SegmentError):
    """It was read before, or its time has passed, or it never was.

    Attributes:
        name: Of the segment.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"segment {name!r} is gone")
        self.name = name


class SegmentFullError(SegmentError):
    """There is no room for it; nothing was kept.

    Attributes:
        requested: Bytes that were asked for.
        available: Bytes that there were.
    """

    def __init__(self, requested: int, available: int) -> None:
        super().__init__(f"segment of {requested} bytes exceeds {available} bytes left")
        self.requested = requested
        self.available = available


class StaleDescriptorError(SegmentError):
    """A descriptor names a segment that holds something else.

    Attributes:
        generation: What the descriptor says it to be.
    """

    def __init__(self, generation: int) -> None:
        super().__init__(f"segment is not of generation {generation:016x}")
        self.generation = generation


class PayloadError(BusductError, TypeError):
    """A payload holds what cannot be sent; nothing was.

    Attributes:
        path: Where, such as ``payload["request"].callback``.
        type_name: The name of the type of what is there.
        reason: What to do about it.
    """

    def __init__(self, path: str, type_name: str, reason: str) -> None:
        super().__init__(f"{path} is of type {type_name}: {reason}")
        self.path = path
        self.type_name = type_name
        self.reason = reason


class WorkerError(BusductError):
    """Base of failures of processes that busduct runs."""


class WorkerStartError(WorkerError, RuntimeError):
    """A process did not become ready.

    Attributes:
        worker_id: Which one, or which ones.
        reason: What was seen of it.
    """

    def __init__(self, worker_id: str, reason: str) -> None:
        super().__init__(f"worker {worker_id} did not start: {reason}")
        self.worker_id = worker_id
        self.reason = reason


class WorkerDiedError(WorkerError):
    """A process died while work depended on it.

    Attributes:
        worker_id: Which one.
        exit_code: Its exit status; minus the signal number if a signal ended it.
    """

    def __init__(self, worker_id: str, exit_code: int | None) -> None:
        super().__init__(f"worker {worker_id} died with exit code {exit_code}")
        self.worker_id = worker_id
        self.exit_code = exit_code


class EngineDeadError(WorkerError):
    """An engine can serve no more until it is started again.

    Attributes:
        engine: Its name.
        reason: Why it gave up.
    """

    def __init__(self, engine: str, reason: str) -> None:
        super().__init__(f"engine {engine} is dead: {reason}")
        self.engine = engine
        self.reason = reason


class RequestError(BusductError, ValueError):
    """A request cannot be served as it is; the caller must change it.

    Attributes:
        code: A short machine-readable cause, such as ``context_length_exceeded``.
        param: The request's field at fault, or None.
    """

    def __init__(self, message: str, *, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


class QueryError(BusductError):
    """A query of an inference endpoint ended without its answer.

    Attributes:
        query_id: The query's.
        error_type: Why, in a word: ``http``, ``connection``, ``worker_died``; the same
            as in an `ErrorData`.
        status: Of the HTTP response, if there was one.
        retry_after: Seconds after which the endpoint asked to be tried again.
    """

    def __init__(
        self,
        query_id: str,
        error_type: str,
        message: str = "",
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        cause = error_type if status is None else f"{error_type} {status}"
        if message:
            cause = f"{cause}: {message}"
        super().__init__(f"query {query_id} failed: {cause}")
        self.query_id = query_id
        self.error_type = error_type
        self.status = status
        self.retry_after = retry_after


class QueryTimeoutError(QueryError, TimeoutError):
    """A query did not end before its deadline."""


class RpcError(BusductError):
    """Raised by a method that is called remotely, for its caller to see.

    The caller gets a `RemoteError` with the name of the class and the text. Of any
    other exception it learns nothing but that there was one.
    """


class RemoteError(BusductError):
    """A remote call ended with an error at the server.

    Attributes:
        type: The name of the error's class there.
        message: Its text.
    """

    def __init__(self, type: str, message: str) -> None:  # noqa: A002
        super().__init__(f"{type}: {message}")
        self.type = type
        self.message = message


class HandshakeError(BusductError):
    """A peer connected and did not introduce itself in time.

    Attributes:
        peer: The endpoint it came through.
        reason: What was awaited.
    """

    def __init__(self, peer: str, reason: str) -> None:
        super().__init__(f"handshake with a peer at {peer} failed: {reason}")
        self.peer = peer
        self.reason = reason


class AuthError(BusductError):
    """A peer may not speak to us, or an endpoint may not be opened unprotected."""


class ConfigError(BusductError, ValueError):
    """A setting is wrong; the text names it, its value and what is allowed."""


class ForkedError(BusductError):
    """A context was used in a process that was forked from its owner."""

    def __init__(self) -> None:
        super().__init__("context belongs to the parent process; make one here")
