"""Which addresses and endpoints are of use, and whose socket file one is."""

import os
import socket
from pathlib import Path

import pytest

from busduct.errors import RemoteProtocolError
from busduct.fmq._directory._address import (
    check_data_endpoint,
    file_of,
    remove_file,
)

IPC = "ipc:///run/q"
TCP = "tcp://127.0.0.1:5000"


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("ipc:///run/d", IPC),
        ("ipc:///" + "d" * 106, IPC),
        ("tcp://127.0.0.1:1", TCP),
        ("tcp://[::1]:65535", TCP),
        ("tcp://worker-7.example:80", TCP),
    ],
)
def test_endpoint_of_the_same_kind_is_good(endpoint: str, address: str) -> None:
    check_data_endpoint(endpoint, address)


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        (TCP, IPC),
        (IPC, TCP),
        ("ipc://relative", IPC),
        ("ipc://", IPC),
        ("ipc:///nul\0", IPC),
        ("ipc:///" + "d" * 107, IPC),
        ("ipc:///" + "d" * 250, IPC),
        ("inproc://d", IPC),
        ("", IPC),
        ("tcp://127.0.0.1:0", TCP),
        ("tcp://127.0.0.1:65536", TCP),
        ("tcp://127.0.0.1:-1", TCP),
        ("tcp://127.0.0.1:٣", TCP),
        ("tcp://127.0.0.1", TCP),
        ("tcp://:80", TCP),
        ("tcp://0.0.0.0:80", TCP),
        ("tcp://[::]:80", TCP),
        ("tcp://*:80", TCP),
        ("tcp://" + "h" * 250 + ":80", TCP),
    ],
)
def test_endpoint_that_leads_nowhere_is_refused(endpoint: str, address: str) -> None:
    with pytest.raises(RemoteProtocolError, match="endpoint"):
        check_data_endpoint(endpoint, address)


def listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def test_file_made_again_is_another(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/q"
    assert file_of(address) == ""
    listen(tmp_path / "q")
    first = file_of(address)
    os.unlink(tmp_path / "q")
    listen(tmp_path / "q")
    assert file_of(address) not in {"", first}


def test_only_the_file_that_is_meant_is_removed(tmp_path: Path) -> None:
    address, path = f"ipc://{tmp_path}/q", tmp_path / "q"
    listen(path)
    file = file_of(address)
    for other in ("", "1-2-3", file + "0"):
        remove_file(address, other)
        assert path.exists()
    remove_file(address, file)
    assert not path.exists()
    remove_file(address, file)


def test_what_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "q").write_text("somebody's")
    address = f"ipc://{tmp_path}/q"
    remove_file(address, file_of(address))
    assert (tmp_path / "q").exists()
