"""Refuse settings below what makes sense."""

from busduct.errors import ConfigError

__all__ = ["require_at_least"]


def require_at_least(least: int, **values: float) -> None:
    """Check settings by name.

    Raises:
        ConfigError: One of them is below `least`, or no number.
    """
    for name, value in values.items():
        if not value >= least:
            msg = f"{name} is {value}; it is at least {least}"
            raise ConfigError(msg)
