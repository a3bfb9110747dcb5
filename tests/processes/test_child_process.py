"""Child processes: their end is noticed, and certain."""

import os
import signal
import subprocess
import sys

import pytest
from tests.processes.conditions import until, wait_gone

from busduct._processes import ChildProcess

READ_SETTINGS = "import sys; line = sys.stdin.readline(); "


def child(code: str, settings: bytes = b"{}") -> ChildProcess:
    return ChildProcess("child", ["-c", READ_SETTINGS + code], settings, {})


async def test_exit_code_and_last_words_are_known(any_loop: str) -> None:
    process = child("print('oh no', file=sys.stderr); sys.exit(3)")
    assert await process.exited == 3
    assert process.stderr_tail() == "oh no"
    assert not process.alive


async def test_signal_shows_as_a_negative_code(no_leaks: None) -> None:
    process = child("sys.stdin.read()")
    process.send_signal(signal.SIGKILL)
    assert await process.exited == -signal.SIGKILL


async def test_only_the_last_lines_are_kept() -> None:
    process = child("sys.stderr.write(''.join(f'{n}\\n' for n in range(10_000)))")
    await process.exited
    assert process.stderr_tail().split("\n") == [str(n) for n in range(9980, 10_000)]


async def test_flood_without_newline_is_bounded() -> None:
    process = child("sys.stderr.write('x' * 3_000_000)")
    await process.exited
    assert len(process.stderr_tail()) <= 65536


async def test_child_gets_its_settings_and_no_end_of_file_while_we_live() -> None:
    process = child("sys.stderr.write(line); sys.exit()", b'{"key": 1}')
    await process.exited
    assert process.stderr_tail() == '{"key": 1}'


async def test_process_that_ignores_the_request_to_end_is_killed(
    no_leaks: None,
) -> None:
    code = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('deaf', file=sys.stderr); sys.stdin.read()"
    )
    process = child(code)
    await until(lambda: process.stderr_tail() == "deaf")
    assert await process.terminate(grace=0.05) == -signal.SIGKILL


async def test_process_that_ends_when_asked_is_not_killed() -> None:
    process = child("sys.stdin.read()")
    assert await process.terminate(grace=10.0) == -signal.SIGTERM


async def test_kill_and_reap_is_synchronous_and_idempotent(no_leaks: None) -> None:
    process = child("sys.stdin.read()")
    process.kill_and_reap()
    assert not process.alive
    process.kill_and_reap()
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


async def test_child_that_ends_before_it_reads_is_no_error() -> None:
    process = ChildProcess("child", ["-c", ""], b"x" * 30_000, {})
    assert await process.exited == 0


PARENT = """
import asyncio, sys
from busduct._processes import ChildProcess

DEAF = '''
import os, sys, time
from busduct._processes import die_with_parent
die_with_parent(os.getppid())
print("ready", file=sys.stderr)
time.sleep(3600)
'''

async def main():
    process = ChildProcess("child", ["-c", DEAF], b"{}", {})
    while not process.stderr_tail():
        await asyncio.sleep(0.005)
    print(process.pid, flush=True)
    await process.exited

asyncio.run(main())
"""


def test_busy_child_dies_with_its_killed_parent() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_gone([pid])


async def test_orphan_ends_before_it_does_anything() -> None:
    code = (
        "from busduct._processes import die_with_parent;"
        "die_with_parent(1); print('alive', file=sys.stderr)"
    )
    process = child(code)
    assert await process.exited == 1
    assert process.stderr_tail() == ""


async def test_child_has_the_descriptors_that_are_passed(no_leaks: None) -> None:
    read_end, write_end = os.pipe()
    code = f"import os; os.write({write_end}, b'here')"
    process = ChildProcess(
        "child", ["-c", READ_SETTINGS + code], b"{}", {}, pass_fds=(write_end,)
    )
    os.close(write_end)
    assert await process.exited == 0
    assert os.read(read_end, 10) == b"here"
    os.close(read_end)
