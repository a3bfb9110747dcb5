"""How long prompts and answers shall be (no I/O)."""

import random
from typing import Literal, Self, TypeAlias

import msgspec

from busduct.errors import ConfigError

__all__ = ["Lengths"]

Shape: TypeAlias = Literal["fixed", "uniform", "normal"]

# A prompt of 16 Mi words is beyond any model, and is no typing error of a kilobyte.
_MAX_LENGTH = 1 << 24
_FORMS = "N, uniform:LOW:HIGH, or normal:MEAN:DEVIATION"


class Lengths(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A distribution of lengths; each is at least 1.

    Attributes:
        shape: What the two numbers mean.
        first: The length (``fixed``), the least (``uniform``) or the mean (``normal``).
        second: The greatest (``uniform``) or the standard deviation (``normal``).

    Raises:
        ConfigError: A number out of its range.
    """

    shape: Shape
    first: int
    second: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.first <= _MAX_LENGTH:
            msg = f"length is {self.first}; it must be from 1 to {_MAX_LENGTH}"
            raise ConfigError(msg)
        least = self.first if self.shape == "uniform" else 0
        if not least <= self.second <= _MAX_LENGTH:
            name = "greatest length" if self.shape == "uniform" else "deviation"
            msg = f"{name} is {self.second}; it must be from {least} to {_MAX_LENGTH}"
            raise ConfigError(msg)

    @classmethod
    def fixed(cls, length: int) -> Self:
        """Return the distribution that is always `length`."""
        return cls("fixed", length)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what ``128``, ``uniform:64:512`` or ``normal:256:64`` stands for.

        Raises:
            ConfigError: None of those forms, or a number out of its range.
        """
        shape, _, rest = text.partition(":")
        numbers = rest.split(":")
        try:
            if not rest:
                return cls("fixed", int(shape))
            if shape == "fixed" and len(numbers) == 1:
                return cls("fixed", int(rest))
            if shape in ("uniform", "normal") and len(numbers) == 2:
                return cls(shape, *map(int, numbers))  # type: ignore[arg-type]
        except ConfigError:
            raise
        except ValueError:
            pass
        msg = f"length {text!r} is none of {_FORMS}"
        raise ConfigError(msg)

    def sample(self, source: random.Random) -> int:
        """Return one length."""
        if self.shape == "uniform":
            return source.randint(self.first, self.second)
        if self.shape == "normal":
            return max(1, round(source.gauss(self.first, self.second)))
        return self.first

    def __str__(self) -> str:
        if self.shape == "fixed":
            return str(self.first)
        return f"{self.shape}:{self.first}:{self.second}"
