"""``GET /v1/models`` and ``GET /health``."""

import pytest
from tests.server.hosting import Client
from tests.server.stand_in import StandInEngine


def test_models_lists_the_one_model(client: Client) -> None:
    found = client.get("/v1/models").json
    assert found["object"] == "list"
    (card,) = found["data"]
    assert card["id"] == "stand-in"
    assert card["object"] == "model"
    assert card == client.get("/v1/models/stand-in").json


def test_a_model_name_may_hold_slashes(client: Client, engine: StandInEngine) -> None:
    engine.model_name = "lab/small"
    assert client.get("/v1/models/lab/small").json["id"] == "lab/small"


def test_health_shows_the_processes(client: Client) -> None:
    reply = client.get("/health")
    assert reply.status == 200
    assert reply.json == {
        "status": "ok",
        "processes": [
            {"name": "scheduler", "pid": 1, "alive": True, "num_restarts": 0}
        ],
        "num_running": 0,
        "last_error": None,
    }


@pytest.mark.parametrize("status", ["starting", "degraded", "dead", "stopped"])
def test_health_is_503_unless_all_is_well(
    client: Client, engine: StandInEngine, status: str
) -> None:
    engine.status = status
    reply = client.get("/health")
    assert reply.status == 503
    assert reply.json["status"] == status
    assert reply.json["processes"][0]["alive"] is False
