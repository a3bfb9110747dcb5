"""A load generator for inference endpoints, and its reports (extra ``cli``)."""

try:
    import hdrh as _hdrh  # type: ignore[import-untyped]  # noqa: F401
except ModuleNotFoundError as error:
    msg = (
        f"busduct.endpoint.load needs {error.name}; "
        "install the extra 'cli': pip install 'busduct[cli]'"
    )
    raise ImportError(msg, name=error.name) from error

from busduct._durations import Distribution
from busduct._figures import require_plots
from busduct.endpoint.load._config import LoadConfig
from busduct.endpoint.load._lengths import Lengths
from busduct.endpoint.load._plot import plot_report
from busduct.endpoint.load._progress import Progress
from busduct.endpoint.load._ranges import parse_numbers
from busduct.endpoint.load._report import LoadReport
from busduct.endpoint.load._run import LoadRun
from busduct.endpoint.load._sweep import LoadSweep, SweepPoint, SweepReport
from busduct.endpoint.load._sweep_plot import plot_sweep

__all__ = [
    "Distribution",
    "Lengths",
    "LoadConfig",
    "LoadReport",
    "LoadRun",
    "LoadSweep",
    "Progress",
    "SweepPoint",
    "SweepReport",
    "parse_numbers",
    "plot_report",
    "plot_sweep",
    "require_plots",
]
