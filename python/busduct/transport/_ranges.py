"""Refuse settings out of their range."""

from busduct.errors import ConfigError

__all__ = ["require_at_least", "require_at_most", "require_one_of"]


def require_at_least(least: int, **values: float) -> None:
    """Check settings by name.

    Raises:
        ConfigError: One of them is below `least`, or no number.
    """
    for name, value in values.items():
        if not value >= least:
            msg = f"{name} is {value}; it is at least {least}"
            raise ConfigError(msg)


def require_at_most(most: int, **values: float) -> None:
    """Check settings by name.

    Raises:
        ConfigError: One of them is above `most`.
    """
    for name, value in values.items():
        if value > most:
            msg = f"{name} is {value}; it is at most {most}"
            raise ConfigError(msg)


def require_one_of(choices: tuple[str, ...], **values: str) -> None:
    """Check settings by name.

    Raises:
        ConfigError: One of them is none of `choices`.
    """
    for name, value in values.items():
        if value not in choices:
            msg = f"{name} is {value!r}; it is one of {', '.join(choices)}"
            raise ConfigError(msg)
