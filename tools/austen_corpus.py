"""Fetch and clean the text that the embedded model is trained on.

The six novels of Jane Austen (died 1817: public domain) as the Debian package
``r-cran-janeaustenr`` carries them. Debian's copy is used because it is small, signed,
mirrored everywhere and does not change between two runs.
"""

import re
import struct
import subprocess
import tempfile
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import rdata

PACKAGE = "r-cran-janeaustenr"
_DATA = "usr/lib/R/site-library/janeaustenr/data/Rdata"
_HEADING = re.compile(r"(chapter|volume)\s+[ivxlc\d]+\.?(\s*\(.*\))?", re.IGNORECASE)
_AFTERWORD = re.compile(r"finis|the end|a note on the text", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Corpus:
    """The text, split once; each item of a list is one chapter.

    Attributes:
        train: Chapters to learn from.
        held_out: The last chapters, about 5 % of the bytes, never trained on.
        version: Version of the Debian package.
    """

    train: list[str]
    held_out: list[str]
    version: str


def load_corpus(held_out_share: float = 0.05) -> Corpus:
    """Download the package with apt, unpack and clean it, and split off the end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        version = _download(folder)
        novels = _read_lazy_load_database(folder / _DATA)
    chapters = [text for title in sorted(novels) for text in _chapters(novels[title])]
    budget = held_out_share * sum(len(text) for text in chapters)
    cut = len(chapters)
    while budget > 0:
        cut -= 1
        budget -= len(chapters[cut])
    return Corpus(chapters[:cut], chapters[cut:], version)


def _download(folder: Path) -> str:
    subprocess.run(
        ["apt-get", "download", "-q", PACKAGE],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    (package,) = folder.glob("*.deb")
    subprocess.run(["dpkg", "-x", package, folder], check=True)
    return package.name.split("_")[1]


def _read_lazy_load_database(stem: Path) -> dict[str, list[str]]:
    """Read every variable of an R lazy-load database as a list of lines.

    The index (``.rdx``) gives offset and length of each record in the ``.rdb``; a
    record is a big-endian length of four bytes and a zlib stream of serialized R.
    """
    index = _unserialize(zlib.decompress(stem.with_suffix(".rdx").read_bytes(), 31))
    blob = stem.with_suffix(".rdb").read_bytes()
    novels = {}
    for title, (offset, nbytes) in index["variables"].items():
        record = blob[int(offset) : int(offset) + int(nbytes)]
        data = zlib.decompress(record[4:])
        if struct.unpack_from(">I", record)[0] != len(data):
            raise ValueError(f"record of {title} is damaged")
        novels[str(title)] = [str(line) for line in _unserialize(data)]
    return novels


def _unserialize(data: bytes):
    with warnings.catch_warnings():
        # rdata warns that a bare serialization names no file type.
        warnings.simplefilter("ignore", UserWarning)
        return rdata.conversion.convert(rdata.parser.parse_data(data))


def _chapters(lines: list[str]) -> list[str]:
    """Split a novel at its headings; paragraphs lose their line breaks."""
    chapters: list[list[str]] = []
    paragraph: list[str] = []
    for raw in [*lines, ""]:
        line = " ".join(raw.replace("_", "").split())
        if _AFTERWORD.fullmatch(line):
            break
        if line and not _HEADING.fullmatch(line):
            paragraph.append(line)
            continue
        if paragraph and chapters:
            chapters[-1].append(" ".join(paragraph))
        paragraph = []
        if line.lower().startswith("chapter"):
            chapters.append([])
    return ["\n\n".join(paragraphs) for paragraphs in chapters if paragraphs]
