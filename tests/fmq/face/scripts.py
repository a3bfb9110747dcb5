"""Programs that use queues, each in a process of its own."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

# Of programs that start several others, on a machine that does much else.
TIMEOUT = 90.0

PROLOGUE = """\
import asyncio, logging, os, sys, threading, time
from busduct.fmq import FMQ
"""


def start(code: str) -> "subprocess.Popen[str]":
    """Start a program; its output is what `output_of` returns."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROLOGUE + textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output_of(process: "subprocess.Popen[str]") -> str:
    """Wait for its end, which has to be a good one; return what it printed."""
    printed, errors = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, errors) == (0, "")
    return printed


@contextmanager
def running(code: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a program, at the latest till the end of a block."""
    process = start(code)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(code: str) -> str:
    """Run a program to its end; return what it printed."""
    with running(code) as process:
        return output_of(process)
