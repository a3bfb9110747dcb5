"""Child processes: started, watched through their pidfd, and ended for certain."""

from busduct._processes._child_process import ChildProcess
from busduct._processes._parent import (
    die_with_parent,
    end_with_stream,
    read_settings_line,
)
from busduct._processes._restart_budget import RestartBudget

__all__ = [
    "ChildProcess",
    "RestartBudget",
    "die_with_parent",
    "end_with_stream",
    "read_settings_line",
]
