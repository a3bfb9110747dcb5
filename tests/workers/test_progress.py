"""What a worker has started is known to the pool, whatever becomes of the worker."""

import os
import signal
import subprocess
import sys

import pytest

from busduct.workers import StartBoard, StartCounter

CHILD = """
import sys
from busduct.workers import StartCounter
counter = StartCounter(int(sys.argv[1]), 1)
for number in range(int(sys.argv[2])):
    counter.advance()
print("done", flush=True)
sys.stdin.read()
"""


def test_count_of_a_killed_process_is_read(no_leaks: None) -> None:
    with StartBoard(3) as board:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(board.fd), "1000"],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(board.fd,),
        )
        with child:
            assert child.stdout is not None
            child.stdout.readline()
            child.send_signal(signal.SIGKILL)
        assert [board.num_started(each) for each in range(3)] == [0, 1000, 0]
        board.reset(1)
        assert board.num_started(1) == 0


def test_counters_do_not_touch_one_another(no_leaks: None) -> None:
    with StartBoard(2) as board:
        counters = [StartCounter(os.dup(board.fd), each) for each in range(2)]
        counters[0].advance()
        for _ in range(300):
            counters[1].advance()
        assert [board.num_started(each) for each in range(2)] == [1, 300]
        del counters


def test_counter_goes_on_from_what_is_there(no_leaks: None) -> None:
    with StartBoard(1) as board:
        StartCounter(os.dup(board.fd), 0).advance()
        StartCounter(os.dup(board.fd), 0).advance()
        assert board.num_started(0) == 2


def test_board_closes_twice(no_leaks: None) -> None:
    board = StartBoard(1)
    board.close()
    board.close()


def test_what_is_no_board_is_refused_and_closed(no_leaks: None) -> None:
    read_end, write_end = os.pipe()
    os.close(write_end)
    with pytest.raises((OSError, ValueError)):
        StartCounter(read_end, 0)


def test_board_is_a_file_where_there_are_no_memfds(
    no_leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with StartBoard(1) as board:
        StartCounter(os.dup(board.fd), 0).advance()
        assert board.num_started(0) == 1
