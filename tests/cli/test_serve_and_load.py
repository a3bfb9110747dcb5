"""The service, a client and the load generator as processes, one against the other."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.test_cli import ROOT, busduct_command


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Serve the embedded model, and give the URL that the service prints."""
    with subprocess.Popen(
        [sys.executable, "-m", "busduct.cli", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()
        assert process.wait(30) == 0


def test_load_is_served(url: str, tmp_path: Path) -> None:
    plot = tmp_path / "report.png"
    found = busduct_command(
        *("load", "--url", url, "--requests", "12", "--concurrency", "4"),
        *("--output-len", "8", "--input-len", "8", "--workers", "1"),
        *("--plot", str(plot)),
    )
    assert "12 requests ended well and 0 failed" in found.stdout
    assert "TTFT" in found.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_example_of_the_pool_asks_the_service(url: str) -> None:
    script = str(ROOT / "examples" / "worker_pool.py")
    ran = subprocess.run(
        [sys.executable, "-W", "error", script, url, "--model", "busduct-austen"],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert ran.stderr == ""
    rows = [line.split() for line in ran.stdout.splitlines()[-3:]]
    counts = {row[0]: int(row[-1]) for row in rows if row[0] != "ended"}
    # All but those on the killed worker's 8 connections, and those whose answers it had
    # yet to send: some turns of its loop. What it had not started is done by another.
    assert counts["answered"] >= 76
    assert sum(counts.values()) == 100
    assert rows[-1] == ["ended", "once", "100"]
