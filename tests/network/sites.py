"""The sites of the lab: one table. A line here is a server there, with its names in the DNS."""

import msgspec

from .plan import NOWHERE

V = "93.184"


class Site(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One site. Its page says its name.

    `addresses`: of the name, as everybody is told; `inside`: as clients are told instead, where not empty;
    `unlisted`: it is served there too, and nobody is told.
    `certificate`: good, expired, wrong_name, self_signed, none (no TLS); `http`: `redirect` (to https), `serve`, `none`.
    `by`: `nginx`, or what the own server does: `reset` (by RST after the ClientHello or request), `silence`, `close`,
    `reset_others` (RST for every other name), `nobody` (nothing listens). `others`: what nginx does with names that it
    does not know there: `first` (this site's page), `reject` (an alert).
    `status`, `inside_status`: of its page, for all and for clients; `location`: it redirects there; `body`: its page;
    `size`: bytes of its page; `rate`: bytes a second of it; `wait`: seconds before it; `h3`: it speaks HTTP/3.
    `rcode`: the name's DNS answer, 3 for a name that is not there; `ech`: its HTTPS record offers an encrypted hello.
    """

    name: str
    addresses: tuple[str, ...]
    inside: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    by: str = "nginx"
    certificate: str = "good"
    http: str = "redirect"
    others: str = "first"
    status: int = 200
    inside_status: int = 0
    location: str = ""
    title: str = ""
    body: str = ""
    size: int = 0
    rate: int = 0
    wait: float = 0.0
    h3: bool = False
    rcode: int = 0
    ech: bool = False


CONTROLS = tuple(f"control-{letter}.example" for letter in "abcd")
SITES: tuple[Site, ...] = (
    *(Site(name=name, addresses=(f"151.101.{n}.7", f"2a04:4e42:{n}::7")) for n, name in enumerate(CONTROLS, 10)),
    Site(name="site.example", addresses=(f"{V}.215.34",)),
    Site(name="six.example", addresses=(f"{V}.215.40", "2606:2800:21f::40")),
    Site(name="only-six.example", addresses=("2606:2800:21f::41",)),
    Site(name="plain.example", addresses=(f"{V}.215.42",), certificate="none", http="serve"),
    Site(name="one.cdn.example", addresses=(f"{V}.216.1",)),
    Site(name="two.cdn.example", addresses=(f"{V}.216.1",)),
    Site(name="geo.example", addresses=(f"{V}.216.3",), inside=("23.53.112.99",)),
    Site(name="double.example", addresses=(f"{V}.219.1",), unlisted=(f"{V}.219.2",)),
    Site(name="pair.example", addresses=(f"{V}.219.3", f"{V}.219.4")),
    Site(name="dual.example", addresses=(f"{V}.219.5", "2606:2800:21f::5")),
    Site(name="both.example", addresses=(f"{V}.219.6",), http="serve"),
    Site(name="nowhere.example", addresses=("127.0.0.1",), by="nobody"),
    Site(name="refuses-helper.example", addresses=(f"{V}.219.7",), status=403, inside_status=200),
    Site(name="refuses-helper-too.example", addresses=(f"{V}.219.8",), certificate="none", http="serve", status=403,
         inside_status=200),
    Site(name="refuses-us.example", addresses=(f"{V}.219.9",), certificate="none", http="serve", inside_status=403),
    Site(name="ech.example", addresses=(f"{V}.219.11",), ech=True),
    Site(name="nat.example", addresses=(f"{V}.219.10",), inside=("64:ff9b::5db8:db0a",)),
    Site(name="ipv4only.arpa", addresses=("192.0.0.170", "192.0.0.171", "64:ff9b::c000:aa", "64:ff9b::c000:ab"),
         by="nobody"),
    Site(name="strict.example", addresses=(f"{V}.216.4",), others="reject"),
    Site(name="nervous.example", addresses=(f"{V}.216.5",), by="reset_others"),
    Site(name="h3.example", addresses=(f"{V}.216.6",), h3=True),
    Site(name="dead.example", addresses=(NOWHERE,), by="nobody"),
    Site(name="refused.example", addresses=(f"{V}.217.1",), by="nobody"),
    Site(name="resetting.example", addresses=(f"{V}.217.2",), by="reset"),
    Site(name="closing.example", addresses=(f"{V}.217.3",), by="close"),
    Site(name="mute.example", addresses=(f"{V}.217.4",), by="silence"),
    Site(name="expired.example", addresses=(f"{V}.217.5",), certificate="expired"),
    Site(name="selfsigned.example", addresses=(f"{V}.217.6",), certificate="self_signed"),
    Site(name="wrongname.example", addresses=(f"{V}.217.7",), certificate="wrong_name"),
    Site(name="forbidden.example", addresses=(f"{V}.217.8",), certificate="none", http="serve", status=403),
    Site(name="geoblock.example", addresses=(f"{V}.217.9",), inside_status=403),
    Site(name="gone.example", addresses=(), rcode=3),
    Site(name="moved.example", addresses=(f"{V}.218.1",), location="https://next.example/"),
    Site(name="next.example", addresses=(f"{V}.218.2",)),
    Site(name="loop.example", addresses=(f"{V}.218.3",), location="https://loop.example/"),
    Site(name="big.example", addresses=(f"{V}.218.4",), size=1024 * 1024),
    Site(name="slow.example", addresses=(f"{V}.218.5",), size=1024 * 1024, rate=60_000),
    Site(name="tardy.example", addresses=(f"{V}.218.6",), wait=0.8),
    Site(name="notice.example", addresses=(f"{V}.218.7",), certificate="none", http="serve", title="Blocked"),
    Site(name="neighbour.example", addresses=(f"{V}.215.34",)),
)  # fmt: skip
BROKEN_ZONE = "bogus.example"  # its signatures do not verify: SERVFAIL, and with CD=1 the address of site.example
BROKEN_ADDRESS = f"{V}.215.34"
CROWD = 400  # sites n0.crowd.example … of which some are slow
CROWD_SLOW, CROWD_TARDY = "slow", "tardy"


def crowd_name(number: int, *, slow: bool = False) -> str:
    """A site of the crowd; the slow ones send slowly, every second of them begins late as well."""
    kind = "n" if not slow else CROWD_SLOW if number % 2 else CROWD_TARDY
    return f"{kind}{number}.crowd.example"


def crowd_address(number: int) -> str:
    """Where it is, whatever its kind."""
    return f"142.250.{1 + number // 200}.{1 + number % 200}"
