"""A table of networks in MaxMind's format, whoever made it: their fields have several names."""

from pathlib import Path
from typing import Any

import maxminddb

from .network import Network, network
from .table import Fault, ListError

_COUNTRY = ("country", "country_code", "registered_country")
_ASN = ("autonomous_system_number", "asn", "as_number")
_NAME = ("autonomous_system_organization", "as_name", "as_organization", "name", "organization")


class MMDB:
    """Networks in an open MMDB file, which is kept in memory."""

    def __init__(self, reader: maxminddb.Reader) -> None:
        self._reader = reader

    def lookup(self, address: str) -> Network | None:
        """See `Networks.lookup`. A record that makes no sense is none."""
        try:
            record = self._reader.get(address.partition("%")[0])
            if not isinstance(record, dict):
                return None
            return network(_country(record), _text(record, _ASN), _text(record, _NAME))
        except (ValueError, maxminddb.InvalidDatabaseError):  # ValueError: no address, or one the file cannot hold
            return None


def open_mmdb(path: Path) -> MMDB:
    """Raises ListError where it is no such file."""
    try:
        reader = maxminddb.open_database(path, maxminddb.MODE_MEMORY)
        reader.get("192.0.2.1")  # a file that is cut short is opened without complaint
    except OSError as error:
        raise ListError([Fault(str(path), 0, f"cannot be read: {error.strerror or error}")]) from None
    except (maxminddb.InvalidDatabaseError, ValueError, IndexError, UnicodeDecodeError) as error:
        raise ListError([Fault(str(path), 0, f"is no MMDB file: {error}")]) from None
    return MMDB(reader)


def _country(record: dict[str, Any]) -> str:
    """MaxMind's own tables nest it: {"country": {"iso_code": "CN"}}."""
    for key in _COUNTRY:
        value = record.get(key)
        found = value.get("iso_code") if isinstance(value, dict) else value
        if isinstance(found, str) and found:
            return found
    return ""


def _text(record: dict[str, Any], keys: tuple[str, ...]) -> str:
    return next((str(record[key]) for key in keys if isinstance(record.get(key), (str, int))), "")
