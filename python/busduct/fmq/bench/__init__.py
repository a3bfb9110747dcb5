"""Measures how fast queues are, between processes of their own (extra ``cli``)."""

try:
    import hdrh as _hdrh  # type: ignore[import-untyped]  # noqa: F401
except ModuleNotFoundError as error:
    msg = (
        f"busduct.fmq.bench needs {error.name}; "
        "install the extra 'cli': pip install 'busduct[cli]'"
    )
    raise ImportError(msg, name=error.name) from error

from busduct.fmq.bench._config import BenchConfig, Carrier, Mode, PayloadKind
from busduct.fmq.bench._plot import plot_bench
from busduct.fmq.bench._progress import BenchProgress
from busduct.fmq.bench._report import (
    BenchReport,
    CaseReport,
    MemberFigures,
    RoundFigures,
)
from busduct.fmq.bench._run import BenchRun

__all__ = [
    "BenchConfig",
    "BenchProgress",
    "BenchReport",
    "BenchRun",
    "Carrier",
    "CaseReport",
    "MemberFigures",
    "Mode",
    "PayloadKind",
    "RoundFigures",
    "plot_bench",
]
