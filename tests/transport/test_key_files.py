"""Keys in files and in the environment."""

import os
from pathlib import Path

import pytest

from busduct.errors import AuthError, ConfigError
from busduct.transport import Context, load_key, new_key, save_key

KEY = bytes(range(32))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BUSDUCT_KEY", raising=False)
    monkeypatch.delenv("BUSDUCT_KEY_FILE", raising=False)


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_keys_are_32_bytes_and_never_the_same() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert {len(key) for key in keys} == {32}
    with Context(key=new_key()):
        pass


def test_saved_key_is_private_and_loads_again(tmp_path: Path) -> None:
    path = tmp_path / "key"
    before = os.umask(0)
    try:
        key = save_key(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == f"{key.hex()}\n"
    assert load_key(path) == load_key(str(path)) == key
    assert save_key(tmp_path / "other", KEY) == KEY
    assert load_key(tmp_path / "other") == KEY


def test_saving_never_replaces_what_is_there(tmp_path: Path) -> None:
    path = write(tmp_path / "key", "precious")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    for target in (path, link):
        with pytest.raises(ConfigError, match="exists already"):
            save_key(target)
    assert path.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


def test_saving_where_it_cannot_be_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        save_key(tmp_path / "none" / "key")
    with pytest.raises(ConfigError, match="31 bytes"):
        save_key(tmp_path / "key", KEY[1:])
    assert list(tmp_path.iterdir()) == []


def test_key_that_is_not_written_whole_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        save_key(tmp_path / "key")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o610, 0o601])
def test_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "key", KEY.hex(), mode)
    with pytest.raises(AuthError, match=f"mode 0{mode:o}.* chmod 600") as caught:
        load_key(path)
    assert KEY.hex() not in str(caught.value)


def test_stricter_modes_are_accepted(tmp_path: Path) -> None:
    assert load_key(write(tmp_path / "key", KEY.hex(), 0o400)) == KEY


def test_file_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "key", KEY.hex())
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(AuthError, match=f"belongs to user {owner}"):
        load_key(path)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    with pytest.raises(ConfigError, match="not a regular file"):
        load_key(fifo)
    with pytest.raises(ConfigError):
        load_key(tmp_path)


def test_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="busduct key new"):
        load_key(tmp_path / "key")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        KEY.hex()[:-1],
        KEY.hex() + "0",
        KEY.hex() * 2,
        "z" * 64,
        " ".join(["0f"] * 32),
        "\xe9" * 64,
        "0" * 100_000,
    ],
)
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "key", text)
    with pytest.raises(ConfigError, match="64 hexadecimal digits") as caught:
        load_key(path)
    assert len(str(caught.value)) < 250


def test_environment_names_a_file_or_holds_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="BUSDUCT_KEY_FILE"):
        load_key()
    monkeypatch.setenv("BUSDUCT_KEY", KEY.hex().upper())
    assert load_key() == KEY
    path = tmp_path / "key"
    other = save_key(path)
    monkeypatch.setenv("BUSDUCT_KEY_FILE", str(path))
    assert load_key() == other
    monkeypatch.setenv("BUSDUCT_KEY_FILE", "")
    monkeypatch.setenv("BUSDUCT_KEY", "short")
    with pytest.raises(ConfigError, match="BUSDUCT_KEY holds 5 characters"):
        load_key()
