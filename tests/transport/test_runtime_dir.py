"""The private directory of an instance."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from busduct.errors import ConfigError
from busduct.transport._runtime_dir import (
    RuntimeDirectory,
    base_directory,
    ipc_endpoint,
    new_instance_path,
)


def test_directory_is_private_and_gone_after_close(tmp_path: Path) -> None:
    path = new_instance_path(tmp_path / "run")
    directory = RuntimeDirectory(path)
    assert path.stat().st_mode & 0o777 == 0o700
    assert path.parent.stat().st_mode & 0o777 == 0o700
    (path / "socket").touch()
    directory.close()
    directory.close()
    assert not path.exists()


def test_what_a_dead_instance_left_is_swept(tmp_path: Path) -> None:
    base = tmp_path / "run"
    dead = RuntimeDirectory(new_instance_path(base))
    os.close(dead._lock_fd)
    half_made = new_instance_path(base)
    half_made.mkdir()
    living = RuntimeDirectory(new_instance_path(base))
    assert not dead.path.exists()
    assert not half_made.exists()
    living.close()


def test_living_instances_and_the_files_of_others_are_left_alone(
    tmp_path: Path,
) -> None:
    base = tmp_path / "run"
    first = RuntimeDirectory(new_instance_path(base))
    other = base / "somebody"
    other.mkdir()
    (base / "123-abc").mkdir()
    (base / "note").touch()
    link = base / "1-00000000"
    link.symlink_to(tmp_path)
    second = RuntimeDirectory(new_instance_path(base))
    assert first.path.exists()
    assert other.exists()
    assert (base / "123-abc").exists()
    assert (base / "note").exists()
    assert link.exists()
    first.close()
    second.close()


def test_base_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    base = tmp_path / "run"
    base.mkdir()
    base.chmod(0o755)
    with pytest.raises(ConfigError, match="mode 755"):
        RuntimeDirectory(new_instance_path(base))


def test_base_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    base = tmp_path / "run"
    base.symlink_to(tmp_path / "real")
    with pytest.raises(ConfigError, match="not a directory"):
        RuntimeDirectory(new_instance_path(base))


def test_session_directory_is_preferred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert base_directory() == tmp_path / "busduct"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert base_directory().name == f"busduct-{os.getuid()}"
    assert base_directory("/elsewhere") == Path("/elsewhere")


def test_endpoint_is_a_path_in_the_directory(tmp_path: Path) -> None:
    with RuntimeDirectory(new_instance_path(tmp_path / "run")) as directory:
        assert directory.endpoint("input") == f"ipc://{directory.path}/input"
    assert not directory.path.exists()


def test_long_name_becomes_a_digest_that_is_always_the_same() -> None:
    directory = Path("/run/" + "x" * 80)
    first, again, other = (
        ipc_endpoint(directory, name) for name in ("n" * 40, "n" * 40, "m" * 40)
    )
    assert first == again
    assert first != other
    assert len(first.removeprefix("ipc://")) == 86 + 16
    fits = ipc_endpoint(directory, "n" * 21)
    assert fits == f"ipc://{directory}/{'n' * 21}"
    assert len(fits.removeprefix("ipc://")) == 107


@pytest.mark.parametrize("name", ["n", "n" * 40])
def test_directory_too_long_is_refused_with_both_numbers(name: str) -> None:
    directory = Path("/run/" + "x" * 120)
    nbytes = 126 + min(len(name), 16)
    with pytest.raises(ConfigError, match=f"has {nbytes} bytes, the limit is 107"):
        ipc_endpoint(directory, name)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b"])
def test_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="not a name"):
        ipc_endpoint(tmp_path, name)


def test_without_a_path_it_lies_below_the_session_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with RuntimeDirectory() as directory:
        assert directory.path.parent == tmp_path / "busduct"


def test_base_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "run"
    base.mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: base.stat().st_uid + 1)
    with pytest.raises(ConfigError, match="not a directory of user"):
        RuntimeDirectory(new_instance_path(base))


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    base = tmp_path / "run"
    program = (
        "import os, sys; from pathlib import Path;"
        "from busduct.transport._runtime_dir import *;"
        "d = RuntimeDirectory(new_instance_path(Path(sys.argv[1])));"
        "print(d.path, flush=True); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program, str(base)],
        stdout=subprocess.PIPE,
        check=False,
        text=True,
    )
    left = Path(killed.stdout.strip())
    assert left.exists()
    with RuntimeDirectory(new_instance_path(base)) as directory:
        assert not left.exists()
        assert directory.path.exists()
