"""Tell loans and leases, of whichever backend is in use, from all else."""

import sys
from typing import Any

__all__ = ["is_lease", "is_lent", "is_loan"]

_NAMES = ("Loan", "Lease")
_BACKENDS = ("busduct._core", "busduct._fallback")


def is_lent(value: Any) -> bool:
    """Tell whether it is a loan or a lease."""
    # NB: most are told by the name of their class, which takes least.
    return type(value).__name__ in _NAMES and (is_loan(value) or is_lease(value))


def is_loan(value: Any) -> bool:
    """Tell whether it is a loan."""
    return _is_of_class(value, "Loan")


def is_lease(value: Any) -> bool:
    """Tell whether it is a lease."""
    return _is_of_class(value, "Lease")


def _is_of_class(value: Any, name: str) -> bool:
    # NB: a backend that was not imported has lent nothing.
    kind = type(value)
    return kind.__name__ == name and any(
        getattr(sys.modules.get(module), name, None) is kind for module in _BACKENDS
    )
