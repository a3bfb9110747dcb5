"""Descriptors: read once, by one, by nobody else, and never as something else."""

import errno
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busduct.errors import (
    BusductError,
    ConfigError,
    SegmentError,
    SegmentFullError,
    SegmentGoneError,
    StaleDescriptorError,
)
from busduct.fmq import _descriptor
from busduct.fmq._descriptor import Descriptor

DATA = bytes(range(256)) * 16
HEADER_BYTES = 24


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give where the segments are, and fail nothing that leaves some."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "busduct" / "descriptors"


@pytest.fixture
def made(directory: Path) -> Iterator[tuple[Descriptor, Path]]:
    """Give a descriptor and its file."""
    descriptor = Descriptor.create(DATA)
    (path,) = directory.iterdir()
    return descriptor, path


def set_clock(monkeypatch: pytest.MonkeyPatch, seconds_ahead: float) -> None:
    now = _descriptor.time.time()
    monkeypatch.setattr(_descriptor.time, "time", lambda: now + seconds_ahead)


def test_what_was_left_is_read_once(directory: Path) -> None:
    descriptor = Descriptor.create(DATA)
    assert descriptor.size == len(DATA)
    assert descriptor.read_and_unlink() == DATA
    assert list(directory.iterdir()) == []
    with pytest.raises(SegmentGoneError) as raised:
        descriptor.read_and_unlink()
    assert raised.value.name == descriptor.shm_name


@pytest.mark.parametrize(
    "data", [b"", b"x", bytearray(b"xy"), memoryview(b"abcd")[::2], bytes(3 << 20)]
)
def test_any_buffer_can_be_left(directory: Path, data: Any) -> None:
    got = Descriptor.create(data).read_and_unlink()
    assert type(got) is bytes
    assert got == bytes(data)


def test_array_is_left_as_its_bytes(directory: Path) -> None:
    array = memoryview(bytearray(range(24))).cast("i")
    assert Descriptor.create(array).read_and_unlink() == array.tobytes()


def test_descriptor_goes_by_any_means(directory: Path) -> None:
    packed = msgspec.json.encode(Descriptor.create(DATA))
    descriptor = msgspec.json.decode(packed, type=Descriptor)
    assert Descriptor(descriptor.shm_name, descriptor.size) == descriptor
    assert descriptor.read_and_unlink() == DATA


def test_it_outlives_who_left_it(directory: Path) -> None:
    code = (
        "from busduct.fmq._descriptor import Descriptor\n"
        "made = Descriptor.create(b'left behind')\n"
        "print(made.shm_name, made.size)"
    )
    name, size = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    ).stdout.split()
    assert Descriptor(name, int(size)).read_and_unlink() == b"left behind"


def test_directory_and_files_are_private(made: tuple[Descriptor, Path]) -> None:
    _, path = made
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.parent.parent.stat().st_mode & 0o777 == 0o700


def test_descriptor_that_was_read_with_its_message_is_gone() -> None:
    with pytest.raises(SegmentGoneError):
        Descriptor("", 100).read_and_unlink()


def test_never_made_directory_is_a_segment_that_is_gone(
    made: tuple[Descriptor, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "elsewhere"))
    with pytest.raises(SegmentGoneError):
        made[0].read_and_unlink()


def test_of_many_readers_one_gets_it(directory: Path) -> None:
    num_readers = 8
    together = threading.Barrier(num_readers, timeout=20)

    def read(descriptor: Descriptor) -> bytes | None:
        together.wait()
        try:
            return descriptor.read_and_unlink()
        except SegmentGoneError:
            return None

    with ThreadPoolExecutor(num_readers) as pool:
        for _ in range(50):
            descriptors = [Descriptor.create(DATA)] * num_readers
            got = list(pool.map(read, descriptors))
            assert sorted(got, key=bool) == [None] * (num_readers - 1) + [DATA]


def test_reader_that_comes_between_gets_nothing(
    made: tuple[Descriptor, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptor, _ = made
    pread, got = os.pread, []

    def read_meanwhile(*arguments: Any) -> bytes:
        monkeypatch.setattr(os, "pread", pread)
        got.append(descriptor.read_and_unlink())
        return pread(*arguments)

    monkeypatch.setattr(os, "pread", read_meanwhile)
    with pytest.raises(SegmentGoneError):
        descriptor.read_and_unlink()
    assert got == [DATA]


def test_it_is_gone_after_its_time(
    made: tuple[Descriptor, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptor, path = made
    set_clock(monkeypatch, 200)
    Descriptor.create(b"", ttl=1e9)
    assert path.exists()
    set_clock(monkeypatch, 200)
    with pytest.raises(SegmentGoneError):
        descriptor.read_and_unlink()
    assert not path.exists()


def test_what_nobody_has_read_in_time_is_swept_by_the_next(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Descriptor.create(DATA, ttl=1000)
    for _ in range(10):
        Descriptor.create(DATA, ttl=5)
    (directory / "somebody else's").touch()
    (directory / "000000000000").touch()
    set_clock(monkeypatch, 10)
    last = Descriptor.create(DATA)
    assert len(list(directory.iterdir())) == 4
    assert kept.read_and_unlink() == last.read_and_unlink() == DATA


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf")])
def test_time_is_checked(directory: Path, ttl: float) -> None:
    with pytest.raises(ConfigError, match="ttl is"):
        Descriptor.create(DATA, ttl=ttl)
    assert not directory.exists()


def test_very_long_time_is_as_long_as_there_is(directory: Path) -> None:
    assert Descriptor.create(DATA, ttl=1e300).read_and_unlink() == DATA


def test_other_generation_is_stale(made: tuple[Descriptor, Path]) -> None:
    descriptor, path = made
    head, _, generation = descriptor.shm_name.rpartition("-")
    forged = f"{int(generation, 16) ^ 1:016x}"
    with pytest.raises(StaleDescriptorError) as raised:
        Descriptor(f"{head}-{forged}", len(DATA)).read_and_unlink()
    assert raised.value.generation == int(forged, 16)
    assert path.exists()
    assert descriptor.read_and_unlink() == DATA


@pytest.mark.parametrize("size", [0, 1, len(DATA) - 1, len(DATA) + 1, 2**62, -1, "x"])
def test_other_size_is_refused(made: tuple[Descriptor, Path], size: Any) -> None:
    descriptor, path = made
    with pytest.raises(SegmentError, match="where the descriptor has"):
        Descriptor(descriptor.shm_name, size).read_and_unlink()
    assert path.exists()
    assert descriptor.read_and_unlink() == DATA


def test_other_time_is_another_segment(made: tuple[Descriptor, Path]) -> None:
    descriptor, path = made
    with pytest.raises(SegmentGoneError):
        Descriptor(f"f{descriptor.shm_name[1:]}", len(DATA)).read_and_unlink()
    assert path.exists()


@pytest.mark.parametrize(
    "name",
    [
        "x",
        "psm_21467_46075",
        "/dev/shm/x",
        "../" + "0" * 12,
        "{}/../{}",
        "./{}",
        "{}\n",
        "{}\0",
        " {}",
        "x" * 100_000,
        7,
        None,
    ],
)
def test_other_names_are_refused(made: tuple[Descriptor, Path], name: Any) -> None:
    descriptor, path = made
    if isinstance(name, str):
        name = name.replace("{}", descriptor.shm_name)
    with pytest.raises(SegmentError, match="is not the name of a segment") as raised:
        Descriptor(name, len(DATA)).read_and_unlink()
    assert len(str(raised.value)) < 200
    assert path.exists()


@pytest.mark.parametrize("content", [b"", b"x", bytes(24), DATA])
def test_other_content_is_refused(
    made: tuple[Descriptor, Path], content: bytes
) -> None:
    descriptor, path = made
    path.write_bytes(content)
    with pytest.raises(SegmentError):
        descriptor.read_and_unlink()


@pytest.mark.parametrize("offset", [0, 6, 7, 16, 23])
def test_other_header_is_refused(made: tuple[Descriptor, Path], offset: int) -> None:
    descriptor, path = made
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)
    with pytest.raises(SegmentError) as raised:
        descriptor.read_and_unlink()
    assert not isinstance(raised.value, StaleDescriptorError)
    assert path.exists()


@pytest.mark.parametrize("nbytes", [0, HEADER_BYTES - 1, HEADER_BYTES, 1000])
def test_what_was_cut_or_grew_is_refused(
    made: tuple[Descriptor, Path], nbytes: int
) -> None:
    descriptor, path = made
    os.truncate(path, nbytes)
    with pytest.raises(SegmentError):
        descriptor.read_and_unlink()
    os.truncate(path, 1 << 40)
    with pytest.raises(SegmentError):
        descriptor.read_and_unlink()


def test_what_is_cut_while_it_is_read_is_told(
    made: tuple[Descriptor, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptor, path = made
    unlink = os.unlink

    def cut(*arguments: Any, **options: Any) -> None:
        os.truncate(path, 1000)
        unlink(*arguments, **options)

    monkeypatch.setattr(os, "unlink", cut)
    with pytest.raises(SegmentError, match="ends after 976 of 4096 bytes"):
        descriptor.read_and_unlink()


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "directory", "mode"])
def test_what_is_no_file_of_ours_alone_is_refused(
    made: tuple[Descriptor, Path], tmp_path: Path, kind: str
) -> None:
    descriptor, path = made
    other = tmp_path / "other"
    if kind == "mode":
        path.chmod(0o644)
    elif kind == "hard link":
        other.hardlink_to(path)
    else:
        path.rename(other)
    if kind == "link":
        path.symlink_to(other)
    elif kind == "pipe":
        os.mkfifo(path, 0o600)
    elif kind == "directory":
        path.mkdir(0o700)
    with pytest.raises(SegmentError):
        descriptor.read_and_unlink()
    assert path.is_symlink() or path.exists()


def test_file_of_another_user_is_refused(
    made: tuple[Descriptor, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptor, path = made
    fstat, own = os.fstat, path.stat()

    def as_of_another(fd: int) -> os.stat_result:
        status = fstat(fd)
        if status.st_ino != own.st_ino:
            return status
        return os.stat_result([*status[:4], own.st_uid + 1, *status[5:]])

    monkeypatch.setattr(os, "fstat", as_of_another)
    with pytest.raises(SegmentError, match="is not a file of this user alone"):
        descriptor.read_and_unlink()


@pytest.mark.parametrize("kind", ["link", "file", "mode"])
def test_directory_that_is_not_ours_alone_is_refused(
    made: tuple[Descriptor, Path], tmp_path: Path, kind: str
) -> None:
    descriptor, path = made
    directory = path.parent
    if kind == "mode":
        directory.chmod(0o750)
    else:
        directory.rename(tmp_path / "other")
        if kind == "link":
            directory.symlink_to(tmp_path / "other")
        else:
            directory.touch()
    for use in (descriptor.read_and_unlink, lambda: Descriptor.create(DATA)):
        with pytest.raises(ConfigError, match="is not a directory of user"):
            use()


def test_lack_of_room_is_told_and_leaves_nothing(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(_descriptor, "_available", lambda _directory: 1000)
        with pytest.raises(SegmentFullError) as raised:
            Descriptor.create(DATA)
    assert raised.value.requested == len(DATA) + HEADER_BYTES
    assert raised.value.available == 1000
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_room_that_runs_out_is_told_and_leaves_nothing(
    directory: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write = os.write

    def fail_later(fd: int, data: Any) -> int:
        if len(data) == 96:
            raise OSError(number, os.strerror(number))
        return write(fd, data[:1000])

    monkeypatch.setattr(os, "write", fail_later)
    with pytest.raises(SegmentFullError):
        Descriptor.create(DATA)
    assert list(directory.iterdir()) == []


def test_large_content_is_written_and_read_in_pieces(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.read, os.write
    monkeypatch.setattr(os, "read", lambda fd, nbytes: read(fd, min(nbytes, 1000)))
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:1000]))
    assert Descriptor.create(DATA).read_and_unlink() == DATA


@given(
    st.text() | st.from_regex(r"[0-9a-f]{12}-[0-9a-f]{16}-[0-9a-f]{16}"), st.integers()
)
def test_any_descriptor_gives_bytes_or_a_typed_error(name: str, size: int) -> None:
    with pytest.raises(BusductError):
        Descriptor(name, size).read_and_unlink()


def test_name_says_nothing_of_where_it_is(made: tuple[Descriptor, Path]) -> None:
    descriptor, path = made
    assert re.fullmatch(r"[0-9a-f-]{46}", descriptor.shm_name)
    assert descriptor.shm_name.startswith(path.name)


def test_nothing_is_held_open(no_leaks: None, directory: Path) -> None:
    descriptor = Descriptor.create(DATA)
    with pytest.raises(StaleDescriptorError):
        Descriptor(descriptor.shm_name[:-16] + "0" * 16, len(DATA)).read_and_unlink()
    with pytest.raises(SegmentError):
        Descriptor(descriptor.shm_name, 1).read_and_unlink()
    descriptor.read_and_unlink()
