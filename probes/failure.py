"""How a failure is called: OONI's strings (data format df-007), never Python's."""

import errno
import ssl

TIMEOUT = "generic_timeout_error"
EOF = "eof_error"
RESET = "connection_reset"
REFUSED = "connection_refused"
NXDOMAIN = "dns_nxdomain_error"
NO_ANSWER = "dns_no_answer"
NOT_TRIED_RESIDUAL = "not_tried: residual"
NOT_TRIED_LOOPBACK = "not_tried: loopback"
NOT_TRIED_BOGON = "not_tried: bogon"
PROXY = "unknown_failure: proxy"  # the proxy itself: not there, does not let us in, or breaks off
PROXY_FAILED = "unknown_failure: proxy general failure"  # it could not reach the target, and does not say why
PROXY_REFUSES = "unknown_failure: proxy not allowed"  # it may not, or does not want to, reach the target

_ERRNO = {
    errno.ECONNREFUSED: REFUSED,
    errno.ECONNRESET: RESET,
    errno.EPIPE: RESET,
    errno.ECONNABORTED: "connection_aborted",
    errno.EHOSTUNREACH: "host_unreachable",
    errno.ENETUNREACH: "network_unreachable",
    errno.ENETDOWN: "network_down",
    errno.ENETRESET: "network_reset",
    errno.ETIMEDOUT: "timed_out",
    errno.EAFNOSUPPORT: "address_family_not_supported",
    errno.EACCES: "permission_denied",
    errno.EPERM: "permission_denied",
    errno.EADDRNOTAVAIL: "address_not_available",
    errno.EINVAL: "invalid_argument",
    errno.EMFILE: "too_many_open_files",
    errno.ENOBUFS: "no_buffer_space",
    errno.EINTR: "interrupted",
}

RCODES = {
    2: "dns_servfail_error",
    3: NXDOMAIN,
    5: "dns_refused_error",
}

# The strings that may become a metric's label; anything else is counted as `other`.
KNOWN = (
    frozenset(_ERRNO.values())
    | frozenset(RCODES.values())
    | {
        TIMEOUT,
        EOF,
        NO_ANSWER,
        NOT_TRIED_RESIDUAL,
        NOT_TRIED_LOOPBACK,
        NOT_TRIED_BOGON,
        PROXY,
        PROXY_FAILED,
        PROXY_REFUSES,
        "connection_already_closed",
        "dns_server_misbehaving",
        "dns_bogon_error",
        "dns_reply_with_wrong_query_id",
        "android_dns_cache_no_data",
        "ssl_invalid_hostname",
        "ssl_unknown_authority",
        "ssl_invalid_certificate",
        "ssl_failed_handshake",
        "http_request_failed",
        "http_invalid_redirect_location_host",
        "http_too_many_redirects",
        "quic_incompatible_version",
    }
)


class Named(OSError):
    """A failure whose string is known where it is raised."""

    def __init__(self, failure: str) -> None:
        super().__init__(failure)
        self.failure = failure


def is_of_proxy(failure: str | None) -> bool:
    """Whether a failure is a proxy's own, so that it says nothing of the target."""
    return (failure or "").startswith(PROXY)


def of(error: BaseException) -> str:
    """The failure string of an exception that the network caused.

    asyncio raises `ConnectionResetError` both for an RST and for a plain close; only the first has an errno.
    """
    if isinstance(error, Named):
        return error.failure
    if isinstance(error, TimeoutError) and getattr(error, "errno", None) is None:
        return TIMEOUT
    if isinstance(error, ssl.SSLError):
        return of_tls(error)
    if isinstance(error, EOFError):
        return EOF
    if isinstance(error, OSError):
        if error.errno is None and isinstance(error, ConnectionResetError):
            return EOF
        return _ERRNO.get(error.errno or 0, f"unknown_failure: {_scrubbed(error)}")
    return f"unknown_failure: {_scrubbed(error)}"


def of_tls(error: ssl.SSLError) -> str:
    """The failure string of a TLS error: a refused name, an unexpected end, or a handshake that cannot work."""
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return EOF
    # An `SSLError` of our own making has no reason.
    if "UNRECOGNIZED_NAME" in (getattr(error, "reason", None) or ""):
        return "ssl_invalid_hostname"
    return "ssl_failed_handshake"


def of_rcode(rcode: int, answered: bool) -> str | None:
    """The failure string of a DNS response code; `answered` says whether records of the asked kind came."""
    if rcode == 0:
        return None if answered else NO_ANSWER
    return RCODES.get(rcode, "dns_server_misbehaving")


def _scrubbed(error: BaseException) -> str:
    """The error's kind without its text, which may hold addresses."""
    number = getattr(error, "errno", None)
    return f"{type(error).__name__}{f' errno {number}' if number else ''}"
