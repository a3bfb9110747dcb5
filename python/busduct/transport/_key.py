"""Keys of contexts: made, kept in files that only we can read, and read again."""

import hashlib
import os
import secrets
import stat
from pathlib import Path

from busduct.errors import AuthError, ConfigError

__all__ = ["KEY_FILE_VARIABLE", "KEY_VARIABLE", "load_key", "new_key", "save_key"]

KEY_NBYTES = 32
KEY_FILE_VARIABLE = "BUSDUCT_KEY_FILE"
KEY_VARIABLE = "BUSDUCT_KEY"

# A key is 65 bytes of text; what is much longer is no key, and not read to its end.
_MAX_FILE_NBYTES = 256
# Somebody may have put a pipe there, which would be waited for.
_OPEN_FLAGS = os.O_CLOEXEC | os.O_NONBLOCK


def new_key() -> bytes:
    """Return 32 random bytes, for `Context(key=...)` on each machine of a service."""
    return secrets.token_bytes(KEY_NBYTES)


def save_key(path: str | os.PathLike[str], key: bytes | None = None) -> bytes:
    """Write a key to a new file of mode 0600, as 64 hexadecimal digits.

    Args:
        path: Where; nothing may be there.
        key: 32 bytes; None for a new one.

    Returns:
        The key.

    Raises:
        ConfigError: The file exists, or cannot be made; or a key of another length.
    """
    key = new_key() if key is None else key
    if len(key) != KEY_NBYTES:
        msg = f"key of {len(key)} bytes; it has {KEY_NBYTES}"
        raise ConfigError(msg)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(path, flags, 0o600)
    except FileExistsError as error:
        msg = f"key file {path} exists already; remove it or choose another name"
        raise ConfigError(msg) from error
    except OSError as error:
        msg = f"key file {path}: {error.strerror}"
        raise ConfigError(msg) from error
    try:
        with open(fd, "w", encoding="ascii") as file:
            file.write(f"{key.hex()}\n")
            file.flush()
            os.fsync(fd)
    except BaseException:
        # Half a key would be in the way of the next attempt.
        Path(path).unlink(missing_ok=True)
        raise
    return key


def load_key(path: str | os.PathLike[str] | None = None) -> bytes:
    """Read a key from a file, or from where the environment says.

    Args:
        path: A file of ours with mode 0600 or stricter that holds 64 hexadecimal
            digits. None reads the file that ``BUSDUCT_KEY_FILE`` names, else the digits
            in ``BUSDUCT_KEY``.

    Raises:
        AuthError: Somebody else owns the file, or may read or write it.
        ConfigError: There is no key, or it is none.
    """
    if path is None:
        path = os.environ.get(KEY_FILE_VARIABLE) or None
    if path is not None:
        return _parse(_read(Path(path)), f"key file {path}")
    if digits := os.environ.get(KEY_VARIABLE):
        return _parse(digits.encode(), KEY_VARIABLE)
    msg = (
        f"no key: set {KEY_FILE_VARIABLE} to a file that 'busduct key new PATH' made, "
        f"or {KEY_VARIABLE} to its 64 digits"
    )
    raise ConfigError(msg)


def key_fingerprint(key: bytes) -> str:
    """Return 8 digits that tell two keys apart and give nothing of them away."""
    return hashlib.blake2b(key, digest_size=4, person=b"busduct key name").hexdigest()


def _read(path: Path) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | _OPEN_FLAGS)
        try:
            _check_owner(path, os.fstat(fd))
            return os.read(fd, _MAX_FILE_NBYTES)
        finally:
            os.close(fd)
    except FileNotFoundError as error:
        msg = f"key file {path} is not there; 'busduct key new {path}' makes one"
        raise ConfigError(msg) from error
    except OSError as error:
        msg = f"key file {path}: {error.strerror}"
        raise ConfigError(msg) from error


def _check_owner(path: Path, status: os.stat_result) -> None:
    """Check what was opened, not what the path names by now."""
    if not stat.S_ISREG(status.st_mode):
        msg = f"key file {path} is not a regular file"
        raise ConfigError(msg)
    if status.st_uid != os.geteuid():
        msg = (
            f"key file {path} belongs to user {status.st_uid}, not to {os.geteuid()}; "
            "take a copy of your own"
        )
        raise AuthError(msg)
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        msg = (
            f"key file {path} has mode {mode:04o}, so others can use it; "
            f"make a new key, or if nobody has, chmod 600 {path}"
        )
        raise AuthError(msg)


def _parse(text: bytes, source: str) -> bytes:
    digits = text.strip()
    try:
        key = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        key = b""
    if len(digits) != 2 * KEY_NBYTES or len(key) != KEY_NBYTES:
        # NB: never the text itself: it may be most of a key.
        msg = (
            f"{source} holds {len(digits)} characters that are no key; "
            f"a key is {2 * KEY_NBYTES} hexadecimal digits"
        )
        raise ConfigError(msg)
    return key
