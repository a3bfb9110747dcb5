"""The echo server: on the caller's loop, or in processes of its own."""

import asyncio
import os
import socket
import warnings
from collections.abc import Sequence
from typing import Self

import msgspec

from busduct._processes import ChildProcess
from busduct._scopes import AsyncScope
from busduct.endpoint.echo._child_settings import ChildSettings
from busduct.endpoint.echo._config import EchoConfig
from busduct.endpoint.echo._listeners import open_listeners, tls_context
from busduct.endpoint.echo._serving import Serving
from busduct.errors import ClosedError, WorkerDiedError, WorkerStartError

__all__ = ["EchoServer"]

_CHILD = ["-m", "busduct.endpoint.echo._child"]
_START_TIMEOUT = 30.0
_STOP_GRACE = 5.0


class EchoServer(AsyncScope):
    """A server that answers like an inference endpoint, and costs as little as can be.

    It serves OpenAI's ``/v1/chat/completions`` and ``/v1/completions`` and SGLang's
    ``/generate``, streamed where the body has ``"stream": true``, and ``/v1/models``
    and ``/health``::

        async with EchoServer(EchoConfig(output_length=64)) as server:
            print(server.url)

    Args:
        config: What to serve, and where.
    """

    def __init__(self, config: EchoConfig | None = None) -> None:
        self.config = config or EchoConfig()
        self._address: tuple[str, int] | None = None
        self._serving: Serving | None = None
        self._processes: list[ChildProcess] = []

    @property
    def port(self) -> int:
        """The TCP port that it listens at.

        Raises:
            ClosedError: It does not serve.
        """
        if self._address is None:
            raise ClosedError("echo server")
        return self._address[1]

    @property
    def url(self) -> str:
        """Where it is, without a path.

        Raises:
            ClosedError: It does not serve.
        """
        port = self.port
        scheme = "http" if self.config.cert_file is None else "https"
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        return f"{scheme}://{host}:{port}"

    @property
    def pids(self) -> list[int]:
        """The processes that serve; none if the caller's loop does."""
        return [process.pid for process in self._processes]

    @property
    def num_requests(self) -> int:
        """Requests that came whole; of a server without processes of its own."""
        return 0 if self._serving is None else self._serving.service.num_requests

    @property
    def num_connections(self) -> int:
        """Connections that are open; of a server without processes of its own."""
        return 0 if self._serving is None else len(self._serving.service.connections)

    async def start(self) -> None:
        """Serve. Cancelled, it ends what it started.

        Raises:
            AddressInUseError: Somebody listens at the port.
            AuthError: The host is not loopback, and nobody said `insecure`.
            ConfigError: The host or a TLS file cannot be used.
            WorkerStartError: A process did not come up.
        """
        # Read here too: an error in a child would be a line in a log.
        tls_context(self.config)
        listeners = open_listeners(self.config)
        self._address = listeners[0].getsockname()[:2]
        try:
            if self.config.num_processes:
                await self._start_processes(listeners)
            else:
                self._serving = Serving(self.config)
                await self._serving.start(listeners[0])
        except BaseException:
            for listener in listeners:
                listener.close()
            await self.aclose()
            raise

    async def wait_died(self) -> None:
        """Wait until a process of the server has ended by itself.

        Raises:
            WorkerDiedError: Always, then; with the first that did.
        """
        exits = [asyncio.shield(process.exited) for process in self._processes]
        if not exits:
            await asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait(exits, return_when=asyncio.FIRST_COMPLETED)
        index = next(index for index, future in enumerate(exits) if future in done)
        raise WorkerDiedError(self._processes[index].name, exits[index].result())

    async def aclose(self) -> None:
        """Stop at once, whatever is under way. Idempotent."""
        self._address = None
        serving, self._serving = self._serving, None
        processes, self._processes = self._processes, []
        if serving is not None:
            await serving.close()
        ends = (process.terminate(_STOP_GRACE) for process in processes)
        await asyncio.gather(*ends)

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    def __del__(self) -> None:
        if getattr(self, "_address", None) is not None:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, 2, source=self)

    async def _start_processes(self, listeners: Sequence[socket.socket]) -> None:
        read_end, write_end = os.pipe()
        try:
            for number, listener in enumerate(listeners):
                self._processes.append(self._spawn(number, listener, write_end))
                # NB: while a copy is open, the kernel gives connections to a process
                # that has ended, and nobody takes them.
                listener.close()
            os.close(write_end)
            write_end = -1
            await self._wait_ready(read_end)
        finally:
            os.close(read_end)
            if write_end >= 0:
                os.close(write_end)

    def _spawn(
        self, number: int, listener: socket.socket, ready_fd: int
    ) -> ChildProcess:
        settings = ChildSettings(
            parent_pid=os.getpid(),
            listener_fd=listener.fileno(),
            ready_fd=ready_fd,
            config=self.config,
        )
        return ChildProcess(
            f"echo-server-{number}",
            _CHILD,
            msgspec.json.encode(settings),
            {},
            pass_fds=(listener.fileno(), ready_fd),
        )

    async def _wait_ready(self, read_end: int) -> None:
        """Wait for a byte of each process."""
        loop = asyncio.get_running_loop()
        os.set_blocking(read_end, False)
        news = asyncio.Event()
        loop.add_reader(read_end, news.set)
        for process in self._processes:
            process.exited.add_done_callback(lambda _: news.set())
        num_ready = 0
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                while num_ready < len(self._processes):
                    await news.wait()
                    news.clear()
                    self._raise_for_dead()
                    data = _read_now(read_end)
                    num_ready += len(data or b"")
                    if data == b"":
                        # All have ended; what tells by what cause comes next.
                        loop.remove_reader(read_end)
        except TimeoutError as error:
            reason = f"no sign of life within {_START_TIMEOUT} s"
            raise WorkerStartError("echo-server", reason) from error
        finally:
            loop.remove_reader(read_end)

    def _raise_for_dead(self) -> None:
        for process in self._processes:
            if not process.alive:
                reason = process.stderr_tail() or "it ended"
                raise WorkerStartError(process.name, reason)


def _read_now(fd: int) -> bytes | None:
    """Return what is there, empty at the end of file; None if there is nothing."""
    try:
        return os.read(fd, 4096)
    except BlockingIOError:
        return None
