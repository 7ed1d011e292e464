"""What there is in the simulated Internet: sites, nameservers, services, and who is at which address."""

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import msgspec

from .pki import Authority

Behaviour = Literal["normal", "down", "silent", "slow", "reset", "close", "stall", "loop", "dns_dead", "servfail"]
Door = Literal["open", "closed", "silent"]


class Site(msgspec.Struct, frozen=True):
    """A site: its names, where it is, and how it behaves.

    `behaviour`: `down` refuses connections, `silent` never answers them, `slow` waits `seconds` before the
    page, `reset` and `close` end every connection after the client's first bytes, `stall` stops half-way
    through the body, `loop` redirects for ever, `dns_dead` is NXDOMAIN, `servfail` has a DNSSEC fault
    (answered with CD=1).
    `http`: what port 80 does. `certificate`: `none` closes port 443. `redirect_to` sends all pages elsewhere.
    `unknown_name`: what its server does with an SNI, or the lack of one, that no site at the address has.
    `pages`: bodies of other paths. `rate`: bytes per second, 0 for no limit. `doh`: answers at /dns-query,
    `dot`: on port 853 (RFC 7858).
    `per_client`: for a client's name the fields that are different toward it, such as `addresses` (geo-DNS).
    """

    name: str
    addresses: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    body: bytes = b""
    title: str = ""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    certificate: Literal["valid", "expired", "self_signed", "wrong_name", "none"] = "valid"
    http: Literal["redirect", "serve", "closed"] = "redirect"
    redirect_to: str = ""
    behaviour: Behaviour = "normal"
    seconds: float = 1.0
    rate: int = 0
    pages: Mapping[str, bytes] = {}
    cname: str = ""
    https_record: str = ""  # the text of an HTTPS record (RFC 9460), such as `1 . alpn="h2,h3"`
    wildcard: bool = False  # every name below resolves too
    unknown_name: Literal["default", "alert", "reset"] = "default"
    doh: bool = False
    dot: bool = False
    per_client: Mapping[str, Mapping[str, Any]] = {}

    def seen_by(self, client: str) -> "Site":
        """The site as it is toward one client."""
        changes = self.per_client.get(client)
        return msgspec.structs.replace(self, **changes) if changes else self

    def names(self) -> tuple[str, ...]:
        """Its names as a certificate has them."""
        return (self.name, *self.aliases, *([f"*.{self.name}"] if self.wildcard else []))

    def everywhere(self) -> set[str]:
        """Its addresses toward anybody."""
        changed = (change.get("addresses", ()) for change in self.per_client.values())
        return {*self.addresses, *(address for addresses in changed for address in addresses)}

    def door(self, port: int) -> Door:
        """What a connect to its address and port meets."""
        secure = self.certificate != "none" and (port == 443 or (port == 853 and self.dot))
        served = secure or (port == 80 and self.http != "closed")
        if self.behaviour == "silent":
            return "silent"
        return "open" if served and self.behaviour != "down" else "closed"


class Closable(Protocol):
    """What the world shuts when it stops."""

    async def close(self) -> None:
        """Give all sockets back."""


DOH = Site("dns.example", ("9.9.9.9",), title="DNS over HTTPS", doh=True)


class World:
    """The truth, the same for all clients but where a site says otherwise; sites may change while it runs.

    `nameservers`: the public resolvers' addresses; `isp`: a client's own resolver, made up where left out.
    """

    def __init__(
        self,
        sites: Iterable[Site] = (),
        *,
        nameservers: Iterable[str] = ("8.8.8.8", "9.9.9.9"),
        isp: Mapping[str, str] | None = None,
        doh: Site | None = DOH,
    ) -> None:
        self.authority = Authority("Simulated Trust Services Root")
        self.stranger = Authority("Gateway Inspection CA")  # whom nobody trusts
        self._nameservers = set(nameservers)
        self._isp = dict(isp or {})
        self._services: dict[tuple[str, int, str], int] = {}
        self._open: list[Closable] = []
        self._sites: dict[str, Site] = {}
        self._by_name: dict[str, Site] = {}
        for site in (*sites, *([doh] if doh else [])):
            self.add(site)

    @property
    def authority_pem(self) -> bytes:
        """The root that vouches for the world's sites, for `[probe] ca_file`."""
        return self.authority.pem

    @property
    def sites(self) -> tuple[Site, ...]:
        """All sites, in the order in which they were added."""
        return tuple(self._sites.values())

    def add(self, site: Site) -> None:
        """Add a site, or replace the one of that name; raises TypeError for an unknown field."""
        for client in site.per_client:
            site.seen_by(client)
        self._sites[site.name] = site
        self._index()

    def change(self, name: str, **fields: Any) -> None:
        """Change some fields of a site, for instance `behaviour="down"`."""
        self.add(msgspec.structs.replace(self._sites[name], **fields))

    def remove(self, name: str) -> None:
        """Take a site out; its name is NXDOMAIN and its addresses are silent from then on."""
        del self._sites[name]
        self._index()

    def add_service(
        self,
        name: str,
        address: str,
        port: int,
        loopback_port: int,
        *,
        protocol: Literal["tcp", "udp"] = "tcp",
    ) -> None:
        """Put a server that listens on 127.0.0.1 at an address of the world; `name` resolves to it."""
        self._services[address, port, protocol] = loopback_port
        known = self._sites.get(name, Site(name, certificate="none", http="closed"))
        if address not in known.addresses:
            self.add(msgspec.structs.replace(known, addresses=(*known.addresses, address)))

    def service(self, address: str, port: int, protocol: str = "tcp") -> int | None:
        """The loopback port of the service at an address, or None."""
        return self._services.get((address, port, protocol))

    def site(self, name: str, client: str = "") -> Site | None:
        """The site of a name, wildcards included, as the client sees it."""
        found = self._by_name.get(name)
        while found is None and "." in name:
            name = name.partition(".")[2]
            parent = self._by_name.get(name)
            found = parent if parent is not None and parent.wildcard else None
        return found.seen_by(client) if found else None

    def at(self, address: str, client: str = "") -> list[Site]:
        """The sites at an address, the one that answers for unknown names first."""
        return [site.seen_by(client) for site in self._sites.values() if address in site.everywhere()]

    def pick(self, address: str, name: str, client: str = "") -> tuple[Site | None, bool]:
        """The site that a server at the address shows for a name, and whether the name is its own."""
        here = self.at(address, client)
        named = self.site(name, client)
        for site in here:
            if named is not None and site.name == named.name:
                return site, True
        return (here[0] if here else None), False

    def door(self, address: str, port: int, client: str = "") -> Door:
        """What a connect to an address and port meets; nobody answers where there is nothing."""
        if self.service(address, port) is not None:
            return "open"
        doors = [site.door(port) for site in self.at(address, client)]
        if "open" in doors:
            return "open"
        return "closed" if "closed" in doors or self.is_nameserver(address) else "silent"

    def is_nameserver(self, address: str) -> bool:
        """Whether the address runs a resolver."""
        return address in self._nameservers or address in self._isp.values()

    def resolver_of(self, client: str) -> str:
        """The address of the client's own resolver."""
        return self._isp.setdefault(client, f"185.12.64.{len(self._isp) + 1}")

    def attach(self, network: Closable) -> None:
        """Have a network closed when the world stops."""
        self._open.append(network)

    async def start(self) -> None:
        """Nothing runs before a network is used; here so that who starts the world need not know."""

    async def stop(self) -> None:
        """Close every network; connections under way are cut."""
        while self._open:
            await self._open.pop().close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        await self.stop()

    def _index(self) -> None:
        self._by_name = {name: site for site in self._sites.values() for name in (site.name, *site.aliases)}
