"""One process of a benchmark: ``python -m busduct.fmq.bench._child``."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from busduct._backend import load_backend
from busduct._processes import die_with_parent, end_with_stream, read_settings_line
from busduct.fmq.bench._control import (
    Begin,
    ChildSettings,
    Counted,
    Failed,
    Finish,
    FromChild,
    Ready,
    ToChild,
    WarmUp,
)
from busduct.fmq.bench._getting import Getting
from busduct.fmq.bench._putting import Putting
from busduct.fmq.fmq import FMQ

if TYPE_CHECKING:
    from busduct._core import Socket

__all__ = ["main"]

STDIN = 0
QUEUE_NAME = "bench"
COUNT_INTERVAL = 0.1
LINGER = 30.0

_to_child = msgspec.msgpack.Decoder(ToChild)


def main() -> int:
    """Do what the settings say; return the exit status."""
    settings = msgspec.json.decode(read_settings_line(STDIN), type=ChildSettings)
    die_with_parent(settings.parent_pid)
    end_with_stream(STDIN)
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.run(_report_failure(settings))
    return uvloop.run(_report_failure(settings))


async def _report_failure(settings: ChildSettings) -> int:
    backend = load_backend()
    async with backend.Context() as context:
        control = context.socket(
            backend.DEALER,
            routing_id=f"{settings.part} {settings.index}".encode(),
            linger=LINGER,
        )
        control.connect(settings.control)
        try:
            await _take_part(settings, control)
        except BaseExceptionGroup as group:
            error = group.exceptions[0]
        except Exception as alone:
            error = alone
        else:
            return 0
        await _send(control, Failed(f"{type(error).__name__}: {error}"))
        return 1


async def _take_part(settings: ChildSettings, control: "Socket") -> None:
    shm = "require" if settings.carrier == "shm" else "off"
    async with FMQ({"ipc_root": settings.ipc_root}, shm=shm) as fmq:
        if settings.part == "producer":
            await _produce(settings, control, fmq)
        else:
            await _consume(settings, control, fmq)


async def _produce(settings: ChildSettings, control: "Socket", fmq: FMQ) -> None:
    queue = fmq.queue(QUEUE_NAME, "producer")
    putting = Putting(queue, settings.config, settings.index)
    async with asyncio.TaskGroup() as group:
        counting = group.create_task(
            _count(control, lambda: Counted(putting.num_put, {}))
        )
        work = None
        await _send(control, Ready())
        while not isinstance(message := await _receive(control), Finish):
            if isinstance(message, WarmUp):
                work = group.create_task(putting.warm_up())
            else:
                work = group.create_task(putting.measure(settings.mode))
        counting.cancel()
        if work is not None:
            work.cancel()
    await _send(control, putting.result())


async def _consume(settings: ChildSettings, control: "Socket", fmq: FMQ) -> None:
    queue = fmq.queue(QUEUE_NAME, "consumer", views=settings.config.views)
    getting = Getting(queue, settings.config)
    async with asyncio.TaskGroup() as group:
        work = group.create_task(getting.compare())
        counting = group.create_task(
            _count(control, lambda: Counted(getting.num_compared, getting.producers))
        )
        await _send(control, Ready())
        if isinstance(await _receive(control), Begin):
            work.cancel()
            counting.cancel()
            work = group.create_task(getting.measure())
            counting = group.create_task(
                _count(control, lambda: Counted(getting.num_got, {}))
            )
            await _send(control, Ready())
            await _receive(control)
        counting.cancel()
        work.cancel()
    await _send(control, getting.result())


async def _count(control: "Socket", count: Callable[[], Counted]) -> None:
    """Tell how many there are, when there are more."""
    last = 0
    while True:
        counted = count()
        if counted.num_messages != last:
            last = counted.num_messages
            await _send(control, counted)
        await asyncio.sleep(COUNT_INTERVAL)


async def _send(control: "Socket", message: FromChild) -> None:
    await control.send(msgspec.msgpack.encode(message))


async def _receive(control: "Socket") -> Begin | Finish | WarmUp:
    message: Begin | Finish | WarmUp = _to_child.decode(await control.recv())
    return message


if __name__ == "__main__":
    raise SystemExit(main())
