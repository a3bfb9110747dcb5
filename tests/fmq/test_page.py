"""The page on queues tells of each option and each setting."""

import re
from pathlib import Path

import msgspec

from busduct.fmq import Config, Endpoint, QueueOptions, SocketOptions

PAGE = (Path(__file__).parents[2] / "docs" / "fmq.md").read_text()


def rows(heading: str) -> list[str]:
    """Return the first cells of the table in a section."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)


def test_limits_are_described_with_their_defaults() -> None:
    section = PAGE.split("## Limits\n")[1].split("\n## ")[0]
    lines = re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", section, re.MULTILINE)
    described = {
        name: default.strip("`")
        for names, default in lines
        for name in re.findall(r"`(\w+)`", names)
    }
    options = QueueOptions()
    expected = {
        field.name: (
            f'"{value}"'
            if isinstance(value := getattr(options, field.name), str)
            else str(value)
        )
        for field in msgspec.structs.fields(QueueOptions)
    }
    assert described == expected


def test_settings_are_described() -> None:
    described = {
        key.split(".")[-1]
        for row in rows("Settings")
        for key in re.findall(r"`([\w.]+)`", row)
    }
    settings = {
        field.name
        for kind in (Config, Endpoint, SocketOptions)
        for field in msgspec.structs.fields(kind)
    }
    assert described == (settings | {"path"}) - {"endpoints", "socket_config"}
