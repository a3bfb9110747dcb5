"""What the pictures of reports share."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "COLORS",
    "new_figure",
    "require_plots",
    "save_figure",
    "scale_in_ms",
    "style",
]

# Told apart by those who see few colours, too (Okabe and Ito).
COLORS = ("#0072B2", "#E69F00", "#666666", "#D55E00", "#009E73", "#CC79A7")
_DOTS_PER_INCH = 100
_NUM_COLORS = 255


def require_plots() -> None:
    """Say so if what draws is not installed.

    Raises:
        ImportError: The extra ``plot`` is missing.
    """
    try:
        import matplotlib.figure as _figure  # noqa: F401
        from PIL import Image as _Image  # noqa: F401
    except ModuleNotFoundError as error:
        msg = (
            f"a plot needs {error.name}; "
            "install the extra 'plot': pip install 'busduct[plot]'"
        )
        raise ImportError(msg, name=error.name) from error


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of so many inches, which belongs to no window.

    Raises:
        ImportError: The extra ``plot`` is missing.
    """
    require_plots()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def style(axes: Any, x_label: str, y_label: str) -> None:
    """Label the axes, and draw a faint grid."""
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def scale_in_ms(axes: Any, low: float, high: float) -> None:
    """Make the horizontal axis logarithmic, with numbers that have room."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.set_xlim(low, high)
    between = (1.0, 2.0, 5.0) if high < low * 1000 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=between, numticks=12))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG.

    Raises:
        OSError: The file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure.set_dpi(_DOTS_PER_INCH)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    size = canvas.get_width_height()
    image = Image.frombytes("RGBA", size, bytes(canvas.buffer_rgba())).convert("RGB")
    # Lines on white need few colours, and so a third of the bytes.
    few = image.quantize(_NUM_COLORS, method=Image.Quantize.FASTOCTREE)
    few.save(path, format="PNG", optimize=True)
