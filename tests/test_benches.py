"""The benches of Python run, and tell what failed, was left out, or was met."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHES = Path(__file__).parent.parent / "benches" / "python"
QUICK = ("--runs", "1", "--seconds", "0.02")
OURS = ("--peers", "busduct_await")


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHES))
    import runner

    return runner


@pytest.fixture
def targets(runner: ModuleType) -> ModuleType:
    import targets

    return targets


@pytest.mark.parametrize(
    "command",
    [
        ("bench_shm.py", *OURS, "--works", "one", "--sizes", "32", "1048576"),
        ("bench_shm.py", "--peers", "busduct_batch", "--works", "batch"),
        ("bench_shm.py", *OURS, "--works", "view", "loan", "--sizes", "1048576"),
        ("bench_shm.py", "--peers", "pyzmq_drain", "unix_stream", "--sizes", "32"),
        ("bench_round_trips.py", *OURS, "--sizes", "32", "--pin"),
        ("bench_round_trips.py", "--peers", "eventfd", "unix_stream", "--sizes", "32"),
        ("bench_fan_out.py", *OURS, "--sizes", "32", "--subscribers", "2"),
        ("bench_broadcast.py", "--readers", "2", "--sizes", "1024"),
        ("bench_idle.py", *OURS, "--pairs", "2"),
        ("bench_http_client.py", "--connections", "8"),
        ("bench_fmq.py", "--works", "burst", "paced", "--sizes", "4096", "1048576"),
        ("bench_fmq.py", "--works", "many"),
    ],
    ids=" ".join,
)
def test_bench_runs(backend: ModuleType, command: tuple[str, ...]) -> None:
    script, *options = command
    ran = subprocess.run(
        [sys.executable, BENCHES / script, *QUICK, *options],
        capture_output=True,
        text=True,
        # Some start sixteen processes: on a busy machine that alone takes a minute.
        timeout=110,
        check=False,
        env={**os.environ, "BUSDUCT_BACKEND": backend.BACKEND},
    )
    assert (ran.returncode, ran.stderr.strip()) == (0, "")
    assert "### " in ran.stdout


def test_one_bench_measures_at_a_time(runner: ModuleType) -> None:
    with (
        runner.open_directory(runner.SHARED_MEMORY) as descriptor,
        runner.swept_memory(),
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_peer_that_is_left_out_is_asked_once_and_noted(runner: ModuleType) -> None:
    num_asked = 0

    def measure() -> dict[str, float]:
        nonlocal num_asked
        num_asked += 1
        raise runner.SkippedError("it is not installed")

    turn = runner.Turn("one", "zenoh_shm", 32, measure)
    results, notes = runner.collect([turn, turn])
    assert num_asked == 1
    assert not results
    assert notes == ["one: zenoh_shm is left out: it is not installed"]


def test_a_peer_that_fails_is_noted_and_the_others_go_on(runner: ModuleType) -> None:
    def fail() -> dict[str, float]:
        raise subprocess.SubprocessError("status 1")

    turns = [
        runner.Turn("one", "c_ring", 32, fail),
        runner.Turn("one", "busduct_await", 32, lambda: {"one": 2.0}),
    ]
    results, notes = runner.collect(turns)
    assert results == {("one", "busduct_await", 32): [2.0]}
    assert notes == ["one: c_ring at 32 B FAILED: status 1"]


def test_a_program_that_dies_is_a_failure(runner: ModuleType) -> None:
    dying = [sys.executable, "-c", "raise SystemExit('no such ring')"]
    waiting = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(subprocess.SubprocessError, match="no such ring"):
        runner.run_both(dying, waiting)
    with pytest.raises(subprocess.SubprocessError, match="no such ring"):
        runner.run_both(waiting, dying)


def test_a_program_without_what_it_needs_is_skipped(runner: ModuleType) -> None:
    skipping = [sys.executable, "-c", """print('{"skipped": "no such call"}')"""]
    waiting = [sys.executable, "-c", "import time; time.sleep(60)"]
    for programs in ((skipping, waiting), (waiting, skipping)):
        with pytest.raises(runner.SkippedError, match="no such call"):
            runner.run_both(*programs)


def test_a_target_compares_with_the_best_rival(targets: ModuleType) -> None:
    ours, slow, fast = (("one", peer, 32) for peer in ("ours", "slow", "fast"))
    target = targets.Target("work", "msg/s", ours, 2.5, (slow, fast))
    results = {ours: [9.0, 10.0, 90.0], slow: [1.0], fast: [5.0]}
    assert target.best_rival(results) == fast
    assert target.value(results) == 2.0
    assert target.row(results)[-3:] == ["2.00x", "at least 2.5x", "no"]
    assert target.row(results | {fast: [4.0]})[-1] == "yes"


def test_a_target_of_time_is_met_below(targets: ModuleType) -> None:
    ours = ("loan", "ours", 32)
    target = targets.Target("work", "us", ours, 8, more_is_better=False)
    assert target.row({ours: [7.9]})[-3:] == ["7.90 us", "under 8 us", "yes"]
    assert target.row({ours: [8.1]})[-1] == "no"
    assert target.row({})[-3:] == ["not measured", "under 8 us", "-"]
