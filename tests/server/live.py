"""``busduct serve`` as a user runs it: a process, found by what it prints."""

import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.processes.conditions import wait_gone
from tests.server.hosting import Client
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from busduct.pipeline._incremental import _byte_of_char

START_TIMEOUT = 40.0
TIMEOUT = 50.0
SLOW = "tests.pipeline.fake_runner:CrawlingRunner"


class Service(Client):
    """A running ``busduct serve``."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        super().__init__(int(url.rpartition(":")[2]))
        self.process = process
        self.url = url

    @property
    def health(self) -> dict[str, Any]:
        found = self.get("/health").json
        assert isinstance(found, dict)
        return found

    @property
    def model(self) -> str:
        return str(self.get("/v1/models").json["data"][0]["id"])

    def pid_of(self, name: str) -> int:
        (pid,) = (p["pid"] for p in self.health["processes"] if p["name"] == name)
        return int(pid)

    def pids(self) -> list[int]:
        return [int(process["pid"]) for process in self.health["processes"]]

    def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask /health, one request after the other, until the condition holds."""
        deadline = time.monotonic() + TIMEOUT
        while not condition(found := self.health):
            assert time.monotonic() < deadline, found
        return found

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


def read_line(process: subprocess.Popen[bytes], timeout: float) -> bytes:
    """Return the process's next line of output, or b"" at its end."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], timeout)
    assert ready, "nothing was printed"
    return process.stdout.readline()


@contextmanager
def serving(*arguments: str, **environment: str) -> Iterator[Service]:
    """Run ``busduct serve`` with these arguments until the block ends."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "busduct.cli", "serve", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "BUSDUCT_API_KEY": "", **environment},
            # A session of its own: a Ctrl-C of the test reaches just this service.
            start_new_session=True,
        )
        pids: list[int] = []
        try:
            line = read_line(process, START_TIMEOUT).decode()
            found = re.search(r"http://\S+", line)
            if not found:
                errors.seek(0)
                raise AssertionError(line + errors.read().decode())
            service = Service(process, found[0])
            if "BUSDUCT_API_KEY" not in environment:
                pids = service.pids()
            yield service
        finally:
            process.kill()
            process.wait(TIMEOUT)
            assert process.stdout is not None
            process.stdout.close()
            wait_gone(pids)


def save_alphabet_model(directory: Path) -> Path:
    """Write a model directory whose token ids are byte values, for the fake runners."""
    tokenizer = Tokenizer(models.BPE(vocab=_byte_of_char(), merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=False
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|end|>", special=True)])
    directory.mkdir()
    tokenizer.save(str(directory / "tokenizer.json"))
    return directory
