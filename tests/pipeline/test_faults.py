"""Processes that die, and messages that nobody should have sent."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests.pipeline.conditions import (
    alphabet,
    collect,
    pid_of,
    until,
    until_running,
    until_status,
    wait_gone,
)
from tests.pipeline.conftest import MakeConfig

from busduct.errors import EngineDeadError, RequestError, WorkerDiedError, WorkerError
from busduct.pipeline import Engine, SamplingParams
from busduct.transport import PUSH, Context, get_zmq_socket

PROCESSES = ("scheduler", "detokenizer")
LONG = SamplingParams(temperature=0.0, max_tokens=200)
SHORT = SamplingParams(temperature=0.0, max_tokens=5)


@pytest.mark.parametrize("name", PROCESSES)
async def test_killed_process_ends_its_requests_at_once_and_comes_back(
    make_config: MakeConfig, any_loop: str, name: str
) -> None:
    async with Engine(make_config("CrawlingRunner")) as engine:
        streams = [engine.generate("a", LONG) for _ in range(20)]
        # The 4 that wait for a place have no first piece.
        running = [asyncio.create_task(collect(stream)) for stream in streams]
        await until_running(engine, 20)
        first = engine.generate("a", LONG)
        running.append(asyncio.create_task(collect(first)))
        old_pid = pid_of(engine, name)

        os.kill(old_pid, signal.SIGKILL)
        errors = await asyncio.gather(*running, return_exceptions=True)

        for error in errors:
            assert isinstance(error, WorkerDiedError)
            assert (error.worker_id, error.exit_code) == (name, -signal.SIGKILL)
        # At once: its successor takes longer to start than it takes to tell them.
        health = engine.health()
        assert health.status == "degraded"
        assert health.num_running == 0
        assert health.last_error is not None
        assert name in health.last_error

        assert (await engine.complete("a", SHORT)).text == "bcdef"
        health = engine.health()
        assert health.status == "ok"
        assert {p.name: p.num_restarts for p in health.processes} == {
            process: int(process == name) for process in PROCESSES
        }
        assert pid_of(engine, name) != old_pid


async def test_both_processes_killed_come_back(make_config: MakeConfig) -> None:
    async with Engine(make_config("CrawlingRunner")) as engine:
        running = asyncio.create_task(engine.complete("a", LONG))
        await until_running(engine, 1)
        for name in PROCESSES:
            os.kill(pid_of(engine, name), signal.SIGKILL)
        with pytest.raises(WorkerDiedError):
            await running
        await until(
            lambda: [p.num_restarts for p in engine.health().processes] == [1, 1]
        )
        assert (await engine.complete("a", SHORT)).text == "bcdef"
        await until_status(engine, "ok")


@pytest.mark.parametrize("name", PROCESSES)
async def test_process_that_hangs_is_killed_and_its_requests_end(
    make_config: MakeConfig, name: str
) -> None:
    # NB: on a busy machine those that are well take their time to answer, too.
    async with Engine(make_config("SlowRunner", stall_timeout=2.0)) as engine:
        os.kill(pid_of(engine, name), signal.SIGSTOP)
        with pytest.raises(WorkerDiedError) as caught:
            await engine.complete("a", LONG)
        assert caught.value.worker_id == name
        assert (await engine.complete("a", SHORT)).text == "bcdef"


async def test_busy_processes_are_not_taken_for_hung(make_config: MakeConfig) -> None:
    async with Engine(make_config("SlowRunner", stall_timeout=2.0)) as engine:
        assert (await engine.complete("a", LONG)).text == alphabet("a", 200)
        assert [p.num_restarts for p in engine.health().processes] == [0, 0]


async def test_request_that_ends_its_process_gets_the_exit_code(
    make_config: MakeConfig,
) -> None:
    async with Engine(make_config("CrashingRunner")) as engine:
        with pytest.raises(WorkerDiedError) as caught:
            await engine.complete("!", SHORT)
        assert caught.value.exit_code == 7
        assert (await engine.complete("a", SHORT)).text == "bcdef"


async def test_engine_without_restarts_left_is_dead(make_config: MakeConfig) -> None:
    async with Engine(make_config(max_restarts=1)) as engine:
        os.kill(pid_of(engine, "scheduler"), signal.SIGKILL)
        await until(lambda: engine.health().processes[0].num_restarts == 1)
        await until_status(engine, "ok")
        pids = [pid_of(engine, name) for name in PROCESSES]
        os.kill(pids[1], signal.SIGKILL)
        await until_status(engine, "dead")
        with pytest.raises(EngineDeadError, match="detokenizer"):
            await engine.complete("a", SHORT)
        wait_gone(pids)


async def test_waiting_requests_end_when_no_restart_is_left(
    make_config: MakeConfig,
) -> None:
    async with Engine(make_config(max_restarts=0)) as engine:
        os.kill(pid_of(engine, "scheduler"), signal.SIGKILL)
        # Accepted before the death is noticed or refused after it: it ends either way.
        with pytest.raises((WorkerDiedError, EngineDeadError)):
            await engine.complete("a", SHORT)
        await until_status(engine, "dead")


async def test_terminated_scheduler_finishes_first(make_config: MakeConfig) -> None:
    async with Engine(make_config("SlowRunner")) as engine:
        stream = engine.generate("a", SamplingParams(temperature=0.0, max_tokens=20))
        pieces = [await anext(stream)]
        os.kill(pid_of(engine, "scheduler"), signal.SIGTERM)
        pieces += await collect(stream)
        assert "".join(piece.text for piece in pieces) == alphabet("a", 20)
        await until(lambda: engine.health().processes[0].num_restarts == 1)
        assert (await engine.complete("a", SHORT)).text == "bcdef"


async def test_interrupt_is_left_to_the_parent(make_config: MakeConfig) -> None:
    async with Engine(make_config()) as engine:
        for name in PROCESSES:
            os.kill(pid_of(engine, name), signal.SIGINT)
        assert (await engine.complete("a", SHORT)).text == "bcdef"
        assert [p.num_restarts for p in engine.health().processes] == [0, 0]


GARBAGE = [
    b"",
    b"\xc1",
    b"\x00" * 1000,
    msgspec.msgpack.encode({"rid": "x"}),
    msgspec.msgpack.encode(["unknown", "x", 1]),
    msgspec.msgpack.encode(["generate", "x", 0, [1], {"max_tokens": -1}]),
    msgspec.msgpack.encode(["generate", "x", 0, ["a"], {}]),
    msgspec.msgpack.encode(["generate", "x", 0, [1], {}, "extra"]),
    msgspec.msgpack.encode(["tokens", ["x"], 0, [], [], [], [], []]),
    msgspec.msgpack.encode(["tokens", ["x"], 0, [[1]], ["why"], [1], [1], [[]]]),
    msgspec.msgpack.encode(["tokens", ["x"], 0, [[9999, -5]], [None], [1], [1], [[]]]),
    msgspec.msgpack.encode(["text", ["x"], 0, ["a"], [[1]], ["stop"], [1], [1]]),
    msgspec.msgpack.encode(["text", [b"x"], 0, ["a"], [[1]], ["stop"], [1], [1]]),
    msgspec.msgpack.encode(["ready", "scheduler", 99]),
    msgspec.msgpack.encode(["stop", "nobody"]),
    msgspec.msgpack.encode(["abort", "nobody"]),
    b"\x91" * 100_000,
    b"\x91\xa8\0\0\0\0\0\0\0\x80",
    msgspec.msgpack.encode(["abort", "x"]).replace(b"x", b"\xff"),
]


@pytest.mark.parametrize(
    "port", ["tokenizer_ipc_name", "scheduler_input_ipc_name", "detokenizer_ipc_name"]
)
async def test_garbage_on_a_socket_hurts_no_honest_request(
    make_config: MakeConfig, port: str
) -> None:
    async with Engine(make_config("SlowRunner")) as engine, Context() as context:
        honest = asyncio.create_task(
            engine.complete("a", SamplingParams(temperature=0.0, max_tokens=50))
        )
        await until_running(engine, 1)
        endpoint = getattr(engine.port_args, port)
        sender = get_zmq_socket(context, PUSH, endpoint, bind=False)
        for message in GARBAGE:
            await sender.send(message)
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(endpoint.removeprefix("ipc://"))
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
        assert (await honest).text == alphabet("a", 50)
        assert (await engine.complete("a", SHORT)).text == "bcdef"
        assert engine.health().status == "ok"
        assert [p.num_restarts for p in engine.health().processes] == [0, 0]


@pytest.mark.parametrize(
    ("port", "make_message", "error_type"),
    [
        (
            "scheduler_input_ipc_name",
            lambda rid: ["generate", rid, "no epoch", [1], {}],
            RequestError,
        ),
        ("detokenizer_ipc_name", lambda rid: ["tokens", [rid]], WorkerError),
        ("tokenizer_ipc_name", lambda rid: ["text", [rid], 0, "text"], WorkerError),
    ],
)
async def test_malformed_message_about_a_request_ends_that_one(
    make_config: MakeConfig,
    port: str,
    make_message: "type",
    error_type: type[Exception],
) -> None:
    async with Engine(make_config("CrawlingRunner")) as engine, Context() as context:
        victim = engine.generate("a", LONG, rid="victim")
        await anext(victim)
        other = asyncio.create_task(engine.complete("a", SHORT))
        assert engine._runtime is not None
        wire_rid = engine._runtime.manager._wire_rids["victim"]
        endpoint = getattr(engine.port_args, port)
        sender = get_zmq_socket(context, PUSH, endpoint, bind=False)
        await sender.send(msgspec.msgpack.encode(make_message(wire_rid)))
        with pytest.raises(error_type, match="malformed"):
            await collect(victim)
        assert (await other).text == "bcdef"


PARENT = """
import asyncio, sys
import msgspec
from busduct.pipeline import Engine, EngineConfig

async def main():
    config = msgspec.json.decode(sys.argv[1], type=EngineConfig)
    async with Engine(config) as engine:
        print(*(process.pid for process in engine.health().processes), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def test_nothing_outlives_a_killed_parent_and_the_next_sweeps_its_files(
    make_config: MakeConfig,
) -> None:
    config = make_config()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, msgspec.json.encode(config).decode()],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.kill()
    wait_gone(pids)

    assert config.runtime_dir is not None
    (left,) = Path(config.runtime_dir).glob("*-*")

    async def start_another() -> None:
        async with Engine(config) as engine:
            assert (await engine.complete("a", SHORT)).text == "bcdef"
            assert not left.exists()

    asyncio.run(start_another())


@pytest.mark.slow
async def test_idle_processes_use_no_processor_time(make_config: MakeConfig) -> None:
    async with Engine(make_config()) as engine:
        await engine.complete("a", SHORT)
        pids = [os.getpid(), *(pid_of(engine, name) for name in PROCESSES)]
        used = [2]
        # What goes on after the request is over some time; polling never is. A tick is
        # 10 ms; one may fall to the account of who wakes only to measure.
        while max(used) > 1:
            before = [ticks_of(pid) for pid in pids]
            await asyncio.get_running_loop().run_in_executor(
                None, select.select, [], [], [], 5.0
            )
            after = [ticks_of(pid) for pid in pids]
            used = [end - start for end, start in zip(after, before, strict=True)]


def ticks_of(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
