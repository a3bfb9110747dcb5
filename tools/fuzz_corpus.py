"""Turn a directory of fuzzing inputs into one file of hexadecimal lines, and back.

``pack`` adds inputs up to the bounds on a committed corpus. Minimise the directory
first, by ``TARGET -set_cover_merge=1 DIRECTORY INPUTS``: it writes what covers most
first. A line that is in the file already stays: it may be there for a bug that it
found.
"""

import argparse
import hashlib
from pathlib import Path

MAX_INPUTS = 150
MAX_NBYTES = 200 << 10


def pack(file: Path, directory: Path) -> None:
    """Add the inputs in ``directory`` to ``file``, in the order they were written.

    Args:
        file: One input a line, in hexadecimal digits; it may be missing.
        directory: One input a file.
    """
    lines = file.read_text().splitlines() if file.exists() else []
    paths = sorted(directory.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    num_bytes = sum(len(line) + 1 for line in lines)
    for path in paths:
        line = path.read_bytes().hex()
        fits = num_bytes + len(line) < MAX_NBYTES and len(lines) < MAX_INPUTS
        if fits and line not in lines:
            num_bytes += len(line) + 1
            lines.append(line)
    file.write_text("".join(f"{line}\n" for line in lines))


def unpack(file: Path, directory: Path) -> None:
    """Write each line of ``file`` as a file of its own, as libFuzzer names them.

    Args:
        file: As :func:`pack` writes it.
        directory: Made if it is missing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for line in file.read_text().splitlines():
        content = bytes.fromhex(line)
        name = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        (directory / name).write_bytes(content)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("pack", "unpack"))
    parser.add_argument("file", type=Path)
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    action = pack if arguments.action == "pack" else unpack
    action(arguments.file, arguments.directory)


if __name__ == "__main__":
    main()
