"""Servers that answer like an inference endpoint, to measure clients against."""

try:
    import httptools as _httptools  # noqa: F401
except ModuleNotFoundError as error:
    msg = (
        f"busduct.endpoint.echo needs {error.name}; "
        "install the extra 'endpoint': pip install 'busduct[endpoint]'"
    )
    raise ImportError(msg, name=error.name) from error

from busduct.endpoint.echo._config import Delay, EchoConfig
from busduct.endpoint.echo._server import EchoServer

__all__ = ["Delay", "EchoConfig", "EchoServer"]
