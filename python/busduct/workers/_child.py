"""The entry point of a worker process: ``python -m busduct.workers._child``."""

import importlib
import logging
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from busduct._processes import die_with_parent, end_with_stream, read_settings_line
from busduct.errors import ConfigError
from busduct.workers._affinity import set_cpu_affinity
from busduct.workers._progress import StartCounter
from busduct.workers._settings import LaunchSettings, WorkerStart

STDIN = 0


def main() -> None:
    """Run the target until it returns, or the parent is gone."""
    launch = msgspec.json.decode(read_settings_line(STDIN), type=LaunchSettings)
    die_with_parent(launch.parent_pid)
    end_with_stream(STDIN)
    # NB: before anything that may start a thread, which keeps the CPUs it started with.
    if launch.cpus:
        set_cpu_affinity(0, set(launch.cpus))
    logging.basicConfig(
        level=launch.log_level.upper(), format="%(levelname)s %(name)s: %(message)s"
    )
    target = _load_target(launch.target)
    from busduct.transport.pool import AnyWorkerConnector

    target(
        WorkerStart(
            worker_id=launch.worker_id,
            connector=msgspec.json.decode(launch.connector, type=AnyWorkerConnector),
            settings=bytes(launch.settings),
            progress=StartCounter(launch.progress_fd, launch.worker_id),
        )
    )


def _load_target(path: str) -> Callable[[WorkerStart], Any]:
    module, _, name = path.partition(":")
    try:
        target: Callable[[WorkerStart], Any] = getattr(
            importlib.import_module(module), name
        )
    except (ImportError, AttributeError) as error:
        msg = f"worker_target {path!r} cannot be imported: {error}"
        raise ConfigError(msg) from error
    return target


if __name__ == "__main__":
    try:
        main()
    except (ConfigError, ImportError) as error:
        # What the user can mend needs one line; the parent passes it on.
        sys.exit(f"{type(error).__name__}: {error}")
