"""A TLS handshake: what came of it, what the certificate was worth, and how many bytes were seen before the end."""

import asyncio
import hashlib
import ssl

import pytest

from probes import http, tcp
from probes.certificate import Authorities
from probes.tls import TLSHandshake, TLSStream
from probes.trace import Trace
from probes.url import parse_url
from tests.pki import TestAuthority

from .loopback import HASTY, SITE, Place, Serve, abort, closes, der, gone, page, place, refusing, says, silent

NAME = "good.example"


def shaken(
    authorities: Authorities, serve: Serve, name: str = NAME, *, hasty: bool = False, bytes_: int = 0,
    context: ssl.SSLContext | None = None,
) -> tuple[TLSHandshake, Trace]:  # fmt: skip
    """The handshake with a server, with TLS where a context is given."""

    async def run() -> tuple[TLSHandshake, Trace]:
        async with place() as here:
            here.limits = HASTY if hasty else here.limits
            if bytes_:
                here.limits = type(here.limits)(handshake_bytes=bytes_)
            await here.listen(serve, (SITE, 443), ssl=context)
            return await here.shake(authorities, name)

    return asyncio.run(run())


def test_a_good_handshake(pki: TestAuthority, authorities: Authorities) -> None:
    pem = pki.issue(NAME)
    context = pki.server_context(pem)
    context.set_alpn_protocols(["h2", "http/1.1"])
    found, trace = shaken(authorities, closes, context=context)
    leaf = der(pem.read_bytes())
    assert found.valid
    assert (found.failure, found.certificate_failure, found.alert) == (None, None, "")
    assert (found.version, found.alpn, found.server_name) == ("TLSv1.3", "http/1.1", NAME)
    assert (found.address, found.port, found.flow) == (SITE, 443, 1)
    assert found.cipher.startswith("TLS_")
    assert found.chain == (hashlib.sha256(leaf).hexdigest(),)
    assert trace.certificates == {found.chain[0]: leaf}
    assert 500 < found.received < 5000


@pytest.mark.parametrize(
    ("make", "name", "failure"),
    [
        ("expired", NAME, "ssl_invalid_certificate"),
        ("self_signed", NAME, "ssl_unknown_authority"),
        ("issue", "other.example", "ssl_invalid_hostname"),
    ],
)
def test_a_bad_certificate_is_a_fact_and_no_failure(
    pki: TestAuthority, authorities: Authorities, make: str, name: str, failure: str
) -> None:
    context = pki.server_context(getattr(pki, make)(NAME))
    found, _trace = shaken(authorities, closes, name, context=context)
    assert (found.failure, found.certificate_failure) == (None, failure)
    assert not found.valid
    assert len(found.chain) == 1


@pytest.mark.parametrize(("name", "sent"), [(NAME, NAME), ("198.51.100.7", None), ("", None)])
def test_the_name_is_sent_and_an_address_is_not(
    pki: TestAuthority, authorities: Authorities, name: str, sent: str | None
) -> None:
    context, seen = pki.server_context(pki.issue(NAME, "198.51.100.7")), []
    context.sni_callback = lambda _ssl, server_name, _context: seen.append(server_name)
    found, _trace = shaken(authorities, closes, name, context=context)
    assert found.failure is None
    assert found.valid is bool(name)
    assert seen == [sent]


def test_a_chain_is_kept_leaf_first(pki: TestAuthority, authorities: Authorities) -> None:
    pem = pki.issue(NAME)
    pem.write_bytes(pem.read_bytes() + pki.root.read_bytes())
    found, trace = shaken(authorities, closes, context=pki.server_context(pem))
    assert [trace.certificates[digest] for digest in found.chain] == [der(pem.read_bytes()), der(pki.root.read_bytes())]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_refuses_the_name(pki: TestAuthority, authorities: Authorities, version: ssl.TLSVersion) -> None:
    context = pki.server_context(pki.issue(NAME))
    context.maximum_version = version
    context.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    found, _trace = shaken(authorities, refusing(context))
    assert found.failure == "ssl_invalid_hostname"
    assert "UNRECOGNIZED_NAME" in found.alert
    assert found.received == 7  # one alert record


def test_a_server_that_knows_no_common_cipher(pki: TestAuthority, authorities: Authorities) -> None:
    context = pki.server_context(pki.issue(NAME))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")  # its key is no RSA key
    found, _trace = shaken(authorities, refusing(context))
    assert (found.failure, "HANDSHAKE_FAILURE" in found.alert) == ("ssl_failed_handshake", True)


async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4096)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def plain_and_gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await plain(reader, writer)
    await abort(writer)


async def part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4096)
    writer.write(b"\x16\x03\x03\x00\x50\x02")  # the beginning of a record


@pytest.mark.parametrize(
    ("serve", "failure", "received"),
    [
        (plain, "ssl_failed_handshake", 28),
        (plain_and_gone, "ssl_failed_handshake", 28),
        (part, "eof_error", 6),
        (closes, "eof_error", 0),
        (gone, "connection_reset", 0),
        (silent, "generic_timeout_error", 0),
    ],
)
def test_what_is_no_handshake(authorities: Authorities, serve: Serve, failure: str, received: int) -> None:
    found, trace = shaken(authorities, serve, hasty=True)
    assert (found.failure, found.received) == (failure, received)
    assert (found.alert, found.chain, found.version) == ("", (), "")
    assert not found.valid
    assert trace.certificates == {}


def test_nonsense_from_a_peer_that_has_gone_is_still_nonsense(authorities: Authorities) -> None:
    async def run() -> None:
        async with place() as here:
            await here.listen(plain_and_gone, (SITE, 443))
            trace = here.trace()
            stream = await tcp.connect(trace, SITE, 443)
            assert stream is not None
            secured = TLSStream(stream, NAME, 10_000)
            with pytest.raises(ssl.SSLWantReadError):
                secured.tls.do_handshake()
            await secured._flush()
            await asyncio.sleep(0.15)  # the reset is here, and our alert will find nobody
            with pytest.raises(ssl.SSLError, match=r"(?i)wrong.version"):
                await secured.handshake()
            secured.close()

    asyncio.run(run())


def test_a_handshake_has_a_limit_in_bytes(pki: TestAuthority, authorities: Authorities) -> None:
    found, _trace = shaken(authorities, closes, context=pki.server_context(pki.issue(NAME)), bytes_=300)
    assert (found.failure, found.received) == ("ssl_failed_handshake", 300)


def test_a_handshake_that_is_cancelled_leaves_no_socket(authorities: Authorities) -> None:
    async def run() -> None:
        async with place() as here:
            await here.listen(silent, (SITE, 443))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await here.shake(authorities)

    asyncio.run(run())


async def fetch(here: Place, authorities: Authorities) -> http.HTTPRoundTrip:
    return (await here.fetch(f"https://{NAME}/", authorities=authorities))[0]


def exchanged(
    pki: TestAuthority, authorities: Authorities, serve: Serve, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> http.HTTPRoundTrip:
    async def run() -> http.HTTPRoundTrip:
        async with place() as here:
            context = pki.server_context(pki.issue(NAME))
            context.maximum_version = version
            await here.listen(serve, (SITE, 443), ssl=context)
            return await fetch(here, authorities)

    return asyncio.run(run())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_page_over_tls(pki: TestAuthority, authorities: Authorities, version: ssl.TLSVersion) -> None:
    body = b"<title>x</title>" + b"y" * 100_000
    found = exchanged(pki, authorities, says(page(body)), version)
    assert (found.failure, found.status, found.body_length) == (None, 200, len(body))
    assert found.received > len(body) + 500


def test_a_page_that_ends_with_the_connection(pki: TestAuthority, authorities: Authorities) -> None:
    found = exchanged(pki, authorities, says(b"HTTP/1.1 200 OK\r\n\r\nhello"))
    assert (found.failure, found.status, found.body_length) == (None, 200, 5)


def test_a_close_and_a_reset_in_the_middle_of_a_page(pki: TestAuthority, authorities: Authorities) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    ended = exchanged(pki, authorities, says(half))
    assert (ended.failure, ended.status, ended.body_length) == ("eof_error", 200, 4)
    reset = exchanged(pki, authorities, says(half, reset=True))
    assert (reset.failure, reset.status, reset.body_length) == ("connection_reset", 200, 4)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_wants_a_client_certificate(
    pki: TestAuthority, authorities: Authorities, version: ssl.TLSVersion
) -> None:
    """In TLS 1.3 it says so only after the handshake, when the request is on its way."""

    async def run() -> None:
        async with place() as here:
            context = pki.server_context(pki.issue(NAME))
            context.maximum_version, context.verify_mode = version, ssl.CERT_REQUIRED
            context.load_verify_locations(pki.root)
            await here.listen(refusing(context), (SITE, 443))
            if version is ssl.TLSVersion.TLSv1_2:
                found, _trace = await here.shake(authorities)
                assert (found.failure, "ALERT" in found.alert) == ("ssl_failed_handshake", True)
                return
            after = await fetch(here, authorities)
            assert (after.failure, after.status) == ("ssl_failed_handshake", 0)

    asyncio.run(run())


def test_records_cut_in_the_middle_by_a_close(pki: TestAuthority, authorities: Authorities) -> None:
    """A relay in the path ends the connection in the middle of a record: the page is not whole."""

    async def run() -> None:
        async with place() as here:
            context = pki.server_context(pki.issue(NAME))
            site = await here.listen(says(page(b"x" * 9000)), (SITE, 444), ssl=context)

            async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", site)
                room = 6000

                async def forth() -> None:
                    while data := await reader.read(4096):
                        far_writer.write(data)

                async with asyncio.TaskGroup() as group:
                    task = group.create_task(forth())
                    while room and (data := await far_reader.read(room)):
                        writer.write(data)
                        room -= len(data)
                    task.cancel()
                far_writer.close()

            await here.listen(relay, (SITE, 443))
            found = await fetch(here, authorities)
            assert found.failure == "eof_error"
            assert found.received == 6000

    asyncio.run(run())


def test_the_url_of_a_page_over_tls_is_kept(pki: TestAuthority, authorities: Authorities) -> None:
    found = exchanged(pki, authorities, says(page()))
    assert found.url == str(parse_url(f"https://{NAME}/"))
    assert found.body_sha256 == ""
