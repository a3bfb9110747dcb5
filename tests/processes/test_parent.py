"""What a child learns of its parent, and that it ends with it."""

import os
import signal
import subprocess
import sys

import pytest
from tests.processes.conditions import TIMEOUT

from busduct._processes import read_settings_line


def test_line_is_read_whole_however_it_comes() -> None:
    read_end, write_end = os.pipe()
    try:
        os.write(write_end, b'{"key": 1}\n')
        assert read_settings_line(read_end) == b'{"key": 1}\n'
    finally:
        os.close(read_end)
        os.close(write_end)


def test_child_whose_parent_ended_before_the_line_was_whole_ends() -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b'{"key"')
    os.close(write_end)
    try:
        with pytest.raises(SystemExit, match="1"):
            read_settings_line(read_end)
    finally:
        os.close(read_end)


WAITING = """
import time
from busduct._processes import end_with_stream
end_with_stream(0)
print("ready", flush=True)
time.sleep(3600)
"""


def waiting_child() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", WAITING],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_busy_child_ends_when_its_standard_input_does() -> None:
    with waiting_child() as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.stdin.close()
        assert child.wait(TIMEOUT) == -signal.SIGIO


def test_child_whose_standard_input_has_ended_already_ends_too() -> None:
    with waiting_child() as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.close()
        assert child.stdout.read() in {b"", b"ready\n"}
        assert child.wait(TIMEOUT) in {1, -signal.SIGIO}
