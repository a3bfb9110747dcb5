"""Leave bytes for another process to read, once, and tell where by a descriptor.

They lie in a file of a directory that only this user may enter, so that they outlive
who left them. The name of a file begins with the time after which anybody removes it.
"""

import errno
import math
import os
import re
import secrets
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from busduct.errors import (
    ConfigError,
    SegmentError,
    SegmentFullError,
    SegmentGoneError,
    StaleDescriptorError,
)
from busduct.transport._runtime_dir import base_directory, make_private

if TYPE_CHECKING:
    from typing import TypeAlias

    from busduct._core import Lease, Loan

    Buffer: TypeAlias = bytes | bytearray | memoryview | Loan | Lease

__all__ = ["Descriptor"]

# Magic and version, generation, bytes that follow.
_HEADER = struct.Struct("<8sQQ")
_MAGIC = b"BDDESC\x00\x01"
# Milliseconds since the epoch, what tells it from others, generation.
_NAME = re.compile(r"([0-9a-f]{12})-[0-9a-f]{16}-([0-9a-f]{16})")
_FILE_NAME = re.compile(r"[0-9a-f]{12}-[0-9a-f]{16}")
_MAX_DEADLINE_MS = 16**12 - 1
_NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


class Descriptor(msgspec.Struct, frozen=True):
    """Where bytes lie that another process of this user and host may read, once.

    It can be sent by any means. Both processes have to agree on `XDG_RUNTIME_DIR`.

    Attributes:
        shm_name: Of what holds them; empty of a message's that was read with it.
        size: In bytes.
    """

    shm_name: str
    size: int

    @staticmethod
    def create(data: "Buffer", ttl: float = 300.0) -> "Descriptor":
        """Leave a copy of bytes, which outlives this process.

        What nobody has read in time is removed when the next one is made.

        Args:
            data: Any buffer.
            ttl: Seconds within which it can be read.

        Raises:
            ConfigError: Not a positive time, or the directory is not of this user
                alone.
            SegmentFullError: There is no room for it.
            OSError: What else the system refuses.
        """
        if not (ttl > 0 and math.isfinite(ttl)):
            msg = f"ttl is {ttl}; it is a positive number of seconds"
            raise ConfigError(msg)
        content = memoryview(data)
        content = content.cast("B") if content.c_contiguous else _packed(content)
        now = time.time()
        deadline = min(int((now + ttl) * 1000), _MAX_DEADLINE_MS)
        file_name = f"{deadline:012x}-{secrets.token_hex(8)}"
        generation = secrets.randbits(64)
        header = _HEADER.pack(_MAGIC, generation, content.nbytes)
        with _directory(make=True) as directory:
            _sweep(directory, now)
            _write(directory, file_name, header, content)
        return Descriptor(f"{file_name}-{generation:016x}", content.nbytes)

    def read_and_unlink(self) -> bytes:
        """Return the bytes and remove them: of many readers, one gets them.

        Raises:
            SegmentGoneError: They were read before, or their time has passed.
            StaleDescriptorError: What is there is not what it was made for.
            SegmentError: It is not a descriptor's name, or what is there is not of that
                size, not of this user, or not ours.
            ConfigError: The directory is not of this user alone.
            OSError: What else the system refuses.
        """
        if self.shm_name == "":
            raise SegmentGoneError(self.shm_name)
        name = self.shm_name
        found = _NAME.fullmatch(name) if isinstance(name, str) else None
        if found is None:
            msg = f"{str(name)[:80]!r} is not the name of a segment"
            raise SegmentError(msg)
        file_name = name[: found.start(2) - 1]
        try:
            with _directory(make=False) as directory:
                if int(found[1], 16) < time.time() * 1000:
                    _sweep(directory, time.time())
                return self._read(directory, file_name, int(found[2], 16))
        except FileNotFoundError as error:
            raise SegmentGoneError(name) from error

    def _read(self, directory: int, file_name: str, generation: int) -> bytes:
        with _opened(directory, file_name) as fd:
            nbytes = self._check_file(os.fstat(fd))
            self._check_header(os.pread(fd, _HEADER.size, 0), nbytes, generation)
            # NB: only after it was checked, and of many readers one succeeds.
            os.unlink(file_name, dir_fd=directory)
            content = _read_all(fd, self.size)
        if len(content) != self.size:
            msg = f"segment ends after {len(content)} of {self.size} bytes"
            raise SegmentError(msg)
        return content

    def _check_file(self, status: os.stat_result) -> int:
        """Return the bytes that follow the header."""
        if status.st_nlink == 0:
            raise SegmentGoneError(self.shm_name)
        if not _is_ours_alone(status):
            msg = f"segment {self.shm_name!r} is not a file of this user alone"
            raise SegmentError(msg)
        return status.st_size - _HEADER.size

    def _check_header(self, header: bytes, nbytes: int, generation: int) -> None:
        magic, found, due = b"", 0, 0
        if len(header) == _HEADER.size:
            magic, found, due = _HEADER.unpack(header)
        if magic != _MAGIC:
            msg = f"segment {self.shm_name!r} is of another kind or version"
            raise SegmentError(msg)
        if found != generation:
            raise StaleDescriptorError(generation)
        if not due == nbytes == self.size:
            msg = f"segment of {nbytes} bytes where the descriptor has {self.size}"
            raise SegmentError(msg)


@contextmanager
def _directory(*, make: bool) -> Iterator[int]:
    """Give a descriptor of the directory: what it names cannot be exchanged.

    Raises:
        FileNotFoundError: There is none, and none was to be made.
        ConfigError: It is not of this user alone.
    """
    path = base_directory() / "descriptors"
    if make and not path.exists():
        make_private(path.parent)
        make_private(path)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(path, flags)
    except (NotADirectoryError, PermissionError) as error:
        raise _foreign_directory(path) from error
    try:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise _foreign_directory(path)
        yield fd
    finally:
        os.close(fd)


def _foreign_directory(path: Path) -> ConfigError:
    return ConfigError(f"{path} is not a directory of user {os.geteuid()} alone")


@contextmanager
def _opened(directory: int, file_name: str) -> Iterator[int]:
    # A pipe that somebody put there shall not make it wait, nor a link lead elsewhere.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(file_name, flags, dir_fd=directory)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        msg = f"segment {file_name!r} cannot be opened: {error.strerror}"
        raise SegmentError(msg) from error
    try:
        yield fd
    finally:
        os.close(fd)


def _is_ours_alone(status: os.stat_result) -> bool:
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_uid == os.geteuid()
        and status.st_nlink == 1
        and not status.st_mode & 0o077
    )


def _write(directory: int, file_name: str, header: bytes, content: memoryview) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    nbytes = len(header) + content.nbytes
    fd = os.open(file_name, flags, 0o600, dir_fd=directory)
    try:
        # Not mapped, so that lack of room is an error, and not the end of the process.
        if nbytes > _available(directory):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.write(fd, header)
        while content:
            content = content[os.write(fd, content) :]
    except BaseException as error:
        os.unlink(file_name, dir_fd=directory)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise SegmentFullError(nbytes, _available(directory)) from error
        raise
    finally:
        os.close(fd)


def _available(directory: int) -> int:
    room = os.fstatvfs(directory)
    return room.f_bavail * room.f_frsize


def _read_all(fd: int, nbytes: int) -> bytes:
    os.lseek(fd, _HEADER.size, os.SEEK_SET)
    content = os.read(fd, nbytes)
    if len(content) == nbytes:
        return content
    # NB: a call reads 2 GiB at most.
    chunks = [content]
    while chunks[-1] and (num_left := nbytes - sum(map(len, chunks))):
        chunks.append(os.read(fd, num_left))
    return b"".join(chunks)


def _packed(content: memoryview) -> memoryview:
    return memoryview(content.tobytes())


def _sweep(directory: int, now: float) -> None:
    """Remove what nobody has read in time."""
    # NB: there may be thousands, which compare faster than they match.
    limit = f"{int(now * 1000):012x}"
    for name in os.listdir(directory):
        if name < limit and _FILE_NAME.fullmatch(name):
            # Somebody else may be sweeping too.
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)
