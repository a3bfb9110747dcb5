"""Who takes part in a queue or a topic: told at its address, by one of those who do."""

from busduct.fmq._directory._registration import Registration
from busduct.fmq._directory._watcher import Members, Watcher

__all__ = ["Members", "Registration", "Watcher"]
