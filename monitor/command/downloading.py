"""One file over HTTPS, whole or not at all: bounded in size, time and redirects, and never over plain HTTP."""

import asyncio

import aiohttp
import msgspec
from yarl import URL

from blocklists.table import MAX_BYTES
from blocklists.update import Version
from monitor import __version__
from monitor.publish.text import printable

MAX_REDIRECTS = 5
DEADLINE = 120.0  # seconds for one file, from the first packet to the last
_MOVED = (301, 302, 303, 307, 308)


class DownloadError(ValueError):
    """Nothing usable came; str() is the reason, on one line."""


class Download(msgspec.Struct, frozen=True):
    """What came; `data` is None where the server says that the known version is the present one."""

    data: bytes | None
    version: Version


async def download(
    client: aiohttp.ClientSession,
    url: str,
    *,
    known: Version | None,
    deadline: float = DEADLINE,
    limit: int = MAX_BYTES,
) -> Download:
    """The file at a URL, where it is another than the `known` version. Raises DownloadError."""
    try:
        async with asyncio.timeout(deadline):
            return await _follow(client, URL(url, encoded=True), url, known, limit)
    except TimeoutError:
        raise DownloadError(f"did not come whole within {deadline:g} seconds") from None
    except DownloadError as error:
        raise DownloadError(printable(str(error))) from None  # it may name what the server sent
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise DownloadError(f"cannot be had: {printable(str(error) or type(error).__name__)}") from error


async def _follow(client: aiohttp.ClientSession, at: URL, url: str, known: Version | None, limit: int) -> Download:
    for _hop in range(MAX_REDIRECTS + 1):
        if at.scheme != "https":
            raise DownloadError(f"is redirected to {at}, and only https is allowed")
        async with client.get(at, headers=_headers(known), allow_redirects=False) as response:
            if response.status not in _MOVED:
                return await _read(response, url, known, limit)
            location = response.headers.get("Location", "")
            if not location:
                raise DownloadError(f"answers status {response.status} without saying where to go")
            at = at.join(URL(location))
    raise DownloadError(f"is redirected more than {MAX_REDIRECTS} times")


async def _read(response: aiohttp.ClientResponse, url: str, known: Version | None, limit: int) -> Download:
    if response.status == 304 and known is not None:
        return Download(None, known)
    if response.status != 200:
        raise DownloadError(f"answers status {response.status}")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise DownloadError("comes compressed, which was not asked for")
    data = bytearray()
    async for part in response.content.iter_chunked(64 * 1024):
        data += part
        if len(data) > limit:
            raise DownloadError(f"is larger than {limit // (1024 * 1024)} MB")
    if data[:512].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        raise DownloadError("is a web page, no list")
    version = Version(
        url=url,
        etag=response.headers.get("ETag", "")[:256],
        last_modified=response.headers.get("Last-Modified", "")[:64],
    )
    return Download(bytes(data), version)


def _headers(known: Version | None) -> dict[str, str]:
    # Not compressed: what is counted is what is kept, and a small answer cannot grow to gigabytes.
    headers = {"Accept-Encoding": "identity", "User-Agent": f"wallwatch/{__version__}"}
    if known is not None and known.etag:
        headers["If-None-Match"] = known.etag
    if known is not None and known.last_modified:
        headers["If-Modified-Since"] = known.last_modified
    return headers
