"""The entry point of an echo server's processes."""

import asyncio
import gc
import os
import signal
import socket

import msgspec
import uvloop

from busduct._processes import die_with_parent, read_settings_line
from busduct.endpoint.echo._child_settings import ChildSettings
from busduct.endpoint.echo._serving import Serving

STDIN = 0


def main() -> None:
    """Serve until told to end, or until the parent is gone."""
    settings = msgspec.json.decode(read_settings_line(STDIN), type=ChildSettings)
    die_with_parent(settings.parent_pid)
    uvloop.run(_serve(settings))


async def _serve(settings: ChildSettings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    serving = Serving(settings.config)
    await serving.start(socket.socket(fileno=settings.listener_fd))
    # What is imported stays: the collector need not walk it again and again.
    gc.freeze()
    os.write(settings.ready_fd, b".")
    os.close(settings.ready_fd)
    await stopping.wait()
    await serving.close()


if __name__ == "__main__":
    main()
