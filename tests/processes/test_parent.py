"""What a child reads of its parent."""

import os

import pytest

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
