"""Every exception that a network can cause has OONI's name for it."""

import errno
import socket
import ssl

import pytest

from probes import failure as failures


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError(), "generic_timeout_error"),
        (TimeoutError(errno.ETIMEDOUT, "timed out"), "timed_out"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "connection_reset"),
        (ConnectionResetError(), "eof_error"),  # asyncio's way to say that the peer closed
        (BrokenPipeError(errno.EPIPE, "pipe"), "connection_reset"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "connection_refused"),
        (ConnectionAbortedError(errno.ECONNABORTED, "aborted"), "connection_aborted"),
        (OSError(errno.EHOSTUNREACH, "no route"), "host_unreachable"),
        (OSError(errno.ENETUNREACH, "no network"), "network_unreachable"),
        (OSError(errno.EAFNOSUPPORT, "family"), "address_family_not_supported"),
        (OSError(errno.ENOSPC, "secret 10.0.0.1"), f"unknown_failure: OSError errno {errno.ENOSPC}"),
        (OSError("secret"), "unknown_failure: OSError"),
        (socket.gaierror(-9, "family"), "unknown_failure: gaierror errno -9"),
        (EOFError(), "eof_error"),
        (UnicodeError("secret"), "unknown_failure: UnicodeError"),
        (ssl.SSLEOFError(8, "eof"), "eof_error"),
        (ssl.SSLZeroReturnError(6, "closed"), "eof_error"),
        (ssl.SSLError(1, "anything"), "ssl_failed_handshake"),
    ],
)
def test_the_name_of_an_exception(error: BaseException, expected: str) -> None:
    assert failures.of(error) == expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("TLSV1_UNRECOGNIZED_NAME", "ssl_invalid_hostname"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "ssl_failed_handshake"),
        (None, "ssl_failed_handshake"),
    ],
)
def test_the_name_of_a_tls_error(reason: str | None, expected: str) -> None:
    error = ssl.SSLError(1, "")
    error.reason = reason  # type: ignore[assignment]
    assert failures.of_tls(error) == expected


@pytest.mark.parametrize(
    ("rcode", "answered", "expected"),
    [
        (0, True, None),
        (0, False, "dns_no_answer"),
        (2, False, "dns_servfail_error"),
        (3, False, "dns_nxdomain_error"),
        (3, True, "dns_nxdomain_error"),
        (5, False, "dns_refused_error"),
        (1, False, "dns_server_misbehaving"),
        (23, True, "dns_server_misbehaving"),
    ],
)
def test_the_name_of_a_response_code(rcode: int, answered: bool, expected: str | None) -> None:
    assert failures.of_rcode(rcode, answered) == expected


def test_the_names_for_labels_are_few_and_hold_no_free_text() -> None:
    assert {"connection_reset", "dns_nxdomain_error", "not_tried: residual"} <= failures.KNOWN
    unknown = {name for name in failures.KNOWN if name.startswith("unknown_failure")}
    assert unknown == {failures.PROXY, failures.PROXY_FAILED, failures.PROXY_REFUSES}
    assert len(failures.KNOWN) < 50
