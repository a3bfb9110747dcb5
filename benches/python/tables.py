"""Tables of Markdown, and how a figure is written in them."""

import statistics
from collections.abc import Sequence


def summary(values: list[float] | None) -> str:
    """Format the median and the range of one cell."""
    if not values:
        return "-"
    low, middle, high = min(values), statistics.median(values), max(values)
    digits = 0 if middle >= 100 else 1 if middle >= 10 else 2
    return f"{middle:,.{digits}f} ({low:,.{digits}f} - {high:,.{digits}f})"


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table of Markdown that is also legible as it is."""
    columns = list(zip(headings, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    rule = ["-" * width for width in widths]
    padded = [
        [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        for line in (headings, rule, *rows)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def size(nbytes: int) -> str:
    """Name a size by the largest binary unit that divides it."""
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if nbytes and nbytes % factor == 0:
            return f"{nbytes // factor} {unit}"
    return f"{nbytes} B"
