"""What is innocently wrong with a vantage's line, and must never be taken for a censor."""

from typing import Literal

import msgspec

PORTAL_HOST = "login.portal.example"
PORTAL_ADDRESS = "172.16.0.1"


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """`loss`: the share of connects and queries that nobody answers, 0 to 1; `latency`: seconds to and fro.

    `captive_portal`: ports 80 and 443 lead to a login page, by a redirect or in place; DNS stays right.
    `transparent_proxy`: port 80 goes where the Host header says, page unchanged, `Via` added.
    `intercepted_dns`: port 53 of any address is answered, rightly. `fake_addresses`: a local proxy gives
    addresses of 198.18/15. `wildcard`: the address that the own resolver gives for names that do not exist.
    `nat64`: the /96 prefix whose addresses the own resolver makes up (RFC 6147).
    """

    loss: float = 0.0
    latency: float = 0.0
    offline: Literal["", "unreachable", "silent"] = ""
    ipv6: Literal["works", "unreachable", "silent"] = "works"
    captive_portal: Literal["", "page", "redirect"] = ""
    transparent_proxy: bool = False
    intercepted_dns: bool = False
    fake_addresses: bool = False
    nat64: str = ""
    wildcard: str = ""


NONE = Trouble()
