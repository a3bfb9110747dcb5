"""Models without weights, for tests: the next token follows from the last.

Token ids are byte values; `EOS` ends a text.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from busduct.pipeline.runners import SequenceStep

EOS = 256
VOCAB_SIZE = 257
CONTEXT_LENGTH = 256
EMOJI_TEXT = "grün 👩‍🚀 ok 🏳️‍🌈 日本 "


class AlphabetRunner:
    """Goes on with the alphabet: "x" gives "yzabc..."; a "." ends the text."""

    vocab_size = VOCAB_SIZE
    context_length = CONTEXT_LENGTH
    eos_token_id = EOS
    step_time = 0.0

    def __init__(self, max_batch_size: int) -> None:
        self.max_batch_size = max_batch_size
        self._histories: dict[int, list[int]] = {}

    @classmethod
    def load(cls, path: Path | None = None, *, max_batch_size: int = 16) -> Self:
        del path
        return cls(max_batch_size)

    def forward(self, steps: Sequence[SequenceStep]) -> np.ndarray:
        assert 0 < len(steps) <= self.max_batch_size
        logits = np.full((len(steps), self.vocab_size), -10.0, dtype=np.float32)
        for row, step in enumerate(steps):
            history = self._histories.setdefault(step.slot, [])
            assert step.position == len(history), "slot was not released"
            history.extend(step.token_ids)
            assert len(history) <= self.context_length
            logits[row, self.next_token(history)] = 10.0
        time.sleep(self.step_time)
        return logits

    def next_token(self, history: Sequence[int]) -> int:
        last = history[-1]
        if last == ord("."):
            return EOS
        if ord("a") <= last <= ord("z"):
            return ord("a") + (last - ord("a") + 1) % 26
        return ord("a")

    def release(self, slot: int) -> None:
        self._histories.pop(slot, None)

    def close(self) -> None:
        self._histories.clear()


class SlowRunner(AlphabetRunner):
    """Takes its time, so that requests are under way when something happens."""

    step_time = 0.02


class CrawlingRunner(AlphabetRunner):
    """Takes so long that no long request ends by itself while something happens."""

    step_time = 0.1


class EmojiRunner(AlphabetRunner):
    """Repeats a text whose characters take up to four bytes and more."""

    def next_token(self, history: Sequence[int]) -> int:
        data = EMOJI_TEXT.encode()
        return data[(len(history) - 1) % len(data)]


class UniformRunner(AlphabetRunner):
    """Finds every letter as likely as the next."""

    def forward(self, steps: Sequence[SequenceStep]) -> np.ndarray:
        logits = super().forward(steps)
        logits[:] = -np.inf
        logits[:, ord("a") : ord("z") + 1] = 0.0
        return logits


class FailingRunner(AlphabetRunner):
    """Raises on "!", and gives no number for "?"."""

    def forward(self, steps: Sequence[SequenceStep]) -> np.ndarray:
        if any(ord("!") in step.token_ids for step in steps):
            msg = "cannot compute this"
            raise ArithmeticError(msg)
        logits = super().forward(steps)
        for row, step in enumerate(steps):
            if ord("?") in step.token_ids:
                logits[row] = np.nan
        return logits


class CrashingRunner(AlphabetRunner):
    """Ends its process on "!"."""

    def forward(self, steps: Sequence[SequenceStep]) -> np.ndarray:
        if any(ord("!") in step.token_ids for step in steps):
            os._exit(7)
        return super().forward(steps)


class BrokenRunner(AlphabetRunner):
    """Does not load."""

    @classmethod
    def load(cls, path: Path | None = None, *, max_batch_size: int = 16) -> Self:
        msg = "weights are missing"
        raise FileNotFoundError(msg)


class SilentRunner(AlphabetRunner):
    """Takes for ever to load."""

    @classmethod
    def load(cls, path: Path | None = None, *, max_batch_size: int = 16) -> Self:
        while True:
            time.sleep(3600)
