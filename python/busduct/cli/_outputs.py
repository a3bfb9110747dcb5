"""Files that commands write their reports to."""

import sys
from contextlib import suppress
from pathlib import Path

from busduct.errors import ConfigError

__all__ = ["require_writable", "write_json"]


def require_writable(**targets: str | Path | None) -> None:
    """See that files can be written, before the work whose report goes there.

    What they hold stays, and none is made.

    Args:
        **targets: By the option that names them; None or ``-`` for none.

    Raises:
        ConfigError: One cannot be; the text names the option.
    """
    for option, target in targets.items():
        if target is not None and target != "-":
            try:
                _open_once(Path(target))
            except OSError as error:
                msg = f"--{option} {target}: {error.strerror}"
                raise ConfigError(msg) from error


def write_json(data: bytes, target: str) -> None:
    """Write a report to a file, or to standard output for ``-``.

    Raises:
        OSError: The file cannot be written.
    """
    if target == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    else:
        Path(target).write_bytes(data)


def _open_once(path: Path) -> None:
    # Only trying tells: permissions say nothing of read-only file systems.
    try:
        path.open("xb").close()
    except FileExistsError:
        # NB: opening a pipe waits for its reader, and closing it is that one's end.
        if path.is_file() or path.is_dir():
            path.open("ab").close()
    else:
        with suppress(FileNotFoundError):
            path.unlink()
