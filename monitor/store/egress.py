"""Where each vantage's way out ends, as it was confirmed: by a first look, or by the operator since."""

import sqlite3
from collections.abc import Mapping
from datetime import datetime

from blocklists.network import Network


def confirmed(connection: sqlite3.Connection) -> Mapping[str, Network]:
    """Vantage → network."""
    rows = connection.execute("SELECT vantage, country, asn, name FROM egress")
    return {vantage: Network(country=country, asn=asn, name=name) for vantage, country, asn, name in rows}


def confirm(connection: sqlite3.Connection, vantage: str, network: Network, *, now: datetime) -> None:
    """Keep the network that is right from now on, in the place of the one before."""
    connection.execute(
        "INSERT OR REPLACE INTO egress (vantage, country, asn, name, confirmed_at) VALUES (?, ?, ?, ?, ?)",
        [vantage, network.country, network.asn, network.name, now.timestamp()],
    )
