"""An OpenAI-compatible HTTP service in front of an engine (extra ``server``)."""

try:
    import httptools as _httptools  # noqa: F401
    import starlette as _starlette  # noqa: F401
    import uvicorn as _uvicorn  # noqa: F401
except ModuleNotFoundError as error:
    msg = (
        f"busduct.server needs {error.name}; "
        "install the extra 'server': pip install 'busduct[server]'"
    )
    raise ImportError(msg, name=error.name) from error

from busduct._api_key import load_api_key
from busduct.server._config import ServerConfig
from busduct.server._engine import TextEngine
from busduct.server._service import ServeOutcome, serve
from busduct.server.app import create_app

__all__ = [
    "ServeOutcome",
    "ServerConfig",
    "TextEngine",
    "create_app",
    "load_api_key",
    "serve",
]
