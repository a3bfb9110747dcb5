"""Lists and ranges of numbers, as a command line has them (no I/O)."""

from busduct.errors import ConfigError

__all__ = ["parse_numbers"]

_FORMS = "N, N,M,..., LOW:HIGH or LOW:HIGH:STEP"
_MAX_NUMBERS = 1000


def parse_numbers(text: str) -> list[int]:
    """Return the numbers that ``8``, ``1,2,4``, ``1:8`` or ``64:512:64`` stands for.

    Both ends of a range belong to it; a step that misses the high end is followed by
    it all the same. Parts may be mixed: ``1,2,4:16:4``.

    Raises:
        ConfigError: None of those forms, a number below 1, or too many.
    """
    found: list[int] = []
    for part in text.split(","):
        found.extend(_parse_part(part.strip(), text))
        if len(found) > _MAX_NUMBERS:
            msg = f"{text!r} is more than {_MAX_NUMBERS} numbers"
            raise ConfigError(msg)
    return list(dict.fromkeys(found))


def _parse_part(part: str, text: str) -> list[int]:
    try:
        numbers = [int(number) for number in part.split(":")]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 3:
        msg = f"{text!r} is none of {_FORMS}"
        raise ConfigError(msg)
    if min(numbers) < 1:
        msg = f"{text!r} has a number below 1"
        raise ConfigError(msg)
    if len(numbers) == 1:
        return numbers
    low, high, step = (*numbers, 1)[:3]
    if high < low:
        msg = f"{text!r} has a range that ends before it begins"
        raise ConfigError(msg)
    if (high - low) // step >= _MAX_NUMBERS:
        msg = f"{text!r} is more than {_MAX_NUMBERS} numbers"
        raise ConfigError(msg)
    return [*range(low, high, step), high]
