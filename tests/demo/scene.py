"""A small world for the tests, and the real probes sent into it."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from monitor.demo import trouble as troubles
from monitor.demo.censor import Censor, Rule
from monitor.demo.network import SimulatedNetwork
from monitor.demo.trouble import Trouble
from monitor.demo.world import Site, World
from probes import dns, http, tcp, tls, web
from probes.certificate import Authorities
from probes.dns import DNSLookup
from probes.http import HTTPRoundTrip
from probes.resolvers import parse_resolvers
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake
from probes.trace import Limits, Trace
from probes.url import parse_url

NEWS, NEWS_2, NEWS_6 = "151.101.64.81", "151.101.128.81", "2620:149:af0::10"
CALM = "93.184.215.14"
FORGED, FORGED_6 = "31.13.94.37", "2a03:2880:f10c:83:face:b00c:0:25de"
NOBODY = "203.1.2.3"  # runs nothing
PATIENT = Limits(timeout=10, dns_timeout=10, listen=0.12)  # a busy machine must not look like a blocked one
HASTY = Limits(timeout=0.4, dns_timeout=0.3, listen=0.12)  # where nobody is expected to answer

SITES = (
    Site("www.news.test", (NEWS, NEWS_2, NEWS_6), title="The News", http="serve"),
    Site("www.calm.test", (CALM,), title="Calm"),
)


class Scene:
    """One client in a world."""

    def __init__(self, world: World, network: SimulatedNetwork, authorities: Authorities) -> None:
        self.world, self.network, self.authorities = world, network, authorities
        self.censor = network.censor
        self.limits = PATIENT

    def trace(self) -> Trace:
        return Trace(self.network, limits=self.limits)

    async def ask(self, name: str, kind: str = "A", server: str = "8.8.8.8", *, cd: bool = False) -> DNSLookup:
        """One lookup with everything that was heard."""
        trace = self.trace()
        await dns.lookup(trace, name, kind, resolver="test", server=(server, 53), checking_disabled=cd)
        await trace.settle()
        (found,) = trace.operations
        assert isinstance(found, DNSLookup)
        return found

    async def getaddrinfo(self, name: str) -> DNSLookup:
        return await dns.getaddrinfo(self.trace(), name)

    async def dial(self, address: str = NEWS, port: int = 443) -> TCPConnect:
        trace = self.trace()
        stream = await tcp.connect(trace, address, port)
        if stream:
            stream.close()
        (found,) = trace.operations
        assert isinstance(found, TCPConnect)
        return found

    async def shake(self, name: str = "www.news.test", address: str = NEWS) -> TLSHandshake:
        """A handshake after a connect that must succeed."""
        trace = self.trace()
        stream = await tcp.connect(trace, address, 443)
        assert stream is not None, trace.operations
        secured = await tls.handshake(trace, stream, name, authorities=self.authorities)
        if secured:
            secured.close()
        found = trace.operations[-1]
        assert isinstance(found, TLSHandshake)
        return found

    async def fetch(self, url: str = "http://www.news.test/", address: str = NEWS) -> HTTPRoundTrip:
        """One exchange; https without a look at the certificate."""
        trace, parsed = self.trace(), parse_url(url)
        stream = await tcp.connect(trace, address, parsed.port)
        assert stream is not None, trace.operations
        channel: http.ByteStream | None = stream
        if parsed.scheme == "https":
            channel = await tls.handshake(trace, stream, parsed.host, authorities=self.authorities)
        assert channel is not None, trace.operations
        try:
            return await http.fetch(
                trace, channel, parsed, address=address, port=parsed.port, received=lambda: stream.received
            )
        finally:
            stream.close()

    async def open(self, url: str, *resolvers: str) -> Trace:
        """A page as a user opens it; all that was recorded."""
        trace = self.trace()
        plan = web.Plan(resolvers=parse_resolvers(["system", *resolvers]), authorities=self.authorities)
        await web.open_page(trace, parse_url(url), plan)
        await trace.settle()
        return trace


@asynccontextmanager
async def scene(
    *rules: Rule,
    sites: Iterable[Site] = SITES,
    trouble: Trouble = troubles.NONE,
    client: str = "home",
    seed: int = 0,
    hasty: bool = False,
) -> AsyncIterator[Scene]:
    async with World(sites) as world:
        network = SimulatedNetwork(world, client, Censor(rules, seed=seed), trouble)
        here = Scene(world, network, authorities_of(world))
        here.limits = HASTY if hasty else PATIENT
        yield here


def authorities_of(world: World) -> Authorities:
    with NamedTemporaryFile(suffix=".pem") as file:
        file.write(world.authority_pem)
        file.flush()
        return Authorities(Path(file.name))


def pages(trace: Trace) -> list[HTTPRoundTrip]:
    return [step for step in trace.operations if isinstance(step, HTTPRoundTrip)]
