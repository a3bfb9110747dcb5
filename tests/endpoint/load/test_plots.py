"""Pictures of reports and sweeps."""

from pathlib import Path

from PIL import Image
from tests.endpoint.load.runs import Clients, config, report_of, stream, sweep

from busduct.endpoint.load import LoadRun, plot_report, plot_sweep
from busduct.messages import ErrorData, QueryResult


def picture(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        return image.convert("RGB")


async def test_plot_is_a_picture_of_the_report(tmp_path: Path) -> None:
    path = tmp_path / "report.png"
    plot_report(await report_of(), path)
    image = picture(path)
    assert image.size == (1100, 700)
    assert path.stat().st_size < 80_000
    colors = {color for _, color in image.getcolors(1 << 20)}
    # Of the curves of latency and TTFT, and of the failed.
    for red, green, blue in ((0, 114, 178), (230, 159, 0), (213, 94, 0)):
        assert any(
            abs(r - red) + abs(g - green) + abs(b - blue) < 12 for r, g, b in colors
        )


async def test_report_with_nothing_in_it_is_plotted_too(tmp_path: Path) -> None:
    error = ErrorData(error_type="connection")
    clients = Clients(lambda query: [(0, QueryResult(id=query.id, error=error))])
    report = await LoadRun(config(), create_client=clients).run()
    assert report.latency is None
    plot_report(report, tmp_path / "report.png")
    assert picture(tmp_path / "report.png").size == (1100, 700)


async def test_sweep_is_plotted(tmp_path: Path) -> None:
    for number, runs in enumerate(
        (
            sweep(Clients(stream), workers=[1, 2], input_lengths=[8, 16, 32]),
            sweep(Clients(stream), connections=[4]),
            sweep(Clients(stream)),
        )
    ):
        path = tmp_path / f"{number}.png"
        plot_sweep(await runs.run(), path)
        assert picture(path).size == (1100, 450)
        assert path.stat().st_size < 80_000
