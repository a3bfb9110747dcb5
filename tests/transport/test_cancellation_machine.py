"""Cancel anything at any moment: nothing is lost, doubled or given to the wrong one."""

import asyncio
import random
import tempfile
from collections.abc import Awaitable, Coroutine, Iterator
from types import ModuleType
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    rule,
    run_state_machine_as_test,
)
from tests.transport.flows import Flow, Tap, Watch
from tests.transport.waiting import eventually, settle

NUM_CANCELLATIONS = 10_000
# Small queues, in the process and in the kernel: who sends has to wait.
SMALL = {"hwm_messages": 3, "send_buffer_bytes": 4096, "recv_buffer_bytes": 4096}
SEEDS = st.integers(0, 1 << 32)
SENDS = ("send", "send_many", "send_multipart", "wait_writable")


class Fabric:
    """Sockets of several kinds over all transports, and the operations under way."""

    def __init__(self, backend: ModuleType, directory: str) -> None:
        self._backend = backend
        self.ctx = backend.Context()
        self.tasks: set[asyncio.Task[None]] = set()
        self.senders: set[asyncio.Task[None]] = set()
        self.receivers: dict[asyncio.Task[None], Tap] = {}
        self.flows: list[Flow] = []
        self.taps: list[Tap] = []
        self.num_cancelled = 0
        self._pull_endpoint = ""
        self._open_pipes(directory)
        self._open_routes()
        self._open_pair()
        self._open_publisher(directory)

    def _socket(self, kind: str, **options: Any) -> Any:
        options = {**SMALL, "linger": 0, **options}
        return self.ctx.socket(getattr(self._backend, kind), **options)

    def _tap(self, sock: Any, *ways: str) -> Tap:
        self.taps.append(Tap(sock, ways or Tap.WAYS))
        return self.taps[-1]

    def _open_pipes(self, directory: str) -> None:
        pull = self._socket("PULL")
        self._pull_endpoint = pull.bind(f"ipc://{directory}/pull")
        tap = self._tap(pull)
        for name in (b"first", b"second"):
            push = self._socket("PUSH")
            push.connect(self._pull_endpoint)
            self.flows.append(Flow(name, push, [tap], (*SENDS, "send_urgent")))
        self.pull = pull

    def _open_routes(self) -> None:
        router = self._socket("ROUTER")
        endpoint = router.bind("tcp://127.0.0.1:0")
        tap = self._tap(router, "recv_multipart", "wait_readable")
        for name in (b"one", b"two"):
            dealer = self._socket("DEALER", routing_id=name)
            dealer.connect(endpoint)
            self.flows.append(Flow(name, dealer, [tap], SENDS, sender_id=name))
            back = [self._tap(dealer)]
            ways = ("send_multipart", "send_urgent")
            self.flows.append(Flow(b"to-" + name, router, back, ways, to=name))
        self.router = router

    def _open_pair(self) -> None:
        left, right = self._socket("PAIR"), self._socket("PAIR")
        left.connect(right.bind("inproc://pair"))
        ways = (*SENDS, "send_urgent")
        self.flows.append(Flow(b"right", left, [self._tap(right)], ways))
        self.flows.append(Flow(b"left", right, [self._tap(left)], ways))

    def _open_publisher(self, directory: str) -> None:
        self.pub = self._socket("PUB", on_full="wait")
        taps = []
        for endpoint in (f"ipc://{directory}/pub", "inproc://pub"):
            sub = self._socket("SUB")
            sub.subscribe(b"news")
            sub.connect(self.pub.bind(endpoint))
            taps.append(self._tap(sub))
        self.flows.append(Flow(b"news", self.pub, taps, SENDS))

    async def open(self) -> None:
        """Wait until everybody is there; watch from then on."""
        await self.pub.wait_subscribers(2, b"news")
        await eventually(lambda: self.router.statistics().num_peers == 2)
        await eventually(lambda: self.pull.statistics().num_peers == 2)
        self.watch = Watch(self.pull.monitor())

    def start(self, which: int, way: int) -> None:
        """Start an operation: sending, receiving, or watching."""
        flow = self.flows[which % len(self.flows)]
        tap = self.taps[which % len(self.taps)]
        if way == 7:
            self._start(self.watch.take())
        elif way == 6:
            # More than there are: it waits until it is cancelled.
            self._start(self.pub.wait_subscribers(9))
        if way < len(flow.ways):
            self.senders.add(self._start(flow.start(flow.ways[way])))
        if way < len(tap.ways):
            self.receivers[self._start(tap.take(tap.ways[way]))] = tap

    def _start(self, operation: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(operation)
        self.tasks.add(task)
        return task

    def cancel(self, share: float, chance: random.Random) -> None:
        """Cancel a share of what is under way."""
        for task in [task for task in self.tasks if chance.random() < share]:
            self.num_cancelled += task.cancel()

    async def turn(self, count: int) -> None:
        """Let the loop turn; forget what ended. An operation that failed says so."""
        await settle(count)
        for task in [task for task in self.tasks if task.done()]:
            self.tasks.discard(task)
            self.senders.discard(task)
            self.receivers.pop(task, None)
            if not task.cancelled():
                task.result()

    async def visit(self) -> None:
        """Have a guest come and go, which the watch is told."""
        before = self.pull.statistics().num_disconnected
        guest = self._socket("PUSH")
        guest.connect(self._pull_endpoint)
        await eventually(lambda: guest.statistics().num_peers)
        guest.close()
        await eventually(lambda: self.pull.statistics().num_disconnected > before)
        self.watch.num_guests += 1

    async def finish(self) -> None:
        """Let every sender end, then check what came."""
        await self.check_receivers()
        others = self.tasks - self.senders
        for task in others:
            self.num_cancelled += task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await eventually(self._have_senders_ended)
        await self.turn(1)
        for flow in self.flows:
            await flow.settle()
            flow.check()
        self.watch.check()
        await self.ctx.aclose()

    async def check_receivers(self) -> None:
        """Check that nobody goes on waiting for a message that is there."""
        await eventually(lambda: not any(self._overlooked()))

    def _overlooked(self) -> Iterator[asyncio.Task[None]]:
        for task, tap in self.receivers.items():
            if not task.done() and tap.sock.readable:
                yield task

    def _have_senders_ended(self) -> bool:
        for tap in self.taps:
            tap.drain()
        return all(task.done() for task in self.senders)


class CancellationMachine(RuleBasedStateMachine):
    """Start, turn, cancel; at the end, hold what came against what was accepted."""

    backend: ModuleType
    num_cancelled = 0

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory(prefix="bd-")
        self._runner = asyncio.Runner()
        self._run(self._open())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._runner.run(asyncio.wait_for(work, 20))

    async def _open(self) -> None:
        self._fabric = Fabric(self.backend, self._directory.name)
        await self._fabric.open()

    @rule(which=st.integers(0, 7), way=st.integers(0, 7), turns=st.integers(0, 3))
    def start(self, which: int, way: int, turns: int) -> None:
        async def work() -> None:
            self._fabric.start(which, way)
            await self._fabric.turn(turns)

        self._run(work())

    @rule(share=st.floats(0.1, 1), seed=SEEDS)
    def cancel(self, share: float, seed: int) -> None:
        async def work() -> None:
            self._fabric.cancel(share, random.Random(seed))
            await self._fabric.turn(1)
            await self._fabric.check_receivers()

        self._run(work())

    @rule(seed=SEEDS)
    def storm(self, seed: int) -> None:
        chance = random.Random(seed)

        async def work() -> None:
            for _ in range(180):
                await self._gust(chance)

        self._run(work())

    async def _gust(self, chance: random.Random) -> None:
        for _ in range(chance.randrange(4)):
            self._fabric.start(chance.randrange(8), chance.randrange(8))
        await self._fabric.turn(chance.randrange(4))
        if chance.random() < 0.5:
            # Few as a rule, so that some go on waiting.
            self._fabric.cancel(chance.random() ** 3, chance)
            if chance.random() < 0.5:
                await self._fabric.check_receivers()

    @rule()
    def visit(self) -> None:
        self._run(self._fabric.visit())

    def teardown(self) -> None:
        try:
            self._run(self._fabric.finish())
            type(self).num_cancelled += self._fabric.num_cancelled
        finally:
            self._runner.close()
            self._directory.cleanup()


def test_nothing_is_lost_by_ten_thousand_cancellations(backend: ModuleType) -> None:
    class Machine(CancellationMachine):
        pass

    Machine.backend = backend
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Machine.num_cancelled >= NUM_CANCELLATIONS
