"""Whole benchmarks, with processes: their reports, and their ends."""

import asyncio
import os
import signal
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from tests.processes.conditions import children, until

from busduct.errors import WorkerDiedError, WorkerError
from busduct.fmq.bench import BenchConfig, BenchProgress, BenchReport, BenchRun
from busduct.fmq.bench._control import WarmUp
from busduct.fmq.bench._round import Round, _Member

SMALL: dict[str, Any] = {
    "num_messages": 30,
    "payload_nbytes": 100_000,
    "num_warmup": 2,
    "rate": 500.0,
    "timeout": 50.0,
}
BURST = BenchConfig(**SMALL, modes=("burst",), carriers=("kernel",))
# Would go on for hours.
ENDLESS = msgspec.structs.replace(
    BURST, modes=("paced",), num_messages=1_000_000, rate=200.0
)


@pytest.fixture
def native(rust: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the processes use the backend that shares memory."""
    monkeypatch.setenv("BUSDUCT_BACKEND", "rust")


async def test_a_report_has_every_mode_and_carrier(
    native: None, no_leaks: None
) -> None:
    seen: list[BenchProgress] = []
    config = BenchConfig(**SMALL)
    report = await BenchRun(config, on_progress=seen.append).run()
    pairs = [(case.mode, case.carrier) for case in report.cases]
    expected = [(mode, way) for mode in config.modes for way in config.carriers]
    assert pairs == expected
    assert [(look.mode, look.carrier) for look in seen if look.rate] == expected
    for case in report.cases:
        assert case.rounds[0].messages == 30
        assert case.latency is not None
        assert case.latency.count == 30
        assert 0 < case.latency.min <= case.latency.p95 <= case.latency.max < 50_000
        assert (case.send_lag is None) is (case.mode == "burst")
    assert not report.interrupted
    assert msgspec.json.decode(report.to_json(), type=BenchReport) == report


@pytest.mark.parametrize(
    "values", [{"views": True}, {"payload": "dict"}, {"payload": "array"}]
)
async def test_every_payload_arrives(values: dict[str, Any], native: None) -> None:
    config = BenchConfig(**SMALL, **values, modes=("burst",), carriers=("shm",))
    report = await BenchRun(config).run()
    assert report.cases[0].rounds[0].messages == 30


async def test_a_pace_takes_the_time_that_it_says(native: None) -> None:
    config = BenchConfig(**SMALL, modes=("paced",), carriers=("shm",))
    report = await BenchRun(config).run()
    assert report.cases[0].rounds[0].seconds >= 29 / 500
    assert report.cases[0].messages_per_second <= 30 / (29 / 500)


async def test_every_producer_and_consumer_takes_part(
    backend: ModuleType, monkeypatch: pytest.MonkeyPatch, no_leaks: None
) -> None:
    monkeypatch.setenv("BUSDUCT_BACKEND", backend.BACKEND)
    looks: list[BenchProgress] = []
    config = msgspec.structs.replace(
        BURST, num_producers=2, num_consumers=2, num_messages=200, num_rounds=2
    )
    report = await BenchRun(config, on_progress=looks.append).run()
    (case,) = report.cases
    assert report.backend == backend.BACKEND
    assert [each.messages for each in case.rounds] == [400, 400]
    assert [each.messages for each in case.producers] == [400, 400]
    assert sum(each.messages for each in case.consumers) == 800
    assert min(each.messages for each in case.consumers) > 0
    assert all(look.num_rounds == 2 for look in looks)
    last = [look for look in looks if not look.rate][-1]
    assert sum(last.num_got) == 400
    assert len(last.num_put) == len(last.num_got) == 2


async def test_a_warm_up_is_repeated_until_every_consumer_had_some() -> None:
    round_ = Round(BURST, "kernel", "burst", lambda *_: None)
    consumers = [_Member("consumer", index, None) for index in range(2)]
    round_._members = {each.name: each for each in consumers}
    told: list[object] = []

    async def tell(control: object, members: object, message: object) -> None:
        told.append(message)
        # The second one is not connected before the third time.
        consumers[len(told) // 3].num_messages += BURST.num_warmup

    round_._tell = tell
    assert await round_._warm_up(None) == 3
    assert told == [WarmUp()] * 3


async def test_it_can_be_ended_early_with_a_report(no_leaks: None) -> None:
    run = BenchRun(ENDLESS, on_progress=lambda look: any(look.num_got) and run.stop())
    report = await run.run()
    assert report.interrupted
    (case,) = report.cases
    assert 0 < case.rounds[0].messages < 100_000


async def test_ended_before_it_measures_it_has_no_case(no_leaks: None) -> None:
    run = BenchRun(ENDLESS)
    task = asyncio.create_task(run.run())
    await until(children)
    run.stop()
    report = await task
    assert report.interrupted
    assert report.cases == []


async def test_cancelled_it_leaves_no_process(no_leaks: None) -> None:
    before = set(children())
    got = asyncio.Event()
    task = asyncio.create_task(
        BenchRun(
            ENDLESS, on_progress=lambda look: any(look.num_got) and got.set()
        ).run()
    )
    await got.wait()
    assert len(set(children()) - before) == 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert set(children()) <= before


@pytest.mark.parametrize("which", [0, 1])
async def test_a_process_that_dies_ends_it(which: int, no_leaks: None) -> None:
    before = set(children())
    killed: list[int] = []

    def kill(look: BenchProgress) -> None:
        if any(look.num_got) and not killed:
            killed.append(sorted(set(children()) - before)[which])
            os.kill(killed[0], signal.SIGKILL)

    part = ("consumer 0", "producer 0")[which]
    with pytest.raises(WorkerDiedError, match=f"{part} died with exit code -9"):
        await BenchRun(ENDLESS, on_progress=kill).run()


def time_is_over(round_: Round) -> None:
    assert round_._limit is not None
    round_._limit.reschedule(asyncio.get_running_loop().time())


def patched(path: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every process that is started run some code first."""
    (path / "sitecustomize.py").write_text(code)
    monkeypatch.syspath_prepend(path)


async def test_a_payload_that_was_spoilt_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_leaks: None
) -> None:
    code = "from busduct.fmq.bench import _putting as at\n"
    code += "at.make_payload = lambda kind, nbytes, index: bytes([9]) * nbytes\n"
    patched(tmp_path, code, monkeypatch)
    text = "consumer 0 failed: WorkerError: a payload of 100000 bytes is not the 100000"
    with pytest.raises(WorkerError, match=text):
        await BenchRun(BURST).run()


async def test_a_message_that_is_lost_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_leaks: None
) -> None:
    code = """
from busduct.fmq.queue import Queue
get = Queue.get
async def lossy(self):
    message = await get(self)
    return await get(self) if message.msg_id == 20 else message
Queue.get = lossy
"""
    patched(tmp_path, code, monkeypatch)
    counts: list[int] = []
    round_ = Round(BURST, "kernel", "burst", lambda _, num_got: counts.extend(num_got))
    task = asyncio.create_task(round_.run())
    await until(lambda: 29 in counts)
    time_is_over(round_)
    with pytest.raises(WorkerError, match=r"still being measured after .* 29 of 30"):
        await task


async def test_a_consumer_that_gets_nothing_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_leaks: None
) -> None:
    code = """
import asyncio
from busduct.fmq.queue import Queue
async def never(self):
    await asyncio.get_running_loop().create_future()
Queue.get = never
"""
    patched(tmp_path, code, monkeypatch)
    before = set(children())
    round_ = Round(BURST, "kernel", "burst", lambda *_: None)
    task = asyncio.create_task(round_.run())
    await until(lambda: len(set(children()) - before) == 2)
    time_is_over(round_)
    with pytest.raises(WorkerError, match=r"still being prepared after .* 0 of 30"):
        await task


async def test_shared_memory_is_what_is_asked_for(
    native: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    code = f"""
from busduct.fmq import fmq
init = fmq.FMQ.__init__
def noted(self, config, *, shm):
    with open({str(log)!r}, "a") as file:
        print(shm, file=file)
    init(self, config, shm=shm)
fmq.FMQ.__init__ = noted
"""
    patched(tmp_path, code, monkeypatch)
    for carrier, said in (("shm", "require"), ("kernel", "off")):
        log.write_text("")
        config = msgspec.structs.replace(BURST, carriers=(carrier,))
        await BenchRun(config).run()
        assert log.read_text().split() == [said, said]
