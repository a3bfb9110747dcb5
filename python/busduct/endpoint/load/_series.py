"""What happened when, in a bounded number of steps of time (no I/O)."""

__all__ = ["Samples", "TimeSeries"]

_MAX_STEPS = 600
_MAX_SAMPLES = 4096
_NANOSECONDS = 1_000_000_000


class TimeSeries:
    """Counts per step of time; the steps grow as the run gets longer.

    Args:
        names: What is counted.

    Attributes:
        width_ns: Of a step.
        counts: Of each name, one number per step.
    """

    def __init__(self, *names: str) -> None:
        self.width_ns = _NANOSECONDS // 10
        self.counts: dict[str, list[int]] = {name: [] for name in names}

    def add(self, name: str, offset_ns: int, amount: int = 1) -> None:
        """Count something that happened `offset_ns` after the start."""
        step = max(offset_ns, 0) // self.width_ns
        while step >= _MAX_STEPS:
            self._widen()
            step = max(offset_ns, 0) // self.width_ns
        counts = self.counts[name]
        if len(counts) <= step:
            counts.extend([0] * (step + 1 - len(counts)))
        counts[step] += amount

    def aligned(self) -> dict[str, list[int]]:
        """Return the counts, all of one length."""
        length = max(map(len, self.counts.values()))
        return {
            name: counts + [0] * (length - len(counts))
            for name, counts in self.counts.items()
        }

    def _widen(self) -> None:
        self.width_ns *= 2
        for name, counts in self.counts.items():
            pairs = range(0, len(counts), 2)
            self.counts[name] = [sum(counts[start : start + 2]) for start in pairs]


class Samples:
    """Some of the values that came, evenly spread over all of them.

    Attributes:
        values: Pairs of when and what.
    """

    def __init__(self) -> None:
        self.values: list[tuple[int, int]] = []
        self._every = 1
        self._num_seen = 0

    def add(self, when: int, value: int) -> None:
        """Take a value, or leave it out."""
        if self._num_seen % self._every == 0:
            if len(self.values) == _MAX_SAMPLES:
                self.values = self.values[::2]
                self._every *= 2
                if self._num_seen % self._every:
                    self._num_seen += 1
                    return
            self.values.append((when, value))
        self._num_seen += 1
