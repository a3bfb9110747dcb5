"""The entry point of an engine's processes: ``python -m busduct.pipeline._child``."""

import importlib
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from busduct._processes import die_with_parent, read_settings_line
from busduct.errors import ConfigError
from busduct.pipeline._child_settings import ChildSettings
from busduct.pipeline._parking import Parking
from busduct.transport import Context

if TYPE_CHECKING:
    from busduct.pipeline.runners import ModelRunner

STDIN = 0


def main() -> None:
    """Serve until told to end, or until the parent is gone."""
    settings = msgspec.json.decode(read_settings_line(STDIN), type=ChildSettings)
    die_with_parent(settings.parent_pid)
    logging.basicConfig(
        level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    with Context() as context, Parking(context, STDIN) as parking:
        parking.handle_signals()
        if settings.role == "scheduler":
            _run_scheduler(settings, context, parking)
        else:
            _run_detokenizer(settings, context, parking)


def _run_scheduler(settings: ChildSettings, context: Context, parking: Parking) -> None:
    from busduct.pipeline.scheduler import Scheduler

    runner = _load_runner(settings)
    try:
        scheduler = Scheduler(
            settings.config, settings.ports, runner, context, settings.epoch
        )
        scheduler.report_ready(settings.generation)
        scheduler.event_loop(parking)
        scheduler.close()
    finally:
        runner.close()


def _run_detokenizer(
    settings: ChildSettings, context: Context, parking: Parking
) -> None:
    from tokenizers import Tokenizer

    from busduct.pipeline._incremental import token_bytes_table
    from busduct.pipeline.detokenizer import DetokenizerManager

    table = token_bytes_table(Tokenizer.from_file(settings.tokenizer_path))
    detokenizer = DetokenizerManager(settings.ports, table, context, settings.epoch)
    detokenizer.report_ready(settings.generation)
    detokenizer.event_loop(parking)
    detokenizer.close()


def _load_runner(settings: ChildSettings) -> "ModelRunner":
    module, _, attribute = settings.config.runner.partition(":")
    runner_class = getattr(importlib.import_module(module), attribute)
    path = None if settings.model_path is None else Path(settings.model_path)
    runner: ModelRunner = runner_class.load(
        path, max_batch_size=settings.config.max_batch_size
    )
    return runner


if __name__ == "__main__":
    try:
        main()
    except (ConfigError, ImportError) as error:
        # What the user can mend needs one line; the parent passes it on.
        sys.exit(f"{type(error).__name__}: {error}")
