"""The API key of an HTTP service: where it comes from."""

import os
import stat
from pathlib import Path

from busduct.errors import AuthError, ConfigError

__all__ = ["API_KEY_VARIABLE", "load_api_key"]

API_KEY_VARIABLE = "BUSDUCT_API_KEY"


def load_api_key(path: Path | None) -> str | None:
    """Return the key in a file that only we can read, else that of the environment.

    A key among the arguments would be seen by every user who can list processes.

    Args:
        path: File with the key as its only line; None reads ``BUSDUCT_API_KEY``.

    Returns:
        The key, or None where there is neither.

    Raises:
        AuthError: The file belongs to or is open to somebody else.
        ConfigError: There is no such file, or no key in it.
    """
    if path is None:
        return os.environ.get(API_KEY_VARIABLE) or None
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            key = file.read(4096)
    except OSError as error:
        msg = f"API key file {path}: {error.strerror}"
        raise ConfigError(msg) from error
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077 or status.st_uid != os.geteuid():
        msg = f"API key file {path} has mode {mode:04o}; it must be ours and 0600"
        raise AuthError(msg)
    try:
        text = key.decode("ascii").strip()
    except UnicodeDecodeError as error:
        msg = f"API key file {path} is not ASCII"
        raise ConfigError(msg) from error
    if not text:
        msg = f"API key file {path} is empty"
        raise ConfigError(msg)
    return text
