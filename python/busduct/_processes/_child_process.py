"""Start a child process, learn of its end at once, and end it for certain."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["ChildProcess"]

_log = logging.getLogger("busduct.processes")

_STDERR_LINES = 20


class ChildProcess:
    """One process, watched by the running loop through its pidfd.

    NB: make it on the thread that runs the loop. The kernel ends such a child when the
    thread that started it ends, not only when the process does.

    Args:
        name: For log lines.
        arguments: Of the interpreter.
        settings: One line for the child's standard input, which then stays open: its
            end of file tells the child that this process is gone.
        environment: Added to this process's.
        pass_fds: Descriptors that the child has under the same numbers.

    Attributes:
        exited: Gets the exit status, or minus the signal's number. Do not cancel it:
            shield it.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        settings: bytes,
        environment: Mapping[str, str],
        *,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name = name
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = self._loop.create_future()
        self._stderr_lines: deque[str] = deque(maxlen=_STDERR_LINES)
        self._stderr_rest = b""
        self._popen = subprocess.Popen(
            # Without -P the child would import from whatever directory it starts in.
            [sys.executable, "-P", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": _import_path(), **environment},
            bufsize=0,
            pass_fds=pass_fds,
            # Ctrl-C in a terminal is for the parent, which knows what is under way.
            process_group=0,
        )
        self.pid = self._popen.pid
        self._pidfd = os.pidfd_open(self.pid)
        self._loop.add_reader(self._pidfd, self._on_exit)
        assert self._popen.stderr is not None
        os.set_blocking(self._popen.stderr.fileno(), False)
        self._loop.add_reader(self._popen.stderr.fileno(), self._on_stderr)
        self._send_settings(settings)

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return not self.exited.done()

    def stderr_tail(self) -> str:
        """Return the last lines that the process wrote to its standard error."""
        return "\n".join(self._stderr_lines)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, if the process still runs."""
        if self.alive:
            self._popen.send_signal(number)

    async def terminate(self, grace: float) -> int:
        """Ask the process to end, kill it after `grace` seconds, and return its status.

        Cancelled, it kills at once; the process is reaped all the same.
        """
        self.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                return await asyncio.shield(self.exited)
        except TimeoutError:
            _log.warning("%s did not end within %s s; killing it", self.name, grace)
        finally:
            self.send_signal(signal.SIGKILL)
        return await asyncio.shield(self.exited)

    def kill_and_reap(self) -> None:
        """End the process without waiting for the loop; for a start that failed."""
        if self.alive:
            self._popen.kill()
            self._popen.wait()
            self._on_exit()

    def _send_settings(self, settings: bytes) -> None:
        assert self._popen.stdin is not None
        try:
            self._popen.stdin.write(settings + b"\n")
        except BrokenPipeError:
            _log.warning("%s ended before it read its settings", self.name)

    def _on_exit(self) -> None:
        status = self._popen.poll()
        if status is None or self.exited.done():
            return
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._on_stderr()
        self._close_stderr()
        assert self._popen.stdin is not None
        self._popen.stdin.close()
        self.exited.set_result(status)

    def _on_stderr(self) -> None:
        stream = self._popen.stderr
        assert stream is not None
        while not stream.closed:
            data = stream.read(65536)
            if data is None:
                return
            if not data:
                self._close_stderr()
                return
            *lines, self._stderr_rest = (self._stderr_rest + data).split(b"\n")
            # A line without end must not grow for ever.
            self._stderr_rest = self._stderr_rest[-65536:]
            for line in lines:
                self._note(line)

    def _close_stderr(self) -> None:
        stream = self._popen.stderr
        assert stream is not None
        if not stream.closed:
            self._loop.remove_reader(stream.fileno())
            stream.close()
            if self._stderr_rest:
                self._note(self._stderr_rest)

    def _note(self, line: bytes) -> None:
        text = line.decode(errors="replace")
        self._stderr_lines.append(text)
        _log.warning("%s: %s", self.name, text)


def _import_path() -> str:
    """Return a PYTHONPATH that lets a child import what this process can."""
    entries = [Path(entry).absolute() if entry else Path.cwd() for entry in sys.path]
    return os.pathsep.join(dict.fromkeys(map(str, entries)))
