"""Where a socket listens, and where it connects to."""

from typing import TYPE_CHECKING

from busduct._fallback._acceptor import Acceptor
from busduct._fallback._connector import Connector
from busduct._fallback._endpoint import check_text, parse_endpoint
from busduct._fallback._inproc import InprocConnector, InprocListener, InprocNames
from busduct._fallback._listener import open_listener
from busduct.errors import LocalProtocolError

if TYPE_CHECKING:
    from busduct._fallback._pattern import Pattern

__all__ = ["Endpoints"]


class Endpoints:
    """The endpoints of one socket.

    Attributes:
        last: The endpoint bound last.
    """

    def __init__(self, pattern: "Pattern", names: InprocNames) -> None:
        self._pattern = pattern
        self._names = names
        self._acceptors: list[Acceptor | InprocListener] = []
        self._connectors: list[Connector | InprocConnector] = []
        self.last = ""

    @property
    def num_connectors(self) -> int:
        """How many endpoints are connected to."""
        return len(self._connectors)

    def bind(self, text: str, *, insecure: bool) -> str:
        """Listen; return the endpoint really bound."""
        endpoint = parse_endpoint(text)
        pattern = self._pattern
        if endpoint.name:
            listener = InprocListener(pattern, endpoint, self._names)
            self._acceptors.append(listener)
            self.last = listener.endpoint
            listener.start()
            return self.last
        opened = open_listener(endpoint, text, pattern.options, insecure=insecure)
        self._acceptors.append(Acceptor(pattern, opened, insecure=insecure))
        self.last = opened.endpoint
        return self.last

    def unbind(self, endpoint: str) -> None:
        """Stop listening at an endpoint."""
        check_text(endpoint)
        for acceptor in self._acceptors:
            if acceptor.endpoint == endpoint:
                self._acceptors.remove(acceptor)
                acceptor.close()
                return
        msg = f"nothing is bound at {endpoint}"
        raise LocalProtocolError(msg)

    def connect(self, text: str, *, insecure: bool) -> None:
        """Connect, now and whenever the connection is lost."""
        endpoint = parse_endpoint(text)
        connector = (
            InprocConnector(self._pattern, endpoint, self._names)
            if endpoint.name
            else Connector(self._pattern, endpoint, insecure=insecure)
        )
        self._connectors.append(connector)
        connector.start()

    def disconnect(self, endpoint: str) -> None:
        """End the connection to an endpoint."""
        check_text(endpoint)
        for connector in self._connectors:
            if str(connector.endpoint) == endpoint:
                self._connectors.remove(connector)
                connector.stop()
                if connector.link is not None:
                    connector.link.flush()
                if connector.link is not None and not connector.link.part():
                    connector.link.close(None)
                return
        msg = f"nothing is connected at {endpoint}"
        raise LocalProtocolError(msg)

    def stop_listening(self) -> None:
        """Stop listening everywhere."""
        while self._acceptors:
            self._acceptors.pop(0).close()

    def stop_connecting(self) -> None:
        """Connect to nothing any more; the links stay."""
        while self._connectors:
            self._connectors.pop().stop()
