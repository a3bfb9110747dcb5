"""Who may ask, and from where."""

import os
import socket
from pathlib import Path

import pytest
from tests.server.hosting import hosted
from tests.server.stand_in import StandInEngine

from busduct.errors import AddressInUseError, AuthError, ConfigError
from busduct.server import ServerConfig, load_api_key
from busduct.server._config import bind

KEY = "0123456789abcdef"
ASK = b'{"model": "stand-in", "prompt": "Once"}'


@pytest.mark.parametrize(
    "given", [None, "Bearer wrong", "Bearer", f"Basic {KEY}", f"Bearer {KEY}x", KEY]
)
def test_a_request_without_the_key_is_refused(
    engine: StandInEngine, given: str | None
) -> None:
    headers = {"authorization": given} if given else {}
    with hosted(engine, api_key=KEY) as client:
        reply = client.request("POST", "/v1/completions", ASK, headers)
        assert reply.status == 401
        assert reply.error["code"] == "invalid_api_key"
        assert client.get("/v1/models", headers).status == 401
    assert not engine.asked


def test_a_request_with_the_key_is_served(engine: StandInEngine) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    with hosted(engine, api_key=KEY) as client:
        assert client.request("POST", "/v1/completions", ASK, headers).status == 200


def test_health_tells_strangers_the_status_only(engine: StandInEngine) -> None:
    with hosted(engine, api_key=KEY) as client:
        assert client.get("/health").json == {"status": "ok"}
        headers = {"authorization": f"Bearer {KEY}"}
        assert "processes" in client.get("/health", headers).json


def test_the_key_is_not_in_the_configuration_text() -> None:
    assert KEY not in repr(ServerConfig(api_key=KEY))


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_all_addresses_need_a_key_or_insecure(host: str) -> None:
    with pytest.raises(AuthError, match="reachable from other machines"):
        bind(ServerConfig(host=host, port=0))
    for permitted in ({"api_key": KEY}, {"insecure": True}):
        bind(ServerConfig(host=host, port=0, **permitted)).close()  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.9.9.9"])
def test_loopback_needs_no_key(host: str) -> None:
    bind(ServerConfig(host=host, port=0)).close()


def test_a_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(AddressInUseError, match=f"127.0.0.1:{port} is in use"):
            bind(ServerConfig(port=port))


def test_a_host_without_address_is_told() -> None:
    with pytest.raises(ConfigError, match="no address"):
        bind(ServerConfig(host="no such host", port=0))


def test_the_key_comes_from_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    path.chmod(0o600)
    assert load_api_key(path) == KEY


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(mode)
    with pytest.raises(AuthError, match="must be ours and 0600"):
        load_api_key(path)


def test_a_key_file_without_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    with pytest.raises(ConfigError, match="is empty"):
        load_api_key(path)
    with pytest.raises(ConfigError, match="No such file"):
        load_api_key(tmp_path / "other")


def test_the_key_comes_from_the_environment_without_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(os.environ, "BUSDUCT_API_KEY", raising=False)
    assert load_api_key(None) is None
    monkeypatch.setenv("BUSDUCT_API_KEY", KEY)
    assert load_api_key(None) == KEY
