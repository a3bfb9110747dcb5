"""The examples that need no service run as a reader would run them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def output_of(*arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    # Where processes take long to start, who waits for them says so.
    told = [line for line in ran.stderr.splitlines() if " has waited " not in line]
    assert (ran.returncode, told) == (0, [])
    return ran.stdout


def test_pyzmq_client_is_answered() -> None:
    script = str(ROOT / "examples" / "with_pyzmq.py")
    assert output_of(script) == "hello -> HELLO\nagain -> AGAIN\n"


def test_remote_calls_are_answered() -> None:
    script = str(ROOT / "examples" / "rpc.py")
    assert output_of(script).splitlines() == [
        "LoadedModel(name='small', num_layers=2)",
        "NoSuchModelError: there is no model 'huge'",
        "InvalidParametersError: Expected `str`, got `int` - at `$.name`",
        "timed out after 0.5 s",
        "the server stops training",
        "UnknownMethodError: no method 'where'",
        "only here",
    ]


def test_late_subscriber_gets_the_last_messages() -> None:
    script = str(ROOT / "examples" / "pub_sub.py")
    assert sorted(output_of(script).splitlines()) == [
        "gpu0 has 3 requests queued",
        "gpu0 has 4 requests queued",
        "gpu1 has 7 requests queued",
    ]


FMQ_OUTPUTS = {
    "fmq_hello.py": [
        *(f"HELLO {number}" for number in range(10)),
        "workers killed by a request: 1",
    ],
    "fmq_pipeline.py": ["0 the quick brown fox", "1 jumps over", "2 the lazy dog"],
    "fmq_tensors.py": [
        *(
            f"step {step}: float32 (1024, 256), mean {step}.0, writeable: False"
            for step in range(3)
        ),
        "filled in place: 1048576 bytes, mean 0.5",
    ],
}


@pytest.mark.parametrize("backend_name", ["rust", "python"])
@pytest.mark.parametrize("name", FMQ_OUTPUTS)
def test_queues_between_processes(
    name: str, backend_name: str, monkeypatch: pytest.MonkeyPatch, ipc_dir: Path
) -> None:
    monkeypatch.setenv("BUSDUCT_BACKEND", backend_name)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(ipc_dir))
    assert output_of(str(ROOT / "examples" / name)).splitlines() == FMQ_OUTPUTS[name]


@pytest.mark.parametrize("backend_name", ["rust", "python"])
def test_followers_of_a_topic_get_their_keys(
    backend_name: str, monkeypatch: pytest.MonkeyPatch, ipc_dir: Path
) -> None:
    monkeypatch.setenv("BUSDUCT_BACKEND", backend_name)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(ipc_dir))
    script = str(ROOT / "examples" / "fmq_topic.py")
    assert output_of(script).splitlines() == [
        "message 5 of gpu.0: {'queued': 0}",
        "gpu.0 has 0 queued",
        "gpu.0 has 3 queued",
        "gpu.0 has 4 queued",
        "gpu.1 has 7 queued",
    ]


@pytest.mark.parametrize(
    ("backend_name", "where"), [("rust", "shared"), ("python", "private")]
)
def test_loans_are_leased_by_another_process(
    backend_name: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUSDUCT_BACKEND", backend_name)
    monkeypatch.delenv("BUSDUCT_SHM", raising=False)
    script = str(ROOT / "examples" / "loans.py")
    assert output_of(script).splitlines() == [
        f"{where} memory of 8388608 bytes, mean {mean}.0" for mean in range(4)
    ]


@pytest.mark.parametrize("backend_name", ["rust", "python"])
def test_all_workers_get_every_step(
    backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUSDUCT_BACKEND", backend_name)
    script = str(ROOT / "examples" / "broadcast.py")
    assert output_of(script).splitlines() == [
        "rank 0: [0, 1, 2, 3]",
        "rank 1: [0, 1, 2, 3]",
        "rank 2: [0, 1, 2, 3]",
        "lost: []",
    ]


@pytest.mark.parametrize("backend_name", ["rust", "python"])
def test_arrays_are_exchanged_with_another_process(
    backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUSDUCT_BACKEND", backend_name)
    script = str(ROOT / "examples" / "tensors.py")
    assert output_of(script).splitlines() == [
        "step 0: float32 (1024, 256) of 1048576 bytes, mean 0.0",
        "step 1: float32 (1024, 256) of 1048576 bytes, mean 1.0",
        "step 2: float32 (1024, 256) of 1048576 bytes, mean 2.0",
        "the last one is still there: 2.0",
    ]


@pytest.mark.parametrize("backend_name", ["rust", "python"])
def test_every_query_ends_though_a_worker_is_killed(
    backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUSDUCT_BACKEND", backend_name)
    script = str(ROOT / "examples" / "worker_pool.py")
    streamed, *table = output_of(script).splitlines()
    assert streamed == "It is a truth universally (25 chunks)"
    counts = {row[:12].strip(): int(row[12:]) for row in table}
    assert counts.pop("ended once") == 100
    assert sum(counts.values()) == 100
    assert set(counts) <= {"answered", "worker_died"}
    # Those on the dead worker's 8 connections, and those whose answers it still had to
    # send: some turns of its loop. Had it taken what it was sent with it, they were 40.
    assert counts.get("worker_died", 0) <= 24


@pytest.mark.parametrize("backend_name", ["rust", "python"])
@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("zmq_worker", "".join(f"{i} squared is {i * i}\n" for i in range(5))),
        (
            "zmq_drain",
            "at first: []\n"
            "then: ['request 0', 'request 1', 'request 2']\n"
            "at last: []\n",
        ),
        ("zmq_asyncio", "token: 0\ntoken: 1\ntoken: 2\n"),
        (
            "zmq_rpc",
            "add: {'result': 5}\n"
            "upper: {'result': 'HELLO'}\n"
            "fly: {'error': 'no method fly'}\n"
            "stop: {'result': None}\n",
        ),
    ],
)
def test_program_for_pyzmq_runs(
    name: str, printed: str, backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUSDUCT_BACKEND", backend_name)
    assert output_of(str(ROOT / "examples" / f"{name}.py")) == printed


def test_programs_for_pyzmq_differ_by_their_imports_only(tmp_path: Path) -> None:
    for script in (ROOT / "examples").glob("zmq_*.py"):
        text = script.read_text()
        text = text.replace(
            "from busduct.transport import zmq_compat as zmq", "import zmq"
        )
        text = text.replace("busduct.transport.zmq_compat.asyncio", "zmq.asyncio")
        assert "busduct." not in text
        (tmp_path / script.name).write_text(text)
        assert output_of(str(tmp_path / script.name)) == output_of(str(script))
