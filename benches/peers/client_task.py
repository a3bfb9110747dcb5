"""What is asked of an endpoint client in the benchmark, and what must come of it."""

import socket
import time
from dataclasses import dataclass
from typing import Any

import msgspec

HOST = "127.0.0.1"
ROUTE = "/v1/chat/completions"
# Of each answer; streamed, so many characters an event.
NUM_CHARS = 160
STREAM_INTERVAL = 5
NUM_EVENTS = NUM_CHARS // STREAM_INTERVAL
NUM_CHECKED = 20
SERVER_S = 20.0
ANSWER = "x" * NUM_CHARS
PROMPT = ("how much of a request's time does its client take? " * 4)[:NUM_CHARS]


@dataclass(frozen=True)
class Task:
    """One measurement, as the runner asked for it.

    Attributes:
        port: Of the server, on loopback.
        is_streamed: Whether the answers are.
        num_workers: Of the client.
        num_connections: Requests under way, each with a connection of its own.
        seconds: Of measuring.
        all_chunks: Whether each chunk goes to the caller, or the first only.
    """

    port: int
    is_streamed: bool
    num_workers: int
    num_connections: int
    seconds: float
    all_chunks: bool

    @property
    def url(self) -> str:
        """Where to post."""
        return f"http://{HOST}:{self.port}{ROUTE}"

    @property
    def settings(self) -> dict[str, Any]:
        """What both clients are configured with, by the names that they share."""
        return {
            "num_workers": self.num_workers,
            "max_connections": self.num_connections,
            "warmup_connections": self.num_connections,
            "stream_all_chunks": self.all_chunks,
            "log_level": "CRITICAL",
        }

    @property
    def data(self) -> dict[str, Any]:
        """The data of each query."""
        return {
            "prompt": PROMPT,
            "model": "m",
            "max_completion_tokens": 100,
            "stream": self.is_streamed,
        }

    def check(self, result: Any) -> None:
        """Compare a result with what the server sends.

        Raises:
            ValueError: It is another one.
        """
        if result.error is not None or text_of(result) != ANSWER:
            msg = f"{result} is not the answer"
            raise ValueError(msg)


def text_of(result: Any) -> str:
    """Return the text of a result, which may be in pieces."""
    return "".join(result.response_output.output)


def wait_for_server(port: int) -> None:
    """Return once somebody accepts.

    Raises:
        OSError: Nobody does in time.
    """
    deadline = time.monotonic() + SERVER_S
    while True:
        try:
            socket.create_connection((HOST, port)).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


class BareClient:
    """Asks over one blocking socket: what the server and the kernel take."""

    def __init__(self, task: Task) -> None:
        message = {"role": "user", "content": PROMPT}
        data = {"model": "m", "messages": [message], "stream": task.is_streamed}
        body = msgspec.json.encode(data)
        head = f"POST {ROUTE} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}"
        self._request = head.encode() + b"\r\n\r\n" + body
        self._socket = socket.create_connection((HOST, task.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._response = self._read_first(b"\n\r\n" if task.is_streamed else b"}")

    def ask(self) -> float:
        """Return the seconds that a response takes.

        Raises:
            ValueError: It differs in length from the first.
        """
        begin = time.perf_counter()
        self._socket.sendall(self._request)
        num_due = len(self._response)
        while num_due > 0:
            num_due -= len(self._socket.recv(1 << 16))
        elapsed = time.perf_counter() - begin
        if num_due:
            msg = "the server's responses differ in length"
            raise ValueError(msg)
        return elapsed

    def _read_first(self, end: bytes) -> bytes:
        self._socket.settimeout(SERVER_S)
        self._socket.sendall(self._request)
        came = self._socket.recv(1 << 16)
        # What is made beforehand comes whole soon after; nothing else is under way.
        while not came.endswith(end):
            came += self._socket.recv(1 << 16)
        return came
