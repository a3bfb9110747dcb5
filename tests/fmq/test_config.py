"""What the settings of queues say, wherever they come from, and what is refused."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from busduct.errors import ConfigError
from busduct.fmq._config import (
    Config,
    Endpoint,
    EndpointType,
    Role,
    SocketOptions,
    default_ipc_root,
)
from busduct.fmq._endpoint_manager import EndpointManager
from busduct.fmq._options import QueueOptions

DOCUMENTED = {
    "ipc_root": "/dev/shm",
    "io_threads": 1,
    "copy": False,
    "endpoints": {
        "test_queue": {
            "protocol": "ipc",
            "address": "/dev/shm/fmq_test_queue.ipc",
            "io_threads": 1,
            "copy": False,
        },
        "test_topic": {
            "protocol": "ipc",
            "address": "/dev/shm/fmq_test_topic.ipc",
            "io_threads": 1,
            "copy": False,
        },
    },
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FMQ_CONFIG_JSON", raising=False)


def error_of(config: Any, **overrides: Any) -> str:
    """Return the text of the error that settings cause."""
    with pytest.raises(ConfigError) as caught:
        EndpointManager(config, **overrides)
    return str(caught.value)


class TestEachKeyTakesEffect:
    def test_ipc_root_is_where_automatic_endpoints_are(self) -> None:
        manager = EndpointManager({"ipc_root": "/dev/shm"})
        assert manager.get_endpoint("q").address == "/dev/shm/fmq_q.ipc"
        assert manager.address_of("q") == "ipc:///dev/shm/fmq_q.ipc"

    @pytest.mark.parametrize(("num", "uses"), [(0, False), (1, False), (2, True)])
    def test_io_threads_of_two_and_more_are_a_thread(
        self, num: int, uses: bool
    ) -> None:
        manager = EndpointManager({"io_threads": num})
        assert manager.uses_io_thread is uses
        assert manager.get_endpoint("q").io_threads == num

    def test_io_threads_of_an_endpoint_are_for_all(self) -> None:
        manager = EndpointManager(
            {"endpoints": {"q": {"io_threads": 2}, "r": {"io_threads": 0}}}
        )
        assert manager.uses_io_thread
        assert manager.get_endpoint("q").io_threads == 2
        assert manager.get_endpoint("other").io_threads == 1

    def test_copy_is_of_every_queue(self) -> None:
        manager = EndpointManager({"copy": True})
        assert manager.options_of("q").copy is True
        assert manager.get_endpoint("q").copy is True
        assert EndpointManager({}).options_of("q").copy is False

    def test_copy_of_an_endpoint_is_of_that_one(self) -> None:
        manager = EndpointManager({"copy": True, "endpoints": {"q": {"copy": False}}})
        assert manager.options_of("q").copy is False
        assert manager.options_of("r").copy is True

    def test_default_protocol_is_that_of_endpoints_that_do_not_say(self) -> None:
        endpoints = {"q": {"address": "localhost:5000"}}
        manager = EndpointManager({"default_protocol": "tcp", "endpoints": endpoints})
        assert manager.address_of("q") == "tcp://localhost:5000"

    def test_default_protocol_tcp_needs_an_address(self) -> None:
        manager = EndpointManager({"default_protocol": "tcp"})
        with pytest.raises(ConfigError, match=r'endpoints\.q to .*"HOST:PORT"'):
            manager.get_endpoint("q")

    @pytest.mark.parametrize("key", ["address", "path"])
    def test_an_address_goes_by_both_names(self, key: str) -> None:
        config = {"endpoints": {"q": {"protocol": "ipc", key: "/run/q.sock"}}}
        manager = EndpointManager(config)
        assert manager.address_of("q") == "ipc:///run/q.sock"
        assert manager.address_of("r") == f"ipc://{default_ipc_root()}/fmq_r.ipc"

    def test_protocol_of_an_endpoint_is_tcp(self) -> None:
        config = {"endpoints": {"q": {"protocol": "tcp", "address": "[::1]:5000"}}}
        assert EndpointManager(config).address_of("q") == "tcp://[::1]:5000"

    @pytest.mark.parametrize(
        ("options", "field", "value"),
        [
            ({"sndhwm": 7}, "hwm_messages", 7),
            ({"sndhwm": 0}, "hwm_messages", (1 << 31) - 1),
            ({"rcvhwm": 8}, "prefetch_messages", 8),
            ({"rcvhwm": 0}, "prefetch_messages", (1 << 31) - 1),
            ({"linger": 250}, "linger", 0.25),
            ({"linger": -1}, "linger", None),
            ({"sndbuf": 65536}, "send_buffer_bytes", 65536),
            ({"rcvbuf": 32768}, "recv_buffer_bytes", 32768),
            ({"immediate": 1}, "immediate", True),
            ({"immediate": True}, "immediate", True),
        ],
    )
    def test_socket_config_is_what_a_queue_does_at_its_limits(
        self, options: dict[str, Any], field: str, value: object
    ) -> None:
        found = EndpointManager({"socket_config": options}).options_of("q")
        assert getattr(found, field) == value
        assert getattr(QueueOptions(), field) != value

    def test_nothing_given_is_what_a_queue_does_by_itself(self) -> None:
        assert EndpointManager({}).options_of("q") == QueueOptions()


class TestSources:
    def test_the_documented_settings_take_effect_from_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FMQ_CONFIG_JSON", json.dumps(DOCUMENTED))
        manager = EndpointManager()
        expected = Endpoint("ipc", "/dev/shm/fmq_test_queue.ipc", 1, False)
        assert manager.get_endpoint("test_queue") == expected
        assert manager.address_of("else") == "ipc:///dev/shm/fmq_else.ipc"

    def test_the_environment_is_read_when_asked_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for root in ("/one", "/two"):
            monkeypatch.setenv("FMQ_CONFIG_JSON", json.dumps({"ipc_root": root}))
            assert EndpointManager().config.ipc_root == root
            assert EndpointManager.config.ipc_root == root
            assert EndpointManager.load_config().ipc_root == root
            assert EndpointManager.get_endpoint("q").address == f"{root}/fmq_q.ipc"

    def test_what_is_given_takes_the_place_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FMQ_CONFIG_JSON", '{"ipc_root": "/one", "copy": true}')
        assert EndpointManager({"ipc_root": "/two"}).config.copy is False

    @pytest.mark.parametrize("text", ["", "  \n"])
    def test_an_empty_variable_says_nothing(
        self, text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FMQ_CONFIG_JSON", text)
        assert EndpointManager().config == Config()

    @pytest.mark.parametrize("make", [str, Path])
    def test_a_json_file(self, make: Any, tmp_path: Path) -> None:
        path = tmp_path / "fmq.json"
        path.write_text(json.dumps(DOCUMENTED))
        assert EndpointManager(make(path)).config.ipc_root == "/dev/shm"

    def test_a_toml_file(self, tmp_path: Path) -> None:
        path = tmp_path / "fmq.toml"
        path.write_text('copy = true\n[endpoints.q]\naddress = "/run/q"\n')
        manager = EndpointManager(path)
        assert manager.get_endpoint("q") == Endpoint("ipc", "/run/q", 1, True)

    def test_a_config_stays_as_it_is(self) -> None:
        config = Config(copy=True, endpoints={"q": Endpoint("tcp", "host:1")})
        assert EndpointManager(config).config == config

    def test_load_config_of_a_manager_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "fmq.json"
        path.write_text('{"copy": true}')
        manager = EndpointManager({})
        assert manager.load_config(path).copy is True
        assert manager.config.copy is True

    def test_keyword_arguments_take_the_place_of_settings(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("FMQ_CONFIG_JSON", '{"ipc_root": "/one", "copy": true}')
        config = EndpointManager(ipc_root=tmp_path).config
        assert config == Config(ipc_root=str(tmp_path), copy=True)

    def test_endpoints_and_socket_config_are_joined(self) -> None:
        given = {
            "endpoints": {"q": {"address": "/q"}, "r": {"address": "/r"}},
            "socket_config": {"linger": 1, "sndhwm": 2},
        }
        config = EndpointManager(
            given,
            endpoints={"r": Endpoint("tcp", "host:1"), "s": {"path": "/s"}},
            socket_config={"linger": 3},
        ).config
        assert config.endpoints == {
            "q": Endpoint("ipc", "/q"),
            "r": Endpoint("tcp", "host:1"),
            "s": Endpoint("ipc", "/s"),
        }
        assert config.socket_config == SocketOptions(linger=3, sndhwm=2)

    def test_a_queue_takes_the_place_of_all_settings(self) -> None:
        manager = EndpointManager({"socket_config": {"sndhwm": 2}})
        options = manager.options_of("q", hwm_messages=3, linger=None, on_full="error")
        expected = QueueOptions(hwm_messages=3, linger=None, on_full="error")
        assert options == expected


class TestRefusals:
    @pytest.mark.parametrize(
        ("config", "key", "proposal"),
        [
            ({"ipc_rot": "/x"}, "ipc_rot", "ipc_root"),
            ({"iothreads": 1}, "iothreads", "io_threads"),
            ({"default_protokol": "ipc"}, "default_protokol", "default_protocol"),
            ({"endpoints": {"q": {"adress": "/x"}}}, "endpoints.q.adress", "address"),
            ({"endpoints": {"q": {"pth": "/x"}}}, "endpoints.q.pth", "path"),
            ({"socket_config": {"snd_hwm": 1}}, "socket_config.snd_hwm", "sndhwm"),
        ],
    )
    def test_a_typo_names_the_key_and_the_nearest(
        self, config: dict[str, Any], key: str, proposal: str
    ) -> None:
        expected = f"{key} is no setting; did you mean '{proposal}'?"
        assert error_of(config) == expected

    def test_an_error_names_the_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FMQ_CONFIG_JSON", '{"copi": true}')
        assert error_of(None).startswith("FMQ_CONFIG_JSON: copi is no setting")

    def test_an_error_names_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "fmq.json"
        path.write_text('{"copy": 3}')
        assert error_of(path).startswith(f"{path}: copy is 3")

    @pytest.mark.parametrize(
        ("config", "text"),
        [
            ({"ipc_root": 3}, "ipc_root is 3: expected `str`, got `int`"),
            ({"ipc_root": "here"}, "ipc_root is 'here'; it must be a path from"),
            ({"io_threads": "1"}, "io_threads is '1': expected `int`, got `str`"),
            ({"io_threads": True}, "io_threads is True: expected `int`"),
            ({"io_threads": -1}, "io_threads is -1: expected `int` >= 0"),
            ({"copy": 1}, "copy is 1: expected `bool`, got `int`"),
            ({"copy": None}, "copy is None: expected `bool`"),
            ({"default_protocol": "tpc"}, "it must be ipc or tcp; did you mean 'tcp'"),
            ({"default_protocol": 1}, "default_protocol is 1: expected `str`"),
            ({"endpoints": []}, "endpoints is []; it must be a mapping"),
            ({"endpoints": {"q": "/x"}}, "endpoints.q is '/x'; it must be a mapping"),
            ({"endpoints": {"a/b": {}}}, "'a/b' is no name of a queue"),
            (
                {"endpoints": {"q": {"protocol": "icp"}}},
                "endpoints.q.protocol is 'icp'; it must be ipc or tcp; did you mean",
            ),
            (
                {"endpoints": {"q": {"address": "/x", "path": "/x"}}},
                "endpoints.q has both address and path",
            ),
            (
                {"endpoints": {"q": {"address": 7}}},
                "endpoints.q.address is 7: expected `str | null`",
            ),
            (
                {"endpoints": {"q": {"io_threads": 0.5}}},
                "endpoints.q.io_threads is 0.5: expected `int | null`, got `float`",
            ),
            (
                {"endpoints": {"q": {"copy": "no"}}},
                "endpoints.q.copy is 'no': expected `bool | null`, got `str`",
            ),
            (
                {"endpoints": {"q": {"address": "x/q.ipc"}}},
                "endpoints.q.address is 'x/q.ipc'; of ipc it must be a file's path",
            ),
            (
                {"endpoints": {"q": {"address": "ipc:///x"}}},
                "endpoints.q.address is 'ipc:///x'; of ipc",
            ),
            ({"socket_config": 3}, "socket_config is 3; it must be a mapping"),
            ({"socket_config": {"linger": -2}}, "socket_config.linger is -2"),
            ({"socket_config": {"sndhwm": "1"}}, "socket_config.sndhwm is '1'"),
            ({"socket_config": {"rcvhwm": -1}}, "socket_config.rcvhwm is -1"),
            ({"socket_config": {"sndbuf": 1 << 31}}, "socket_config.sndbuf is"),
            ({"socket_config": {"rcvbuf": None}}, "socket_config.rcvbuf is None"),
            ({"socket_config": {"immediate": 2}}, "socket_config.immediate is 2"),
            (3, "config is 3; it must be a mapping"),
        ],
    )
    def test_a_wrong_value_names_the_key(self, config: Any, text: str) -> None:
        assert text in error_of(config)

    @pytest.mark.parametrize(
        "address", ["host", "host:", ":1", "host:0", "*:5", "host:x", f"h:{'9' * 5000}"]
    )
    def test_a_tcp_address_that_not_both_sides_can_use(self, address: str) -> None:
        config = {"endpoints": {"q": {"protocol": "tcp", "address": address}}}
        assert "endpoints.q.address is" in error_of(config)

    @pytest.mark.parametrize("text", ["{", "[1]", '"x"', "\x00", "[" * 100_000])
    def test_text_that_is_no_settings(self, text: str, tmp_path: Path) -> None:
        path = tmp_path / "fmq.json"
        path.write_text(text)
        assert error_of(path).startswith((f"{path}: not JSON", f"{path} is "))

    def test_a_toml_file_that_is_none(self, tmp_path: Path) -> None:
        path = tmp_path / "fmq.toml"
        path.write_bytes(b"copy = \xff")
        assert error_of(path).startswith(f"{path}: not TOML")

    @pytest.mark.parametrize("name", ["missing.json", ".", "zero\0"])
    def test_a_file_that_cannot_be_read(self, name: str, tmp_path: Path) -> None:
        assert "settings cannot be read" in error_of(tmp_path / name)

    def test_a_keyword_that_is_not_known(self) -> None:
        assert "did you mean 'copy'" in error_of({}, copi=True)

    @pytest.mark.parametrize(
        ("overrides", "text"),
        [
            ({"hmw_bytes": 1}, "hmw_bytes is no setting; did you mean 'hwm_bytes'"),
            ({"hwm_bytes": 0}, "hwm_bytes is 0; it must be at least 1"),
            ({"prefetch_messages": 0}, "prefetch_messages is 0"),
            ({"send_buffer_bytes": -1}, "send_buffer_bytes is -1"),
            ({"on_full": "conflate"}, "on_full is 'conflate'"),
            ({"ack": "maybe"}, "ack is 'maybe'"),
            ({"linger": -1}, "linger is -1"),
            ({"linger": float("nan")}, "linger is nan"),
            ({"copy": 1}, "copy is 1"),
        ],
    )
    def test_an_option_of_a_queue_that_is_wrong(
        self, overrides: dict[str, Any], text: str
    ) -> None:
        with pytest.raises(ConfigError, match=text):
            EndpointManager({}).options_of("q", **overrides)


class TestNamesAndPaths:
    @pytest.mark.parametrize(
        "name", ["", "a/b", "a\0b", "\ud800", "x" * 256, None, b"q"]
    )
    def test_a_name_that_cannot_be_one(self, name: Any) -> None:
        with pytest.raises(ConfigError, match="queue"):
            EndpointManager({}).get_endpoint(name)

    @pytest.mark.parametrize("name", ["..", "q ü", "x" * 255])
    def test_any_other_name_is_one_file_of_the_root(self, name: str) -> None:
        path = Path(str(EndpointManager({"ipc_root": "/r"}).get_endpoint(name).address))
        assert path.parent == Path("/r")

    def test_a_long_path_is_shortened_to_one_of_its_own(self) -> None:
        manager = EndpointManager({"ipc_root": "/tmp"})
        one, two = (manager.address_of("x" * 200 + end) for end in "ab")
        assert one != two
        assert len(one.removeprefix("ipc://")) <= 107
        assert manager.address_of("x" * 200 + "a") == one

    def test_a_long_address_is_shortened_too(self) -> None:
        endpoints = {"q": Endpoint("ipc", "/tmp/" + "x" * 200)}
        address = EndpointManager({"endpoints": endpoints}).address_of("q")
        assert address.startswith("ipc:///tmp/")
        assert len(address) < 50

    def test_a_root_that_no_socket_fits_into_is_refused(self) -> None:
        manager = EndpointManager({"ipc_root": "/" + "x" * 120})
        with pytest.raises(ConfigError, match="the limit is 107"):
            manager.address_of("q")

    def test_the_automatic_root_is_made_for_this_user_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        manager = EndpointManager({})
        assert not list(tmp_path.iterdir())
        manager.make_directory_of("q")
        root = Path(manager.config.ipc_root)
        assert root == tmp_path / "busduct" / "fmq"
        for path in (root, root.parent):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert manager.data_directory_of("q") == root

    def test_an_automatic_root_that_others_may_write_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        root = tmp_path / "busduct" / "fmq"
        root.mkdir(parents=True)
        root.parent.chmod(0o700)
        root.chmod(0o777)
        with pytest.raises(ConfigError, match="mode 777"):
            EndpointManager({}).make_directory_of("q")

    def test_a_root_that_was_chosen_is_made_or_left(self, tmp_path: Path) -> None:
        root = tmp_path / "deep" / "root"
        manager = EndpointManager({"ipc_root": root})
        manager.make_directory_of("q")
        assert stat.S_IMODE(root.stat().st_mode) == 0o700
        root.chmod(0o1777)
        manager.make_directory_of("q")
        assert stat.S_IMODE(root.stat().st_mode) == 0o1777
        assert manager.data_directory_of("q") == root / f"fmq-{os.getuid()}"

    def test_a_root_that_is_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "root").touch()
        with pytest.raises(ConfigError, match="is no directory"):
            EndpointManager({"ipc_root": tmp_path / "root"}).make_directory_of("q")

    def test_nothing_is_made_for_tcp(self) -> None:
        manager = EndpointManager({"endpoints": {"q": Endpoint("tcp", "host:1")}})
        manager.make_directory_of("q")
        assert manager.data_directory_of("q") is None


def test_roles_and_kinds_have_the_values_that_callers_write() -> None:
    assert [role.value for role in Role] == ["producer", "consumer"]
    assert [kind.value for kind in EndpointType] == ["queue", "topic"]
