"""zmq.asyncio with msgspec: two sockets and a codec, as one would write it at first."""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pool_driver
import zmq
import zmq.asyncio

from busduct import messages


class Receiver:
    """Decodes what a socket receives."""

    def __init__(self, socket: zmq.asyncio.Socket, kind: str) -> None:
        self._socket = socket
        self._decode = msgspec.msgpack.Decoder(getattr(messages, kind)).decode

    async def recv(self) -> Any:
        """Wait for the next message."""
        return self._decode(await self._socket.recv())


@contextlib.asynccontextmanager
async def ends(kind: str) -> AsyncIterator[tuple[zmq.asyncio.Socket, Receiver]]:
    """Give a socket to send by and a receiver, without limits on what is queued."""
    with (
        tempfile.TemporaryDirectory(prefix="bd-") as directory,
        zmq.asyncio.Context() as context,
        context.socket(zmq.PULL) as pull,
        context.socket(zmq.PUSH) as push,
    ):
        for socket in (push, pull):
            socket.set_hwm(0)
            socket.linger = 0
        pull.bind(f"ipc://{directory}/a")
        push.connect(f"ipc://{directory}/a")
        yield push, Receiver(pull, kind)


async def send_each(push: zmq.asyncio.Socket, sent: Sequence[Any]) -> None:
    """Encode and send one after the other."""
    encode = msgspec.msgpack.Encoder().encode
    for message in sent:
        await push.send(encode(message))


NAME = Path(__file__).stem
SYSTEM = pool_driver.System(NAME, messages, ends=ends, send_all=send_each)

if __name__ == "__main__":
    pool_driver.main(SYSTEM)
