"""``busduct bench fmq``, run as a process."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from PIL import Image
from tests.cli.test_cli import busduct_command
from tests.processes.conditions import wait_gone

from busduct.fmq.bench import BenchReport, CaseReport

SMALL = ("--messages", "40", "--payload-size", "64KiB", "--warmup", "2")
COLUMNS = ("messages/s", "GB/s", "avg", "min", "P50", "P95", "P99", "max")
PAGE = Path(__file__).parents[2] / "docs" / "fmq_bench.md"


def bench(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    return busduct_command("bench", "fmq", *SMALL, *arguments, code=code)


def test_report_is_tables_side_by_side(rust: object) -> None:
    found = bench("--mode", "burst", "--producers", "2")
    assert "2 x 1, 40 messages of each producer, bytes of 65,536 bytes" in found.stdout
    for name in COLUMNS:
        assert len(re.findall(rf"\b{name}(?=\s)", found.stdout)) == 3, name
    number = r" +[\d.,]+"
    for row in (r"burst +shared memory", r"burst +kernel", r"times better"):
        values = rf"^ *{row}(?:{number}x?){{{len(COLUMNS)}}} *$"
        assert len(re.findall(values, found.stdout, re.MULTILINE)) == 1, row
    for row in ("producer 0", "producer 1", "consumer 0"):
        values = rf"^{row}(?:{number}){{{len(COLUMNS) + 2}}} *$"
        assert len(re.findall(values, found.stdout, re.MULTILINE)) == 2, row
    lines = found.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "burst, shared memory",
        "burst, kernel",
    ]
    assert "\x1b" not in found.stdout + found.stderr


def test_no_figure_is_cut_off_in_a_narrow_terminal(rust: object) -> None:
    found = busduct_command("bench", "fmq", *SMALL, "--mode", "burst", COLUMNS="60")
    assert "\N{HORIZONTAL ELLIPSIS}" not in found.stdout
    assert "shared memory" in found.stdout


def test_report_as_json_and_as_a_picture(tmp_path: Path) -> None:
    data, plot = tmp_path / "report.json", tmp_path / "report.png"
    bench("--shm", "off", "--rate", "400", "--json", str(data), "--plot", str(plot))
    report = msgspec.json.decode(data.read_bytes(), type=BenchReport)
    assert [(case.mode, case.carrier) for case in report.cases] == [
        ("burst", "kernel"),
        ("paced", "kernel"),
    ]
    assert report.settings.payload_nbytes == 64 << 10
    assert report.settings.rate == 400.0
    with Image.open(plot) as image:
        assert image.format == "PNG"
        assert image.size == (900, 800)


def test_json_to_standard_output_is_alone_there() -> None:
    options = ("--shm", "off", "--mode", "burst", "--rounds", "2", "--json", "-")
    found = bench(*options, "--threshold", "1KiB", "--payload", "dict", "--views")
    report = json.loads(found.stdout)
    assert [case["rounds"][1]["messages"] for case in report["cases"]] == [40]
    assert report["settings"]["shm_threshold"] == 1024
    assert report["settings"]["views"] is True
    assert "burst, kernel, round 2 of 2: " in found.stderr
    assert "messages of each producer" in found.stderr


class Terminal:
    """Standard error of a process, read all the time: a full one would stop it."""

    def __init__(self, arguments: tuple[str, ...]) -> None:
        self._primary, secondary = pty.openpty()
        self._text = ""
        self._is_over = False
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "busduct.cli", "bench", "fmq", *SMALL, *arguments],
            stdout=subprocess.PIPE,
            stderr=secondary,
            text=True,
            env={**os.environ, "COLUMNS": "100", "TERM": "xterm"},
        )
        os.close(secondary)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def children(self) -> list[int]:
        pid = self.process.pid
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in text.split()]

    def wait_for(self, pattern: str) -> None:
        with self._changed:
            assert self._changed.wait_for(
                lambda: self._is_over or re.search(pattern, self._text), 60
            )
            assert not self._is_over, self._text

    def close(self) -> str:
        """End the process if it has not ended; return all that it wrote."""
        self.process.kill()
        self.process.communicate()
        self._thread.join()
        os.close(self._primary)
        return self._text

    def _read(self) -> None:
        # The end of the other side is an error here.
        with suppress(OSError):
            while data := os.read(self._primary, 65536):
                plain = re.sub(
                    r"\x1b\[[\d;?]*[a-zA-Z]", "", data.decode(errors="replace")
                )
                with self._changed:
                    self._text += plain
                    self._changed.notify()
        with self._changed:
            self._is_over = True
            self._changed.notify()


ENDLESS = ("--mode", "paced", "--shm", "off", "--messages", "1000000")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_early_with_a_report(number: signal.Signals) -> None:
    terminal = Terminal((*ENDLESS, "--timeout", "3600"))
    try:
        terminal.wait_for(r"paced, kernel: consumer 0.* [1-9]\d*/1000000")
        pids = terminal.children()
        terminal.process.send_signal(number)
        stdout, _ = terminal.process.communicate(timeout=60)
    finally:
        text = terminal.close()
    assert terminal.process.returncode == 130
    assert "ended early" in stdout
    assert re.search(r"^paced +kernel +[\d.,]+", stdout, re.MULTILINE)
    assert re.search(r"paced, kernel: [\d,]+ messages/s", text)
    assert "Traceback" not in text
    assert len(pids) == 2
    wait_gone(pids)


def test_killed_it_leaves_no_process() -> None:
    terminal = Terminal(ENDLESS)
    try:
        terminal.wait_for(r"paced, kernel: producer 0.* [1-9]\d*/1000000")
        pids = terminal.children()
    finally:
        terminal.close()
    assert len(pids) == 2
    wait_gone(pids)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--producers", "0"), "--producers is 0; it must be from 1 to 256"),
        (("--consumers", "-1"), "--consumers is -1"),
        (("--messages", "0"), "--messages is 0"),
        (("--payload-size", "big"), "--payload-size is 'big'; it must be a number"),
        (("--payload-size", "1.5MiB"), "--payload-size is '1.5MiB'"),
        (("--payload-size", "4"), "--payload-size is 4; it must be from 8"),
        (("--threshold", "MiB"), "--threshold is 'MiB'"),
        (("--rate", "0"), "--rate is 0.0; it must be finite and above 0"),
        (("--rounds", "0"), "--rounds is 0"),
        (("--warmup", "0"), "--warmup is 0"),
        (("--timeout", "nan"), "--timeout is nan"),
        (("--mode", "slow"), "'slow' is not one of"),
        (("--shm", "maybe"), "'maybe' is not one of"),
        (("--payload", "text"), "'text' is not one of"),
    ],
)
def test_wrong_option_is_told(arguments: tuple[str, str], message: str) -> None:
    found = busduct_command("bench", "fmq", *arguments, code=2)
    assert message in found.stderr
    assert "Traceback" not in found.stderr
    assert found.stdout == ""


@pytest.mark.parametrize(("size", "nbytes"), [("9", 9), ("2kib", 2048), ("1 B", 1)])
def test_sizes_have_units(size: str, nbytes: int) -> None:
    from busduct.cli._bench import _parse_size

    assert _parse_size("size", size) == nbytes


def test_without_the_extension_shared_memory_is_refused() -> None:
    found = busduct_command("bench", "fmq", code=2, BUSDUCT_BACKEND="python")
    assert "pure-Python backend" in found.stderr


def test_a_round_that_takes_too_long_is_a_failure() -> None:
    found = bench("--shm", "off", "--timeout", "0.01", code=1)
    assert "error: a round was still being prepared after 0.01 s" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("module", "extra", "arguments"),
    [("hdrh", "cli", ()), ("matplotlib", "plot", ("--plot", "none.png"))],
)
def test_missing_extra_is_named(
    tmp_path: Path, module: str, extra: str, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys\nsys.modules[{module!r}] = None\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    found = busduct_command("bench", "fmq", *arguments, code=1, PYTHONPATH=path)
    assert f"busduct[{extra}]" in found.stderr
    assert "Traceback" not in found.stderr


def test_page_describes_every_option_and_field() -> None:
    text = PAGE.read_text()
    usage = busduct_command("bench", "fmq", "--help").stdout
    options = set(re.findall(r"--[a-z][a-z-]+", usage)) - {"--help"}
    assert options
    for option in options:
        assert f"`{option}" in text, option
    for kind in (BenchReport, CaseReport):
        for field in msgspec.structs.fields(kind):
            assert f"`{field.name}`" in text, field.name
