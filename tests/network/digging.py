"""The lab's namespaces, wires and routes, as `plan` draws them."""

from . import namespaces, plan


def dig() -> None:
    """Routers, houses, and the wires between them."""
    namespaces.make("r1", forwards=True)
    namespaces.make("r2", forwards=True)
    namespaces.make("box")
    for house in plan.HOUSES:
        namespaces.make(house.name)
        if house.name == "ctl-b":
            continue
        namespaces.join("r2", house.name)
        _wire(house)
    namespaces.join("r2", "box")
    namespaces.run("box", [
        f"addr add {plan.BOX}/32 dev lo", "addr add 169.254.7.2/30 dev r2", "rule add iif tun0 lookup 100",
        f"rule add from {plan.BOX} lookup 200", "route add local default dev lo table 100",
        "route add default via 169.254.7.1 dev r2 table 200", "-6 rule add iif tun0 lookup 100",
        "-6 route add local default dev lo table 100", f"-6 addr add {plan.BOX_SIX}/128 dev lo nodad",
        "-6 addr add fe80::2/64 dev r2 nodad", f"-6 rule add from {plan.BOX_SIX} lookup 200",
        "-6 route add default via fe80::1 dev r2 table 200",
    ])  # fmt: skip
    namespaces.run("r2", [
        "addr add 169.254.7.1/30 dev box", f"route add {plan.BOX}/32 via 169.254.7.2 dev box",
        "-6 addr add fe80::1/64 dev box nodad", f"-6 route add {plan.BOX_SIX}/128 via fe80::2 dev box",
    ])  # fmt: skip


def route() -> None:
    """What needs the links' devices."""
    four, six = plan.CLIENTS
    namespaces.run("r1", [
        "link set tun0 up", "route add default dev tun0", "-6 route add default dev tun0",
        f"addr add {plan.LEAVES[0]}/32 dev lo", f"addr add {plan.LEAVES[1]}/128 dev lo nodad",
    ])  # fmt: skip
    namespaces.run("r2", [
        "link set to-r1 up", f"addr add {plan.BORDER[0]}/32 dev to-r1", f"addr add {plan.BORDER[1]}/128 dev to-r1 nodad",
        f"route add {four} dev to-r1", f"-6 route add {six} dev to-r1",
        f"route add {plan.LEAVES[0]}/32 dev to-r1", f"-6 route add {plan.LEAVES[1]}/128 dev to-r1",
        "link set to-ctl-b up", "route add blackhole default", "-6 route add blackhole default",
    ])  # fmt: skip
    namespaces.run("box", ["link set tun0 up", "route add default dev tun0", "-6 route add default dev tun0"])
    house = plan.HELPERS[plan.CENSORED]
    namespaces.run(house.name, [
        "link set tun0 up", f"addr add {house.address}/32 dev tun0", f"addr add {house.six}/128 dev tun0 nodad",
        f"route add default dev tun0 src {house.address}", f"-6 route add default dev tun0 src {house.six}",
    ])  # fmt: skip
    namespaces.run("r2", [f"route add {house.address}/32 dev to-ctl-b", f"-6 route add {house.six}/128 dev to-ctl-b"])


def _wire(house: plan.House) -> None:
    """A house's addresses and its way to r2."""
    n = [h.name for h in plan.HOUSES].index(house.name)
    near, far = f"169.254.{n}.1", f"169.254.{n}.2"
    namespaces.run(house.name, [
        f"addr add {house.address}/32 dev lo", f"-6 addr add {house.six}/128 dev lo nodad",
        f"addr add {far}/30 dev r2", "-6 addr add fe80::2/64 dev r2 nodad",
        f"route add default via {near} dev r2 src {house.address}",
        f"-6 route add default via fe80::1 dev r2 src {house.six}",
        *(f"{'-6 ' if ':' in p else ''}route add local {p} dev lo" for p in house.prefixes),
    ])  # fmt: skip
    own = [f"{house.address}/32", f"{house.six}/128", *house.prefixes]
    namespaces.run("r2", [
        f"addr add {near}/30 dev {house.name}", f"-6 addr add fe80::1/64 dev {house.name} nodad",
        *(f"route add {p} via {far} dev {house.name}" for p in own if ":" not in p),
        *(f"-6 route add {p} via fe80::2 dev {house.name}" for p in own if ":" in p),
    ])  # fmt: skip
