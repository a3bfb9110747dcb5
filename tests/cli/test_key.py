"""`busduct key`, run as a process."""

from pathlib import Path

from tests.cli.test_cli import busduct_command

from busduct.transport import load_key


def test_new_writes_a_private_file_and_shows_no_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    found = busduct_command("key", "new", str(path))
    key = load_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert str(path) in found.stdout
    assert key.hex() not in found.stdout + found.stderr
    checked = busduct_command("key", "check", str(path))
    name = checked.stdout.split()[1]
    assert checked.stdout == f"key {name} is sound\n"
    assert name in found.stdout
    assert name not in key.hex()


def test_new_never_replaces_a_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    busduct_command("key", "new", str(path))
    key = load_key(path)
    found = busduct_command("key", "new", str(path), code=2)
    assert found.stderr.startswith("busduct: error: ")
    assert "exists already" in found.stderr
    assert load_key(path) == key


def test_new_prints_a_key_only_when_asked() -> None:
    printed = {busduct_command("key", "new", "-").stdout for _ in range(2)}
    assert len(printed) == 2
    assert all(len(bytes.fromhex(text)) == 32 for text in printed)


def test_environment_names_the_file(tmp_path: Path) -> None:
    path = str(tmp_path / "key")
    busduct_command("key", "new", BUSDUCT_KEY_FILE=path)
    found = busduct_command("key", "check", BUSDUCT_KEY_FILE=path)
    assert found.stdout.endswith("is sound\n")
    environment = {"BUSDUCT_KEY_FILE": "", "BUSDUCT_KEY": load_key(path).hex()}
    assert busduct_command("key", "check", **environment).stdout == found.stdout


def test_check_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "key"
    found = busduct_command("key", "check", str(path), code=2)
    assert "busduct key new" in found.stderr
    path.write_text("secret")
    path.chmod(0o644)
    found = busduct_command("key", "check", str(path), code=1)
    assert "chmod 600" in found.stderr
    assert "secret" not in found.stderr
    assert found.stderr.count("\n") == 1


def test_key_without_a_command_shows_them() -> None:
    found = busduct_command("key", code=2)
    assert "new" in found.stdout + found.stderr
    assert "check" in found.stdout + found.stderr
