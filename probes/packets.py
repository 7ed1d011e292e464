"""The packets of one connection as they were on the wire, read into facts."""

import msgspec


class Packet(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One TCP packet. `at`: seconds of the measurement; `inbound`: it came to us; `flags` by their letters (`SA`, `R`).

    `ttl` is the remaining IP TTL or hop limit, `ip_id` the identification (None for IPv6), `df` "don't fragment",
    `window` as sent (unscaled), `length` bytes of payload, `payload` the first 32 of a reset's in hexadecimal.
    """

    at: float
    inbound: bool
    ttl: int
    flags: str
    window: int
    ip_id: int | None = None
    df: bool = False
    sequence: int = 0
    acknowledged: int = 0
    length: int = 0
    payload: str = ""


class Flow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The first packets of one TCP connection, in the order of their arrival here. `local_port` links it with a
    `TCPConnect`."""

    address: str
    port: int
    local_port: int
    packets: tuple[Packet, ...] = ()

    @property
    def resets(self) -> tuple[Packet, ...]:
        """The resets that came to us."""
        return tuple(p for p in self.packets if p.inbound and "R" in p.flags)
