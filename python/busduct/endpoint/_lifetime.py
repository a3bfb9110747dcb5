"""The start and the end of a client, with a loop of its own or in the caller's."""

import asyncio
import threading
from typing import Self

from busduct._loop_thread import Job, LoopThread, is_running_in
from busduct.endpoint._core import ClientCore
from busduct.endpoint.config import HTTPClientConfig
from busduct.errors import LocalProtocolError

__all__ = ["Lifetime"]


class Lifetime:
    """Holds what a client opened, and ends it once, whoever asks and however often.

    Attributes:
        core: Running until the end.
        loop: Where.
    """

    def __init__(self, core: ClientCore, loop: asyncio.AbstractEventLoop) -> None:
        self.core = core
        self.loop = loop
        self._thread: LoopThread | None = None
        self._end: Job[None] | None = None
        self._lock = threading.Lock()

    @classmethod
    def start(
        cls, config: HTTPClientConfig, name: str, loop: asyncio.AbstractEventLoop | None
    ) -> Self:
        """Start a client in `loop`, or in a thread of its own; block until it is up.

        Raises:
            LocalProtocolError: Called by that loop, which this would block for ever; or
                it does not run.
            ConfigError: As `ClientCore`.
            WorkerStartError: As `ClientCore.start`.
            WaitTimeoutError: As that too.
        """
        if loop is not None and is_running_in(loop):
            msg = (
                "this loop would wait for itself; "
                "use await HTTPEndpointClient.create(config)"
            )
            raise LocalProtocolError(msg)
        thread = None if loop is not None else LoopThread(name)
        used = loop if thread is None else thread.loop
        assert used is not None
        try:
            job = Job(used, f"{name} start", lambda: cls.start_here(config))
            try:
                lifetime = job.wait()
            except BaseException:
                job.cancel()
                raise
        except BaseException:
            if thread is not None:
                thread.stop()
                thread.join()
            raise
        lifetime._thread = thread
        return lifetime

    @classmethod
    async def start_here(cls, config: HTTPClientConfig) -> Self:
        """Start a client in the running loop. Cancelling it leaves nothing behind.

        Raises:
            ConfigError: As `ClientCore`.
            WorkerStartError: As `ClientCore.start`.
            WaitTimeoutError: As that too.
        """
        loop = asyncio.get_running_loop()
        core = ClientCore(config, loop)
        await core.start()
        return cls(core, loop)

    @property
    def is_ending(self) -> bool:
        """Whether anybody has asked for the end."""
        return self._end is not None

    def begin_stop(self) -> Job[None]:
        """Have it ended; does not wait.

        Raises:
            LocalProtocolError: The loop is closed already.
        """
        with self._lock:
            if self._end is None:
                self._end = Job(self.loop, "client shutdown", self.core.stop)
                if (thread := self._thread) is not None:
                    self._end.future.add_done_callback(lambda _: thread.stop())
            return self._end

    def stop(self) -> None:
        """End it, and block until that is done.

        Raises:
            LocalProtocolError: Called by the loop; or the loop does not run.
        """
        if is_running_in(self.loop):
            if self._end is not None and self._end.future.done():
                return
            msg = "this loop would wait for itself; use await client.shutdown_async()"
            raise LocalProtocolError(msg)
        job = self.begin_stop()
        try:
            job.wait()
        finally:
            if job.future.cancelled():
                # It never began. Whoever runs the loop may ask again.
                self._end = None
            elif self._thread is not None and job.future.done():
                self._thread.join()

    async def stop_async(self) -> None:
        """End it. Cancelling this does not keep it from ending.

        Raises:
            LocalProtocolError: The loop is closed already.
        """
        thread = self._thread
        ended = asyncio.wrap_future(self.begin_stop().future)
        awaited = {ended}
        # NB: the thread cannot wait for itself; it is about to end.
        if thread is not None and not is_running_in(self.loop):
            awaited.add(asyncio.wrap_future(thread.finished))
        # Which cancels none of them if it is cancelled.
        await asyncio.wait(awaited)
        if thread is not None and thread.finished.done():
            thread.join()
        ended.result()
