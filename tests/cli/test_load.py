"""``busduct load`` and ``busduct sweep``, run as processes."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from PIL import Image
from tests.cli.test_cli import busduct_command
from tests.cli.test_echo_server import echoing

from busduct.endpoint.load import LoadReport, SweepReport

SHORT = ("--workers", "1", "--connections", "8", "--concurrency", "8")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    options = ("--output-length", "8", "--model-name", "served")
    with echoing("--ttft-ms", "5", "--tpot-ms", "1", *options) as (_, url):
        yield url


def load(url: str, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    return busduct_command("load", "--url", url, *SHORT, *arguments, code=code)


def test_report_is_a_table(url: str) -> None:
    found = load(url, "--requests", "40", "--warmup", "8")
    assert f"served, openai at {url}" in found.stdout
    assert "40 requests ended well and 0 failed" in found.stdout
    for name in ("requests/s", "output tokens/s", "TTFT", "TPOT", "ITL", "end to end"):
        assert re.search(rf"^{name} +[\d.,]+", found.stdout, re.MULTILINE), name
    assert found.stderr == ""
    assert "\x1b" not in found.stdout


def test_report_as_json_and_as_a_picture(url: str, tmp_path: Path) -> None:
    data, plot = tmp_path / "report.json", tmp_path / "report.png"
    load(url, "--requests", "20", "--json", str(data), "--plot", str(plot))
    report = msgspec.json.decode(data.read_bytes(), type=LoadReport)
    assert report.requests.completed == 20
    assert report.settings.url == url
    with Image.open(plot) as image:
        assert image.format == "PNG"
        assert image.size == (1100, 700)


def test_json_to_standard_output_is_alone_there(url: str) -> None:
    found = load(url, "--requests", "10", "--json", "-")
    assert json.loads(found.stdout)["requests"]["completed"] == 10
    assert "10 requests ended well" in found.stderr


@pytest.mark.parametrize("api", ["openai-completions", "sglang"])
def test_other_apis(url: str, api: str) -> None:
    found = load(url, "--api", api, "--requests", "10", "--no-stream")
    assert "10 requests ended well" in found.stdout
    assert "TTFT" not in found.stdout


def test_rate_and_duration(url: str) -> None:
    found = load(
        url,
        "--rate",
        "100",
        "--arrival",
        "constant",
        "--duration",
        "0.5",
        "--json",
        "-",
    )
    assert json.loads(found.stdout)["requests"]["issued"] == 50


def test_dataset(url: str, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(
        '{"prompt": "a", "max_tokens": 2}\n{"text": "b", "max_tokens": 4}\n'
    )
    found = load(url, "--dataset", str(path), "--requests", "10", "--json", "-")
    assert json.loads(found.stdout)["tokens"]["output"] == 5 * 2 + 5 * 4


def test_progress_is_plain_lines_in_a_log(url: str) -> None:
    found = load(url, "--rate", "50", "--duration", "6")
    lines = found.stderr.splitlines()
    assert lines
    assert re.match(r" +\d\.\d s  [\d.]+ req/s  .* in flight  .*TTFT p50", lines[0])


def test_all_failed_is_a_failure() -> None:
    with echoing("--error-rate", "1", "--error-status", "500") as (_, url):
        found = load(url, "--requests", "10", code=1)
    assert "0 requests ended well and 10 failed" in found.stdout
    assert "10 http 500: " in found.stdout


def test_some_failed_is_none() -> None:
    with echoing("--error-rate", "0.5", "--seed", "1") as (_, url):
        found = load(url, "--requests", "40")
    assert "http 503" in found.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_early_with_a_report(url: str, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "busduct.cli", "load", "--url", url, *SHORT]
    with subprocess.Popen(
        [*command, "--rate", "50", "--duration", "3600"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "400"},
    ) as process:
        assert process.stderr is not None
        # The first line of progress comes after five seconds.
        assert process.stderr.readline()
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "ended early" in stdout
    assert re.search(r"^[1-9][\d,]* requests ended well and 0 failed", stdout, re.M)
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--url", "localhost:80"), "must begin with http:// or https://"),
        (("--rate", "fast"), "rate 'fast' is neither a number nor max"),
        (("--rate", "0"), "rate is 0.0; it must be finite and above 0"),
        (("--rate", "nan"), "rate is nan"),
        (("--input-len", "1:2"), "length '1:2' is none of N, uniform:LOW:HIGH"),
        (("--output-len", "0"), "length is 0; it must be from 1"),
        (("--requests", "0"), "num_requests is 0; it must be at least 1"),
        (("--duration", "-1"), "duration is -1.0; it must be finite and above 0"),
        (("--concurrency", "0"), "concurrency is 0; it must be at least 1"),
        (
            ("--workers", "9"),
            "max_connections is 8; it must be at least num_workers, 9",
        ),
        (("--warmup", "-1"), "num_warmup is -1; it must be at least 0"),
        (("--timeout", "0"), "timeout is 0.0; it must be finite and above 0"),
        (("--dataset", "/none"), "dataset /none: No such file or directory"),
        (("--api", "grpc"), "'grpc' is not one of"),
        (("--arrival", "bursts"), "'bursts' is not one of"),
        (("--ca-file", "/none"), "'/none' does not exist"),
    ],
)
def test_wrong_option_is_told(arguments: tuple[str, str], message: str) -> None:
    given = {"--url": "http://localhost:1", "--workers": "1", "--connections": "8"}
    options = [part for pair in (given | dict([arguments])).items() for part in pair]
    found = busduct_command("load", *options, code=2)
    assert message in found.stderr
    assert "Traceback" not in found.stderr
    assert found.stdout == ""


@pytest.mark.parametrize("command", ["load", "sweep"])
@pytest.mark.parametrize("option", ["--json", "--plot"])
def test_file_that_cannot_be_written_is_told_before_the_run(
    command: str, option: str, tmp_path: Path
) -> None:
    for target, reason in (
        (tmp_path / "none" / "report", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        options = ("--url", "http://localhost:1", option, str(target))
        found = busduct_command(command, *options, code=2)
        assert found.stderr == f"busduct: error: {option} {target}: {reason}\n"


def test_files_of_reports_are_left_alone_by_a_run_that_fails(tmp_path: Path) -> None:
    kept, new = tmp_path / "kept", tmp_path / "new"
    kept.write_text("of before")
    load("http://localhost:1", "--json", str(kept), "--plot", str(new), code=1)
    assert kept.read_text() == "of before"
    assert not new.exists()


def test_wrong_line_of_a_dataset_is_told(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"prompt": "a"}\n{"promt": "b"}\n')
    found = load("http://localhost:1", "--dataset", str(path), code=2)
    assert f"{path}, line 2: nothing to ask" in found.stderr


def test_endpoint_that_is_not_there_is_told(own_port: int) -> None:
    url = f"http://127.0.0.1:{own_port}"
    found = load(url, code=1)
    assert f"cannot reach {url}" in found.stderr
    assert "Traceback" not in found.stderr
    named = load(url, "--model", "some", "--requests", "5", code=1)
    assert "5 connection: " in named.stdout


def test_open_key_file_is_refused(url: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("secret")
    path.chmod(0o644)
    found = load(url, "--api-key-file", str(path), code=1)
    assert "0600" in found.stderr
    assert "secret" not in found.stderr


@pytest.mark.parametrize(
    ("module", "extra", "arguments"),
    [
        ("hdrh", "cli", ()),
        ("httptools", "endpoint", ("--model", "some")),
        ("matplotlib", "plot", ("--plot", "none.png")),
    ],
)
def test_missing_extra_is_named(
    tmp_path: Path, module: str, extra: str, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys\nsys.modules[{module!r}] = None\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    found = busduct_command(
        *("load", "--url", "http://localhost:1", *arguments), code=1, PYTHONPATH=path
    )
    assert f"busduct[{extra}]" in found.stderr
    assert "Traceback" not in found.stderr


def test_sweep_compares(url: str, tmp_path: Path) -> None:
    data, plot = tmp_path / "sweep.json", tmp_path / "sweep.png"
    found = busduct_command(
        *("sweep", "--url", url, "--workers", "1", "--connections", "4,8"),
        *("--input-len", "8:16:8", "--requests", "16"),
        *("--json", str(data), "--plot", str(plot)),
    )
    report = msgspec.json.decode(data.read_bytes(), type=SweepReport)
    assert [(point.connections, point.input_length) for point in report.points] == [
        (4, 8),
        (4, 16),
        (8, 8),
        (8, 16),
    ]
    rows = re.findall(r"^ +1 +(\d+) +(\d+) +[\d,.]+", found.stdout, re.MULTILINE)
    assert rows == [("4", "8"), ("4", "16"), ("8", "8"), ("8", "16")]
    assert len(found.stderr.splitlines()) == 4
    with Image.open(plot) as image:
        assert image.size == (1100, 450)


def test_sweep_of_what_is_no_numbers_is_told() -> None:
    found = busduct_command(
        "sweep", "--url", "http://localhost:1", "--workers", "many", code=2
    )
    assert "'many' is none of N, N,M,..." in found.stderr


def test_sweep_in_which_all_failed_is_a_failure() -> None:
    with echoing("--error-rate", "1") as (_, url):
        arguments = ("--connections", "4", "--workers", "1", "--requests", "5")
        busduct_command("sweep", "--url", url, *arguments, code=1)


PAGE = Path(__file__).parents[2] / "docs" / "load.md"


def test_page_describes_every_field_of_a_report() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ", PAGE.read_text(), re.MULTILINE)
    described = {name.strip("`") for row in rows for name in row.split(", ")}
    assert described == {field.name for field in msgspec.structs.fields(LoadReport)}


@pytest.mark.parametrize("command", ["load", "sweep", "echo-server", "serve"])
def test_page_uses_options_that_there_are(command: str) -> None:
    known = set(re.findall(r"--[a-z-]+", busduct_command(command, "--help").stdout))
    used = {
        option
        for line in PAGE.read_text().replace("\\\n", "").splitlines()
        if line.startswith(f"busduct {command}")
        for option in re.findall(r"--[a-z-]+", line)
    }
    assert used <= known
    assert used or command == "serve"


def test_progress_is_a_line_that_changes_in_a_terminal(url: str) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "busduct.cli", "load", "--url", url, *SHORT]
    with subprocess.Popen(
        [*command, "--rate", "50", "--duration", "2"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "COLUMNS": "200", "TERM": "xterm"},
    ) as process:
        os.close(theirs)
        shown = b""
        # The terminal ends with an error once the process has closed it.
        with suppress(OSError):
            while piece := os.read(ours, 65536):
                shown += piece
        os.close(ours)
        assert process.wait(20) == 0
    text = shown.decode()
    assert len(re.findall(r"[\d.]+ req/s  [\d,]+ tok/s", text)) >= 2
    # What takes the line back before the next one is written over it.
    assert "\x1b[2K" in text
