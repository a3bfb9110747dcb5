"""What a started engine consists of: directory, sockets and processes."""

import asyncio
import functools
import logging
import os
from pathlib import Path
from typing import Self

import msgspec

from busduct._processes import ChildProcess, RestartBudget
from busduct.errors import BusductError, EngineDeadError, WorkerDiedError
from busduct.pipeline._child_settings import ChildSettings, Role
from busduct.pipeline._model import ModelFiles, find_model
from busduct.pipeline._supervisor import ChildSupervisor
from busduct.pipeline._types import EngineConfig, EngineStatus, ProcessHealth
from busduct.pipeline._watchdog import Watchdog
from busduct.pipeline.messages import ReadyRes
from busduct.pipeline.port_args import PortArgs
from busduct.pipeline.tokenizer_manager import TokenizerManager
from busduct.transport import Context
from busduct.transport._runtime_dir import RuntimeDirectory

__all__ = ["EngineRuntime"]

_log = logging.getLogger("busduct.pipeline")

ROLES: tuple[Role, ...] = ("scheduler", "detokenizer")

# More threads than one only contend with the other processes: the matrices of a step
# are small. A tokenizer's own pool is of no use to one text at a time.
CHILD_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


class EngineRuntime:
    """The parts of one started engine; made by `start`, ended by `stop` or `kill`.

    Attributes:
        name: Of this instance.
        model: Found on disk.
        ports: The endpoints.
        manager: Sends the requests.
        last_error: What ended the process that died last.
        death: Why the engine gave up, or None.
    """

    def __init__(self, config: EngineConfig) -> None:
        self.model: ModelFiles = find_model(config)
        self.ports = PortArgs.init_new(config)
        self.name = Path(self.ports.directory).name
        self.last_error: str | None = None
        self.death: str | None = None
        self._config = config
        self._directory = RuntimeDirectory(Path(self.ports.directory))
        self._context = Context()
        self._watchers: list[asyncio.Task[None]] = []
        self._supervisors: dict[str, ChildSupervisor] = {}
        self._watchdog = Watchdog(
            config.stall_timeout,
            self._ask,
            lambda: self.manager.num_running > 0,
            self._on_stall,
        )
        try:
            self.manager = TokenizerManager(
                self.ports,
                self.model.tokenizer,
                self._context,
                max_queued=config.max_waiting + config.max_batch_size,
                on_ready=self._on_ready,
                on_pong=lambda pong: self._watchdog.note_answer(pong.name, pong.number),
                on_request=self._watchdog.wake,
                on_broken=lambda error: self._die(f"tokenizer failed: {error}"),
            )
        except BaseException:
            self._context.close()
            self._directory.close()
            raise
        self._supervise()

    @classmethod
    async def start(cls, config: EngineConfig) -> Self:
        """Make the parts and wait until the processes are ready; see `Engine.start`."""
        runtime = cls(config)
        starts = [
            asyncio.create_task(supervisor.start(), name=f"busduct-start-{name}")
            for name, supervisor in runtime._supervisors.items()
        ]
        try:
            await asyncio.gather(*starts)
        except BaseException:
            for task in starts:
                task.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
            runtime.kill()
            raise
        for name, supervisor in runtime._supervisors.items():
            watcher = asyncio.create_task(
                runtime._watch(supervisor), name=f"busduct-watch-{name}"
            )
            runtime._watchers.append(watcher)
        return runtime

    def status(self) -> EngineStatus:
        """Return how the processes stand."""
        if self.death is not None:
            return "dead"
        ready = all(supervisor.is_ready for supervisor in self._supervisors.values())
        return "ok" if ready else "degraded"

    def processes(self) -> tuple[ProcessHealth, ...]:
        """Return how each process stands."""
        return tuple(supervisor.health() for supervisor in self._supervisors.values())

    async def drain(self, timeout: float, hurry: asyncio.Event) -> None:
        """Wait until no request runs, for `timeout` seconds or until `hurry` is set."""
        waits = [
            asyncio.create_task(self.manager.wait_idle(), name="busduct-drain"),
            asyncio.create_task(hurry.wait(), name="busduct-hurry"),
        ]
        try:
            await asyncio.wait(
                waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def stop(self, grace: float) -> None:
        """End the processes, close the sockets and remove the directory."""
        self._watchdog.close()
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        # Downstream last, so that what the scheduler still sends has a reader.
        for supervisor in self._supervisors.values():
            await supervisor.terminate(grace)
        await self.manager.aclose()
        await self._context.aclose()
        self._directory.close()

    def kill(self) -> None:
        """Do as `stop`, at once; what runs ends with `ClosedError`. Idempotent."""
        self._watchdog.close()
        for watcher in self._watchers:
            watcher.cancel()
        for supervisor in self._supervisors.values():
            supervisor.kill()
        self.manager.close()
        self._context.close()
        self._directory.close()

    def _supervise(self) -> None:
        budget = RestartBudget(self._config.max_restarts, self._config.restart_window)
        for role in ROLES:
            self._supervisors[role] = ChildSupervisor(
                role,
                functools.partial(self._spawn, role),
                start_timeout=self._config.start_timeout,
                budget=budget,
                on_death=self._on_death,
            )

    def _spawn(self, role: Role, generation: int) -> ChildProcess:
        settings = ChildSettings(
            role=role,
            parent_pid=os.getpid(),
            generation=generation,
            epoch=self.manager.epoch,
            model_path=self.model.path,
            tokenizer_path=self.model.tokenizer_path,
            config=self._config,
            ports=self.ports,
        )
        return ChildProcess(
            role,
            ["-m", "busduct.pipeline._child", role],
            msgspec.json.encode(settings),
            CHILD_ENVIRONMENT,
        )

    def _on_ready(self, message: ReadyRes) -> None:
        supervisor = self._supervisors.get(message.name)
        if supervisor is None or not supervisor.note_ready(message.generation):
            return
        if message.name == "scheduler":
            self.manager.context_length = message.context_length
            self.manager.vocab_size = message.vocab_size

    def _on_death(self, name: str, exit_code: int) -> None:
        error = WorkerDiedError(name, exit_code)
        self.last_error = str(error)
        self.manager.fail_all(lambda: WorkerDiedError(name, exit_code))

    def _ask(self, number: int) -> dict[str, int]:
        self.manager.ping(number)
        return {
            name: supervisor.generation
            for name, supervisor in self._supervisors.items()
            if supervisor.is_ready
        }

    def _on_stall(self, name: str, generation: int) -> None:
        supervisor = self._supervisors[name]
        if supervisor.is_ready and supervisor.generation == generation:
            _log.error("%s gives no sign of life; killing it", name)
            supervisor.kill()

    async def _watch(self, supervisor: ChildSupervisor) -> None:
        self._die(await supervisor.watch())

    def _die(self, reason: str) -> None:
        if self.death is not None:
            return
        _log.error("engine %s is dead: %s", self.name, reason)
        self.death = reason
        self.last_error = reason

        def make_error() -> BusductError:
            return EngineDeadError(self.name, reason)

        self.manager.fail_all(make_error)
        current = asyncio.current_task()
        for watcher in self._watchers:
            if watcher is not current:
                watcher.cancel()
        for supervisor in self._supervisors.values():
            supervisor.kill()
