"""Who lives where: namespaces, their addresses, and the ways between them.

    client(s) -- r1 ==LINK== r2 -- sites, crowd, ctl-a, ctl-c
                              \\====LINK==== ctl-b        (a helper that has a censor of its own)

Addresses look public, since bogons are judged specially; nothing has a way out. What no namespace has is silent.
"""

import msgspec

SYSTEM, PUBLIC, ENCRYPTED = "8.8.4.4", "8.8.8.8", "9.9.9.9"
DOH = f"https://dns.example/dns-query?bootstrap={ENCRYPTED}"
SILENT = "192.241.9.9"  # runs no resolver, nor anything else
NOWHERE, NOWHERE_SIX = "185.15.58.1", "2a02:ec80::1"  # nobody has these: silent for everybody
LEAVES = ("36.110.255.254", "240e:37::1")  # of r1, as clients see it
BORDER = ("202.97.33.1", "240e:97::1")  # of r2, as r1 sees it
CLIENTS = ("36.110.0.0/16", "240e:36::/48")
BOX, BOX_SIX = "202.97.60.9", "240e:60::9"  # the censor's own server, as sites see it


class House(msgspec.Struct, frozen=True):
    """A namespace behind r2; every address of its prefixes is its own."""

    name: str
    address: str
    six: str
    prefixes: tuple[str, ...] = ()


HOUSES = (
    House("sites", "93.184.0.1", "2606:2800:21f::1",
          ("93.184.0.0/16", "151.101.0.0/16", "146.75.0.0/16", "23.53.0.0/16", "8.8.8.0/24", "8.8.4.0/24", "9.9.9.0/24",
           "2606:2800:21f::/48", "2a04:4e42::/32", "64:ff9b::/96")),
    House("crowd", "142.250.0.1", "2607:f8b0::1",
          ("142.250.0.0/16", "31.13.0.0/16", "104.244.0.0/16", "162.125.0.0/16", "2607:f8b0::/32", "2a03:2880::/32")),
    House("ctl-a", "192.241.1.1", "2604:a880::1"),
    House("ctl-c", "45.33.32.7", "2600:3c01::7"),
    House("ctl-b", "103.21.244.9", "2400:cb00::9"),
)  # fmt: skip
HELPERS = {house.name[-1].upper(): house for house in HOUSES if house.name.startswith("ctl-")}
CENSORED = "B"  # the helper whose way to the sites crosses a link of its own
HELPER_PORT = 8081


def client_addresses(number: int) -> tuple[str, str]:
    """The addresses of the client of that number, from 1."""
    return f"36.110.{number // 250}.{number % 250 + 1}", f"240e:36::{number:x}"


def helper_url(name: str) -> str:
    """Where a helper listens."""
    return f"http://{HELPERS[name].address}:{HELPER_PORT}/"
