"""The settings of a pool: both styles of call, and each wrong one named."""

import asyncio
import os
import pickle
from typing import Any

import msgspec
import pytest
from tests.transport.pool.conftest import KINDS, Kind

from busduct.errors import ConfigError, FullError, LocalProtocolError, PeerLostError
from busduct.messages import Query
from busduct.transport import (
    AnyTransportConfig,
    AnyWorkerConnector,
    InprocTransportConfig,
    ShmTransportConfig,
    ShmWorkerConnector,
    ShmWorkerPoolTransport,
    TransportConfig,
    ZMQTransportConfig,
    ZmqWorkerPoolTransport,
)

CONFIGS = [ZMQTransportConfig, ShmTransportConfig, InprocTransportConfig]


@pytest.mark.parametrize("config_type", CONFIGS)
class TestConfig:
    def test_it_goes_to_another_process(self, config_type: type[Any]) -> None:
        config = config_type(max_message_bytes=5, linger=-1)
        encoded = msgspec.json.encode(config)
        assert msgspec.json.decode(encoded, type=AnyTransportConfig) == config
        assert pickle.loads(pickle.dumps(config)) == config

    def test_type_may_be_given_and_is_the_tag(self, config_type: type[Any]) -> None:
        config = config_type(type=config_type().type)
        assert msgspec.json.decode(msgspec.json.encode(config)) == {"type": config.type}
        with pytest.raises(ConfigError, match="type is 'other'"):
            config_type(type="other")

    def test_it_names_its_transport(self, config_type: type[Any]) -> None:
        config: TransportConfig = config_type()
        assert config.transport_class is KINDS[config_type().type]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("recv_buffer_size", -1),
            ("send_buffer_size", -1),
            ("max_message_bytes", 0),
            ("max_queued_bytes", 0),
            ("high_water_mark", -1),
            ("linger", -2),
            ("linger", 0.5),
            ("max_message_bytes", "many"),
            ("high_water_mark", True),
            ("recv_buffer_size", None),
        ],
    )
    def test_wrong_value_is_named(
        self, config_type: type[Any], name: str, value: object
    ) -> None:
        with pytest.raises(ConfigError, match=f"^{name} is {value!r}"):
            config_type(**{name: value})


@pytest.mark.parametrize(
    ("config_type", "name", "value"),
    [
        (ZMQTransportConfig, "io_threads", -1),
        (ZMQTransportConfig, "worker_io_threads", -1),
        (ZMQTransportConfig, "immediate", 2),
        (ZMQTransportConfig, "immediate", -1),
        (ShmTransportConfig, "shm_max_bytes", -1),
        (ShmTransportConfig, "shm_ring_bytes", 0),
        (ShmTransportConfig, "shm_ring_bytes", 5000),
        (ShmTransportConfig, "shm_ring_bytes", 1 << 25),
        (ShmTransportConfig, "spin", 1.5),
        (ShmTransportConfig, "spin", "long"),
    ],
)
def test_wrong_value_of_one_kind_is_named(
    config_type: type[Any], name: str, value: object
) -> None:
    with pytest.raises(ConfigError, match=f"^{name} is {value!r}"):
        config_type(**{name: value})


class TestCreate:
    async def test_config_and_overrides_may_be_given(self, kind: Kind) -> None:
        loop = asyncio.get_running_loop()
        config = kind.type.config_type(max_message_bytes=7, linger=3)
        for pool, expected in [
            (kind.type.create(loop, 1), kind.type.config_type()),
            (kind.type.create(loop, 1, config), config),
            (kind.type.create(loop, 1, config=config), config),
            (
                kind.type.create(loop, 1, max_message_bytes=8),
                kind.type.config_type(max_message_bytes=8),
            ),
            (
                kind.type.create(loop, 1, config, max_message_bytes=8),
                kind.type.config_type(max_message_bytes=8, linger=3),
            ),
        ]:
            assert pool.config == expected
            pool.cleanup()

    async def test_unknown_setting_is_named(self, kind: Kind) -> None:
        with pytest.raises(ConfigError, match=r"^colour is no setting of"):
            kind.create(colour="red")

    async def test_wrong_setting_is_named(self, kind: Kind) -> None:
        with pytest.raises(ConfigError, match=r"^linger is -2"):
            kind.create(linger=-2)

    async def test_config_of_another_transport_is_refused(self, kind: Kind) -> None:
        others = {"zmq", "shm", "inproc"} - {kind.type.config_type().type}
        config = KINDS[others.pop()].config_type()
        with pytest.raises(ConfigError, match=r"^config is a"):
            kind.type.create(asyncio.get_running_loop(), 1, config)

    @pytest.mark.parametrize("num_workers", [0, -1])
    async def test_pool_has_a_worker_at_least(
        self, kind: Kind, num_workers: int
    ) -> None:
        with pytest.raises(ConfigError, match=f"^num_workers is {num_workers}"):
            kind.create(num_workers)

    @pytest.mark.parametrize("num_threads", [0, 1])
    async def test_threads_of_contexts_are_a_setting(
        self, process_kind: Kind, num_threads: int
    ) -> None:
        if process_kind.type is not ZmqWorkerPoolTransport:
            pytest.skip("a setting of the other")
        before = set(os.listdir("/proc/self/task"))

        def num_new() -> int:
            # NB: threads that ended before may be among those, and be listed no more.
            return len(set(os.listdir("/proc/self/task")) - before)

        pool = process_kind.create(
            io_threads=num_threads, worker_io_threads=num_threads
        )
        assert num_new() == num_threads
        async with pool.worker_connector.connect(0):
            assert num_new() == 2 * num_threads
            await pool.wait_for_workers_ready(20.0)
        pool.cleanup()

    async def test_immediate_queues_for_nobody(self, process_kind: Kind) -> None:
        if process_kind.type is not ZmqWorkerPoolTransport:
            pytest.skip("a setting of the other")
        pool = process_kind.create(immediate=1)
        with pytest.raises(FullError):
            pool.send(0, Query())
        async with pool.worker_connector.connect(0) as (receiver, _):
            await pool.wait_for_workers_ready(20.0)
            pool.send(0, Query(id="a"))
            received = await receiver.recv()
            assert isinstance(received, Query)
        pool.cleanup()

    async def test_pure_python_refuses_shared_memory(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BUSDUCT_BACKEND", "python")
        with pytest.raises(ConfigError, match="shared memory"):
            ShmWorkerPoolTransport.create(asyncio.get_running_loop(), 1)

    async def test_worker_that_cannot_share_memory_is_told(
        self, rust: object, shared_memory: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BUSDUCT_BACKEND", "python")
        loop = asyncio.get_running_loop()
        pool = ZmqWorkerPoolTransport.create(loop, 1)
        monkeypatch.setenv("BUSDUCT_BACKEND", "rust")
        connector = ShmWorkerConnector(
            directory=pool.worker_connector.directory,
            generations=(0,),
            config=ShmTransportConfig(),
        )
        with pytest.raises(PeerLostError) as caught:
            async with connector.connect(0):
                pass
        assert "shared memory is required" in str(caught.value.__cause__)
        pool.cleanup()


class TestConnector:
    async def test_it_goes_to_another_process(self, process_kind: Kind) -> None:
        pool = process_kind.create(3, max_message_bytes=100_000)
        connector = pool.worker_connector
        encoded = msgspec.json.encode(connector)
        assert msgspec.json.decode(encoded, type=AnyWorkerConnector) == connector
        assert pickle.loads(pickle.dumps(connector)) == connector
        pool.cleanup()

    async def test_that_of_one_process_does_not(self, kind: Kind) -> None:
        if kind.type is not KINDS["inproc"]:
            pytest.skip("the others do")
        pool = kind.create()
        with pytest.raises(LocalProtocolError, match="another process"):
            pickle.dumps(pool.worker_connector)
        pool.cleanup()
