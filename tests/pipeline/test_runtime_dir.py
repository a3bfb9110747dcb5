"""The private directory of an instance."""

import os
from pathlib import Path

import pytest

from busduct.errors import ConfigError
from busduct.pipeline import EngineConfig, PortArgs
from busduct.pipeline._runtime_dir import (
    RuntimeDirectory,
    base_directory,
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


def test_names_of_two_instances_differ_and_nothing_is_made(tmp_path: Path) -> None:
    config = EngineConfig(runtime_dir=str(tmp_path))
    first, second = PortArgs.init_new(config), PortArgs.init_new(config)
    names = {
        name
        for ports in (first, second)
        for name in (
            ports.tokenizer_ipc_name,
            ports.scheduler_input_ipc_name,
            ports.detokenizer_ipc_name,
        )
    }
    assert len(names) == 6
    assert all(name.startswith(f"ipc://{tmp_path}/") for name in names)
    assert list(tmp_path.iterdir()) == []
