"""TLS is verified unless told otherwise."""

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme
from tests.endpoint.http_exchange import client_of
from tests.endpoint.http_server import (
    OK,
    Peer,
    say_ok,
    serving,
)
from tests.processes.conditions import until

from busduct.endpoint._http._tls import tls_context
from busduct.errors import ConfigError

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


def server_side(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


async def test_trusted_certificate_is_accepted_and_reused(
    authority: trustme.CA, ca_file: str, any_loop: str
) -> None:
    body = b"x" * (4 << 20)
    arrived: list[int] = []

    async def script(peer: Peer) -> None:
        while True:
            arrived.append(len(await peer.request()))
            await peer.write(OK)

    tls = tls_context(ca_file=ca_file, insecure=False)
    async with (
        serving(script, tls=server_side(authority, "127.0.0.1")) as server,
        client_of(server.port, tls=tls) as client,
    ):
        for each in (b"a", body, b"b"):
            got = await client.ask(each)
            assert (got.error, got.body) == (None, b"{}")
        assert len(server.peers) == 1
    assert arrived == [1, len(body), 1]


@pytest.mark.parametrize("what", ["self-signed", "wrong host"])
async def test_certificate_that_proves_nothing_is_refused(
    what: str, authority: trustme.CA, ca_file: str, any_loop: str
) -> None:
    issuer = trustme.CA() if what == "self-signed" else authority
    name = "example.org" if what == "wrong host" else "127.0.0.1"
    tls = tls_context(ca_file=ca_file, insecure=False)
    async with (
        serving(say_ok, tls=server_side(issuer, name)) as server,
        client_of(server.port, tls=tls, max_retries=1000) as client,
    ):
        # At once: that will not be better next time.
        got = await client.ask()
        assert got.error is not None
        assert got.error.error_type == "connection"
        assert "certificate verify failed" in got.error.error_message
        assert (got.num_attempts, got.status) == (1, 0)
        # Nothing of the request was shown to it.
        assert not server.peers


async def test_insecure_accepts_any_certificate(any_loop: str) -> None:
    tls = tls_context(ca_file=None, insecure=True)
    async with (
        serving(say_ok, tls=server_side(trustme.CA(), "example.org")) as server,
        client_of(server.port, tls=tls) as client,
    ):
        assert (await client.ask()).error is None


async def test_server_without_tls_is_an_error(any_loop: str) -> None:
    tls = tls_context(ca_file=None, insecure=True)
    async with (
        serving(say_ok) as server,
        client_of(server.port, tls=tls, max_retries=0, timeout=0.5) as client,
    ):
        got = await client.ask()
        assert got.error is not None
        assert got.error.error_type == "connection"


async def test_tls_connection_closed_while_idle_is_not_used(
    authority: trustme.CA, ca_file: str, any_loop: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.write(OK)

    tls = tls_context(ca_file=ca_file, insecure=False)
    async with (
        serving(script, tls=server_side(authority, "127.0.0.1")) as server,
        client_of(server.port, tls=tls) as client,
    ):
        for _ in range(3):
            assert (await client.ask()).error is None
            await until(lambda: client.pool.num_open == 0)


async def test_a_handshake_that_stalls_ends_at_the_timeout(any_loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    tls = tls_context(ca_file=None, insecure=True)
    async with (
        serving(script) as server,
        client_of(server.port, tls=tls, max_retries=0, timeout=0.2) as client,
    ):
        got = await asyncio.wait_for(client.ask(), 20)
        assert got.error is not None
        assert got.error.error_message.endswith("timed out after 0.2 s")
        await until(lambda: server.num_open == 0)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_ca_file_that_cannot_be_used_is_a_config_error(
    content: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"ca\.pem"):
        tls_context(ca_file=str(path), insecure=False)


def test_certificates_are_verified_by_default() -> None:
    context = tls_context(ca_file=None, insecure=False)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
