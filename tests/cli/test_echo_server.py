"""``busduct echo-server``, run as a process."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cli.test_cli import busduct_command
from tests.processes.conditions import children, wait_gone


@contextmanager
def echoing(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command until the block ends; give it and its URL."""
    with subprocess.Popen(
        [sys.executable, "-m", "busduct.cli", "echo-server", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert first.startswith("busduct echo-server at http://127.0.0.1:")
            yield process, first.split()[-1]
        finally:
            process.kill()


def asked(url: str, body: dict[str, object]) -> bytes:
    data = json.dumps(body).encode()
    with urllib.request.urlopen(f"{url}/v1/completions", data, timeout=20) as reply:
        found: bytes = reply.read()
        return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_until_a_signal(number: signal.Signals) -> None:
    with echoing("--output-length", "7", "--workers", "2") as (process, url):
        text = json.loads(asked(url, {"prompt": "a"}))["choices"][0]["text"]
        assert text == "x" * 7
        process.send_signal(number)
        assert process.wait(20) == 0


def test_options_of_delays_choose_the_mode() -> None:
    with echoing("--ttft-ms", "1", "--jitter", "uniform") as (_, url):
        reply = json.loads(asked(url, {"prompt": "a", "max_tokens": 3}))
    assert reply["usage"]["completion_tokens"] == 3


def test_its_processes_die_with_it() -> None:
    with echoing("--workers", "2") as (process, _):
        pids = children(process.pid)
        assert len(pids) == 2
        process.kill()
        process.wait(20)
        wait_gone(pids)


def test_death_of_a_process_ends_it() -> None:
    with echoing("--workers", "2") as (process, _):
        os.kill(children(process.pid)[0], signal.SIGKILL)
        assert process.wait(20) == 1


def test_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        found = busduct_command("echo-server", "--port", port, code=1)
    assert found.stderr == f"busduct: error: endpoint 127.0.0.1:{port} is in use\n"


def test_option_without_effect_is_told() -> None:
    found = busduct_command("echo-server", "--mode", "max", "--ttft-ms", "1", code=2)
    assert found.stderr == (
        "busduct: error: ttft has no effect in the mode 'max'; use 'variable'\n"
    )


def test_missing_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules['httptools'] = None\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    found = busduct_command("echo-server", code=1, PYTHONPATH=path)
    assert "busduct[endpoint]" in found.stderr
    assert "Traceback" not in found.stderr
