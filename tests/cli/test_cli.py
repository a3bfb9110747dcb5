"""The command line, run as a process."""

import fcntl
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import busduct
from busduct.pipeline.embedded import model_directory

ROOT = Path(__file__).parents[2]


def busduct_command(
    *arguments: str, code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    found = subprocess.run(
        [sys.executable, "-m", "busduct.cli", *arguments],
        capture_output=True,
        check=False,
        timeout=100,
        text=True,
        # Wide enough that no path is broken in two.
        env={**os.environ, "COLUMNS": "400", **environment},
    )
    assert found.returncode == code, found
    return found


def test_version_is_the_package_version() -> None:
    assert busduct_command("--version").stdout == f"busduct {busduct.__version__}\n"


def test_no_command_shows_the_commands() -> None:
    found = busduct_command(code=2)
    assert "serve" in found.stdout + found.stderr
    assert "generate" in found.stdout + found.stderr


def test_the_installed_command_is_the_same() -> None:
    command = Path(sys.executable).with_name("busduct")
    if not command.exists():
        pytest.skip("installed without its scripts")
    found = subprocess.run(
        [str(command), "--version"], capture_output=True, check=True, timeout=60
    )
    assert busduct.__version__ in found.stdout.decode()


def test_serve_says_that_a_port_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        found = busduct_command("serve", "--port", str(port), code=1)
    assert found.stderr == f"busduct: error: endpoint 127.0.0.1:{port} is in use\n"


def test_serve_refuses_other_machines_without_a_key() -> None:
    arguments = ("serve", "--host", "0.0.0.0", "--port", "0")
    found = busduct_command(*arguments, code=1, BUSDUCT_API_KEY="")
    assert "reachable from other machines" in found.stderr


def test_serve_names_a_model_that_is_not_there(tmp_path: Path) -> None:
    found = busduct_command("serve", "--model", str(tmp_path / "none"), code=2)
    assert "does not exist" in found.stderr
    found = busduct_command("serve", "--port", "0", "--model", str(tmp_path), code=2)
    assert "tokenizer.json" in found.stderr


def test_serve_refuses_an_open_key_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("secret")
    path.chmod(0o644)
    found = busduct_command("serve", "--api-key-file", str(path), code=1)
    assert "0600" in found.stderr
    assert "secret" not in found.stderr


@pytest.mark.parametrize(
    ("module", "extra", "arguments"),
    [
        ("typer", "cli", ("--version",)),
        ("uvicorn", "server", ("serve",)),
        ("starlette", "server", ("serve",)),
        ("tokenizers", "model", ("generate", "x")),
    ],
)
def test_a_missing_extra_is_named(
    tmp_path: Path, module: str, extra: str, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys\nsys.modules[{module!r}] = None\n"
    )
    found = busduct_command(*arguments, code=1, PYTHONPATH=str(tmp_path))
    assert f"busduct[{extra}]" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_model_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "config.json"):
        shutil.copy(model_directory() / name, tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_text("none")
    found = busduct_command("generate", "x", "--model", str(tmp_path), code=1)
    assert f"ConfigError: cannot read {weights}" in found.stderr
    assert "Traceback" not in found.stderr


def test_generate_writes_the_continuation_alone_to_a_pipe() -> None:
    arguments = ("generate", "The sea", "--max-tokens", "12", "--seed", "1")
    found = busduct_command(*arguments)
    assert found.stdout.strip()
    assert not found.stdout.startswith("The sea")
    assert "\x1b" not in found.stdout
    assert found.stderr == ""
    assert busduct_command(*arguments).stdout == found.stdout


def test_generate_reads_its_prompt_from_standard_input() -> None:
    arguments = ("--max-tokens", "8", "--temperature", "0")
    given = busduct_command("generate", "The sea", *arguments).stdout
    found = subprocess.run(
        [sys.executable, "-m", "busduct.cli", "generate", "-", *arguments],
        input="The sea",
        capture_output=True,
        check=True,
        timeout=60,
        text=True,
    )
    assert found.stdout == given


def test_generate_refuses_a_prompt_longer_than_the_context() -> None:
    found = busduct_command("generate", "sea " * 5000, code=2)
    assert found.stdout == ""
    assert "exceeds limit of" in found.stderr
    assert "Traceback" not in found.stderr


@contextmanager
def generating(
    *arguments: str, stdout: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``busduct generate``, in a process group of its own, until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-m", "busduct.cli", "generate", "The sea", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_generate_ends_quietly_when_nobody_reads() -> None:
    with generating() as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 0


PIPE_BYTES = 4096


@contextmanager
def narrow_pipe(nbytes: int) -> Iterator[tuple[int, int]]:
    """Make a pipe that takes so many bytes until it is read; who uses it closes one."""
    reader, writer = os.pipe()
    try:
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.write(writer, bytes(PIPE_BYTES - nbytes))
        yield reader, writer
    finally:
        os.close(reader)


def num_readable(reader: int) -> int:
    """Return the bytes that a pipe holds."""
    found = fcntl.ioctl(reader, termios.FIONREAD, bytes(4))
    return int.from_bytes(found, sys.byteorder)


def test_ctrl_c_ends_generate_and_its_processes() -> None:
    with (
        narrow_pipe(64) as (reader, writer),
        generating("--max-tokens", "100000", stdout=writer) as process,
    ):
        assert process.stderr is not None
        os.close(writer)
        # It writes more than there is room for, and so has not ended.
        deadline = time.monotonic() + 60
        while num_readable(reader) <= PIPE_BYTES - 64:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGINT)
        while os.read(reader, PIPE_BYTES):
            pass
        assert process.wait(20) == 130
        # Its end of file says that every process that held the pipe has ended.
        assert select.select([process.stderr], [], [], 20)[0]
        errors = process.stderr.read().decode()
    assert not re.search("Traceback|Exception|Error", errors)
