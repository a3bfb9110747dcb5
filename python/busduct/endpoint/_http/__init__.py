"""HTTP/1.1 to one endpoint: requests in order over a pool of connections."""

try:
    import httptools  # noqa: F401
except ModuleNotFoundError as error:
    msg = (
        f"workers of an endpoint client need {error.name}; "
        "install the extra 'endpoint': pip install 'busduct[endpoint]'"
    )
    raise ImportError(msg, name=error.name) from error
