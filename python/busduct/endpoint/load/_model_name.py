"""Ask an endpoint what it serves."""

import asyncio
import http.client
import ssl
from urllib.parse import urlsplit

import msgspec

from busduct.endpoint._urls import resolve_url
from busduct.endpoint.load._config import LoadConfig

__all__ = ["ask_model_name"]

_TIMEOUT = 10.0
_MAX_BYTES = 1 << 20
_ROUTES = ("/chat/completions", "/completions")


class _Card(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Card]


async def ask_model_name(config: LoadConfig) -> str | None:
    """Return the first model that an OpenAI endpoint lists; None if it lists none.

    Raises:
        OSError: It cannot be reached; the text names it.
    """
    url = resolve_url(config.url, config.api)
    route = next((route for route in _ROUTES if urlsplit(url).path.endswith(route)), "")
    if config.api == "sglang" or not route:
        return None
    return await asyncio.to_thread(_ask, config, url, route)


def _ask(config: LoadConfig, url: str, route: str) -> str | None:
    parts = urlsplit(url)
    path = parts.path.removesuffix(route) + "/models"
    headers = {"Authorization": f"Bearer {config.api_key}"} if config.api_key else {}
    connection = _connection(config, url)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body = response.read(_MAX_BYTES)
    except OSError as error:
        msg = f"cannot reach {parts.scheme}://{parts.netloc}: {error}"
        raise OSError(msg) from error
    except http.client.HTTPException:
        return None
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        return None
    try:
        models = msgspec.json.decode(body, type=_Models).data
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return models[0].id if models else None


def _connection(config: LoadConfig, url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port, timeout=_TIMEOUT)
    context = ssl.create_default_context(cafile=config.ca_file)
    if config.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(
        host, parts.port, timeout=_TIMEOUT, context=context
    )
