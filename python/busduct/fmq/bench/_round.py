"""One round: the processes of one queue, from their start to their results."""

import asyncio
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from busduct._backend import load_backend
from busduct._processes import ChildProcess
from busduct.errors import WorkerDiedError, WorkerError
from busduct.fmq.bench._config import BenchConfig, Carrier, Mode
from busduct.fmq.bench._control import (
    Begin,
    ChildSettings,
    Consumed,
    Counted,
    Failed,
    Finish,
    FromChild,
    Part,
    Produced,
    Ready,
    ToChild,
    WarmUp,
)
from busduct.transport._runtime_dir import RuntimeDirectory

if TYPE_CHECKING:
    from busduct._core import Socket

__all__ = ["Round", "RoundResult"]

# Each one brings in the consumers that were not connected yet at the one before.
_MAX_WARM_UPS = 100
_END_GRACE = 5.0
_KILL_GRACE = 1.0
# What a process said last is read before its end is looked at.
_LAST_WORDS = 0.5

_from_child = msgspec.msgpack.Decoder(FromChild)


@dataclass(frozen=True)
class RoundResult:
    """What was measured.

    Attributes:
        produced: By each producer.
        consumed: By each consumer.
        producer_ids: Of each producer.
        num_warm_ups: How often each producer put its warm-up, before.
    """

    produced: list[Produced]
    consumed: list[Consumed]
    producer_ids: list[str]
    num_warm_ups: int


@dataclass
class _Member:
    """One process, as it is known here."""

    part: Part
    index: int
    process: ChildProcess
    is_ready: bool = False
    num_messages: int = 0
    result: Produced | Consumed | None = None

    @property
    def name(self) -> str:
        return f"{self.part} {self.index}"


@dataclass
class Round:
    """Runs once.

    Attributes:
        config: Of the benchmark.
        carrier: Of this round.
        mode: Of this round.
        on_count: Called with the messages put by each producer, and got by each
            consumer, when they are more.
    """

    config: BenchConfig
    carrier: Carrier
    mode: Mode
    on_count: Callable[[list[int], list[int]], None]
    _members: dict[str, _Member] = field(default_factory=dict)
    _indices: dict[str, int] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _failure: WorkerError | None = None
    _limit: asyncio.Timeout | None = None
    _is_measuring: bool = False
    _is_stopped: bool = False

    async def run(self) -> RoundResult | None:
        """Return what was measured; None if it was stopped before there was anything.

        Cancelled or failed, the processes are gone.

        Raises:
            WorkerError: A process failed, or got other messages than were put, or the
                time is over.
        """
        backend = load_backend()
        with RuntimeDirectory() as directory:
            async with backend.Context() as context:
                control = context.socket(backend.ROUTER)
                control.bind(directory.endpoint("control"))
                listening = asyncio.create_task(self._listen(control))
                try:
                    async with asyncio.timeout(self.config.timeout) as self._limit:
                        return await self._run(control, directory)
                except TimeoutError:
                    raise self._timeout_error() from None
                finally:
                    listening.cancel()
                    await self._end_all()

    def stop(self) -> None:
        """End it early, with what was measured until then. Idempotent."""
        self._is_stopped = True
        self._changed.set()

    async def _run(
        self, control: "Socket", directory: RuntimeDirectory
    ) -> RoundResult | None:
        await self._start("consumer", self.config.num_consumers, control, directory)
        await self._start("producer", self.config.num_producers, control, directory)
        num_warm_ups = await self._warm_up(control)
        if self._is_stopped:
            return None
        await self._measure(control)
        await self._tell(control, self._members.values(), Finish())
        while not all(each.result for each in self._members.values()):
            await self._wait_for_change()
        return self._result(num_warm_ups)

    async def _start(
        self, part: Part, count: int, control: "Socket", directory: RuntimeDirectory
    ) -> None:
        for index in range(count if not self._is_stopped else 0):
            settings = ChildSettings(
                parent_pid=os.getpid(),
                part=part,
                index=index,
                config=self.config,
                carrier=self.carrier,
                mode=self.mode,
                ipc_root=str(directory.path),
                control=control.last_endpoint,
            )
            process = ChildProcess(
                f"{part} {index}",
                ["-m", "busduct.fmq.bench._child"],
                msgspec.json.encode(settings),
                {},
            )
            member = _Member(part, index, process)
            self._members[member.name] = member
            process.exited.add_done_callback(partial(self._on_exit, member))
        await self._until(lambda: all(each.is_ready for each in self._all(part)))

    async def _warm_up(self, control: "Socket") -> int:
        """Have every consumer get something; return how often that took."""
        one = self.config.num_producers * self.config.num_warmup
        for number in range(1, _MAX_WARM_UPS + 1):
            await self._tell(control, self._all("producer"), WarmUp())
            await self._until(partial(self._has_got, one * number))
            have_all = all(each.num_messages for each in self._all("consumer"))
            if have_all or self._is_stopped:
                return number
        idle = [each.name for each in self._all("consumer") if not each.num_messages]
        msg = f"{', '.join(idle)} got none of {one * _MAX_WARM_UPS} messages"
        raise WorkerError(msg)

    async def _measure(self, control: "Socket") -> None:
        consumers = self._all("consumer")
        for member in consumers:
            member.is_ready, member.num_messages = False, 0
        self._is_measuring = True
        await self._tell(control, consumers, Begin())
        await self._until(lambda: all(each.is_ready for each in consumers))
        await self._tell(control, self._all("producer"), Begin())
        await self._until(partial(self._has_got, self.config.num_total))

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds, or the round is stopped.

        Raises:
            WorkerError: A process failed.
        """
        while not (condition() or self._is_stopped):
            await self._wait_for_change()

    async def _wait_for_change(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._changed.clear()
        await self._changed.wait()

    async def _listen(self, control: "Socket") -> None:
        while True:
            name, data = await control.recv_multipart()
            member = self._members.get(name.decode())
            if member is not None:
                self._take(member, _from_child.decode(data))
                self._changed.set()

    def _take(self, member: _Member, message: FromChild) -> None:
        match message:
            case Ready():
                member.is_ready = True
            case Counted(num_messages, producers):
                member.num_messages = num_messages
                self._indices |= producers
                if self._is_measuring:
                    self.on_count(
                        [each.num_messages for each in self._all("producer")],
                        [each.num_messages for each in self._all("consumer")],
                    )
            case Failed(reason):
                self._fail(WorkerError(f"{member.name} failed: {reason}"))
            case Produced() | Consumed():
                member.result = message

    def _on_exit(self, member: _Member, exited: "asyncio.Future[int]") -> None:
        if member.result is None:
            error = WorkerDiedError(member.name, exited.result())
            exited.get_loop().call_later(_LAST_WORDS, self._fail, error)

    def _fail(self, error: WorkerError) -> None:
        self._failure = self._failure or error
        self._changed.set()

    def _result(self, num_warm_ups: int) -> RoundResult:
        by_index = {index: name for name, index in self._indices.items()}
        producers = [each.result for each in self._all("producer")]
        consumers = [each.result for each in self._all("consumer")]
        return RoundResult(
            [each for each in producers if isinstance(each, Produced)],
            [each for each in consumers if isinstance(each, Consumed)],
            [by_index[index] for index in range(self.config.num_producers)],
            num_warm_ups,
        )

    async def _tell(
        self, control: "Socket", members: Iterable[_Member], message: ToChild
    ) -> None:
        data = msgspec.msgpack.encode(message)
        for member in members:
            await control.send_multipart([member.name.encode(), data])

    async def _end_all(self) -> None:
        """Let processes that have reported end by themselves, and end the others."""
        members = list(self._members.values())
        reported = [each.process.exited for each in members if each.result]
        if reported:
            await asyncio.wait(reported, timeout=_END_GRACE)
        await asyncio.gather(*(each.process.terminate(_KILL_GRACE) for each in members))

    def _all(self, part: Part) -> list[_Member]:
        return [each for each in self._members.values() if each.part == part]

    def _has_got(self, num_messages: int) -> bool:
        return self._num("consumer") >= num_messages

    def _num(self, part: Part) -> int:
        return sum(each.num_messages for each in self._all(part))

    def _timeout_error(self) -> WorkerError:
        what = "measured" if self._is_measuring else "prepared"
        return WorkerError(
            f"a round was still being {what} after {self.config.timeout} s: "
            f"{self._num('consumer')} of {self.config.num_total} messages were got"
        )
