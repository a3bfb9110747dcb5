"""Prompts that are made up (no I/O)."""

import random

from busduct.endpoint.load._lengths import Lengths

__all__ = ["PromptMaker"]

# Short and common, so that the usual tokenizers make one token of each.
_TEXT = (
    "the of and to in is that for it as was with be by on not he his but at are this "
    "have from or had an they which one you were her all she there would their we him "
    "been has when who will more no if out so said what up its about into than them "
    "can only other new some could time these two may then do first any my now such "
    "like our over man me even most made after also did many before must through back"
)
_WORDS = _TEXT.split()
# Made beforehand: a long prompt takes longer to make up than to send.
_NUM_KEPT = 1024


class PromptMaker:
    """Makes prompts of words; the same ones for the same seed.

    No two begin alike, so that a cache of prefixes gains nothing.

    Args:
        lengths: Words of each.
        seed: Chooses lengths and words.
    """

    def __init__(self, lengths: Lengths, seed: int) -> None:
        self._lengths = lengths
        self._source = random.Random(seed)
        self._kept: list[str] = []

    def prompt(self, number: int) -> str:
        """Return the prompt of the request of that number, from 0."""
        index = number % _NUM_KEPT
        while len(self._kept) <= index:
            # One word less: the number is one.
            num_words = self._lengths.sample(self._source) - 1
            self._kept.append(" ".join(self._source.choices(_WORDS, k=num_words)))
        return f"{number} {self._kept[index]}".rstrip()
