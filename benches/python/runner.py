"""Processes of the benches beside other libraries: start, take turns, end, sweep."""

import argparse
import contextlib
import fcntl
import functools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import Progress

PEERS_DIR = Path(__file__).resolve().parents[1] / "peers"
DEADLINE_S = 60.0
GRACE_S = 1.0
SHARED_MEMORY = "/dev/shm"
# What zenoh, iceoryx2 and multiprocessing leave behind when they are killed.
LITTER = (
    (SHARED_MEMORY, "*.zenoh"),
    (SHARED_MEMORY, "iox2_*"),
    (SHARED_MEMORY, "psm_*"),
    ("/tmp/iceoryx2", "*.event"),
    ("/tmp/iceoryx2", "*/*"),
)

Figures = dict[str, float]
# The runs of each (measure, peer, bytes a message).
Results = dict[tuple[str, str, int], list[float]]


class SkippedError(Exception):
    """A peer cannot do a case here: it is not installed, or has no such call."""


@dataclass(frozen=True)
class Turn:
    """One measurement of one peer; gives the figure of one or more measures."""

    case: str
    peer: str
    nbytes: int
    measure: Callable[[], Figures]


def collect(turns: Sequence[Turn]) -> tuple[Results, list[str]]:
    """Measure one after the other; return figures, and notes on what there is none of.

    A peer that cannot do a case is asked only once; one that fails is asked again.
    """
    results: Results = defaultdict(list)
    skipped: dict[tuple[str, str], str] = {}
    failures: list[str] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for turn in progress.track(turns, description=turns[0].case):
            if (turn.case, turn.peer) in skipped:
                continue
            try:
                found = turn.measure()
            except SkippedError as error:
                note = f"{turn.case}: {turn.peer} is left out: {error}"
                skipped[turn.case, turn.peer] = note
            except subprocess.SubprocessError as error:
                place = f"{turn.case}: {turn.peer} at {turn.nbytes} B"
                failures.append(f"{place} FAILED: {error}")
            else:
                for measure, value in found.items():
                    results[measure, turn.peer, turn.nbytes].append(value)
    return results, [*skipped.values(), *failures]


class Work(Protocol):
    """What is measured."""

    @property
    def peers(self) -> Sequence[str]:
        """Who can do it."""

    @property
    def sizes(self) -> Sequence[int]:
        """Bytes of a message."""


def turns(
    works: Mapping[str, Work],
    options: argparse.Namespace,
    measure: Callable[[str, str, int, argparse.Namespace], Figures],
) -> list[Turn]:
    """Return the measurements of the works that were asked for, in their order."""
    return [
        Turn(
            name,
            peer,
            nbytes,
            functools.partial(measure, name, peer, nbytes, options),
        )
        for run in range(options.runs)
        for name in options.works
        for nbytes in works[name].sizes
        if nbytes in options.sizes
        for peer in rotated(works[name].peers, run)
        if peer in options.peers
    ]


def rotated(peers: Sequence[str], run: int) -> Sequence[str]:
    """Return the order in which peers take their turns in a run."""
    turn = run % len(peers)
    return [*peers[turn:], *peers[:turn]]


@contextlib.contextmanager
def fresh_endpoint() -> Iterator[str]:
    """Give an ipc endpoint that nobody else uses."""
    with tempfile.TemporaryDirectory(prefix="bd-") as directory:
        yield f"ipc://{directory}/a"


def run_peer(peer: str, role: str, *arguments: object) -> Figures:
    """Run a measuring role to its end, and end what it has started.

    Raises:
        SkippedError: It says that it cannot.
        subprocess.SubprocessError: It failed or took too long.
    """
    return run_both(command(peer, role, *arguments))


def run_pair(
    peer: str,
    measuring: str,
    other: str,
    nbytes: int,
    seconds: float,
    *,
    batch: int = 0,
    num_pairs: int = 0,
    pin: bool = False,
    endpoint: str | None = None,
) -> Figures:
    """Measure one role of a peer, with another process of it in the other role.

    Args:
        peer: A file of benches/peers.
        measuring: The role that reports.
        other: The role of its partner.
        nbytes: Of each message.
        seconds: Of measuring.
        batch: Messages in a batch, for peers that have batches; 0 for their own choice.
        num_pairs: Of sockets that idle, for that role.
        pin: Each process to a core of its own, with all threads that it starts.
        endpoint: None for an ipc endpoint of its own.

    Raises:
        SkippedError: One of the two says that it cannot.
        subprocess.SubprocessError: One of the two failed, or they took too long.
    """
    options = ("--batch", batch, "--num-pairs", num_pairs)
    with contextlib.ExitStack() as stack:
        place = endpoint or stack.enter_context(fresh_endpoint())
        task = (place, nbytes, seconds, *options)
        cores = sorted(os.sched_getaffinity(0))
        pinned = [("--core", cores[i % len(cores)]) if pin else () for i in range(2)]
        return run_both(
            command(peer, measuring, *task, *pinned[0]),
            command(peer, other, *task, *pinned[1]),
        )


def run_fan_out(peer: str, nbytes: int, seconds: float, count: int) -> float:
    """Return the messages a second that reach each of `count` subscribers.

    Raises:
        SkippedError: The peer says that it cannot.
        subprocess.SubprocessError: It failed or took too long.
    """
    with fresh_endpoint() as endpoint:
        return run_peer(peer, "fan_out", endpoint, nbytes, seconds, count)["rate"]


class Running:
    """A program in a process group of its own; what it prints is kept."""

    def __init__(self, program: list[str]) -> None:
        with contextlib.ExitStack() as files:
            self._output = files.enter_context(tempfile.TemporaryFile())
            self._errors = files.enter_context(tempfile.TemporaryFile())
            self._process = subprocess.Popen(
                program,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._errors,
                start_new_session=True,
            )
            self._files = files.pop_all()
        self.descriptor = os.pidfd_open(self._process.pid)

    def figures(self) -> Figures:
        """Return what it has reported, once it ended; nothing if it reported nothing.

        Raises:
            SkippedError: It says that it cannot do what was asked of it.
            subprocess.SubprocessError: It failed.
        """
        status = self._process.wait()
        if status:
            self._errors.seek(0)
            last = self._errors.read().decode(errors="replace").splitlines()[-1:]
            msg = (
                f"{Path(self._process.args[1]).name}: status {status} {' '.join(last)}"
            )
            raise subprocess.SubprocessError(msg)
        self._output.seek(0)
        found = json.loads(self._output.read() or "{}")
        if "skipped" in found:
            raise SkippedError(found["skipped"])
        figures: Figures = found
        return figures

    def end(self) -> None:
        """Kill it and what it has started, and wait for it."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        os.close(self.descriptor)
        self._files.close()


def run_both(*programs: list[str]) -> Figures:
    """Run programs until the first of them has reported, and end all.

    Raises:
        SkippedError: One says that it cannot.
        subprocess.SubprocessError: One failed, or they took too long.
    """
    started: list[Running] = []
    with swept_memory():
        try:
            started += map(Running, programs)
            figures = await_report(*started)
        finally:
            for each in started:
                each.end()
    return figures


def await_report(measuring: Running, *partners: Running) -> Figures:
    """Wait for the report, or for a partner's failure.

    Raises:
        SkippedError: One says that it cannot.
        subprocess.SubprocessError: One failed, or they took too long.
    """
    everyone = [measuring.descriptor, *(each.descriptor for each in partners)]
    if not select.select(everyone, (), (), DEADLINE_S)[0]:
        msg = f"no report within {DEADLINE_S:.0f} s"
        raise subprocess.SubprocessError(msg)
    # NB: a partner also fails because the measuring one, its report made, is leaving.
    if select.select(everyone[:1], (), (), GRACE_S)[0]:
        return measuring.figures()
    for partner in partners:
        partner.figures()
    msg = "the partner ended before anything was measured"
    raise subprocess.SubprocessError(msg)


@contextlib.contextmanager
def swept_memory() -> Iterator[None]:
    """Remove what peers leave in shared memory within the block.

    Another benchmark waits until then: its peers' memory could not be told from what
    is left, and its figures would be of half a machine.
    """
    with open_directory(SHARED_MEMORY) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        before = litter()
        try:
            yield
        finally:
            for path in litter() - before:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


@contextlib.contextmanager
def open_directory(path: str) -> Iterator[int]:
    """Give a descriptor of a directory."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def litter() -> set[Path]:
    """Return the files of other libraries that a killed process leaves behind."""
    return {path for where, what in LITTER for path in Path(where).glob(what)}


def command(peer: str, role: str, *arguments: object) -> list[str]:
    """Return the command line of one peer in one role."""
    program = str(PEERS_DIR / f"{peer}.py")
    return [sys.executable, program, role, *map(str, arguments)]
