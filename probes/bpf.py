"""The filter that the kernel applies to what is captured: classic BPF, made anew for each set of addresses.

A packet socket of the type SOCK_DGRAM shows it packets from their network header on, whatever the link is.
Source of the encoding: linux/filter.h and Documentation/networking/filter.rst.
"""

import struct
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

SNAPLEN = 256  # bytes of a packet that are kept: headers with all options, and the beginning of what they carry
_IPV4, _IPV6 = 0x0800, 0x86DD  # EtherTypes
_PROTOCOL = 0xFFFFF000  # SKF_AD_OFF + SKF_AD_PROTOCOL: the EtherType, also where the link has no header
_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE = 0x20, 0x28, 0x30
_LOAD_WORD_AT_X, _LOAD_BYTE_AT_X, _X_IS_HEADER_LENGTH = 0x40, 0x50, 0xB1
_X_IS_IT, _XOR_X = 0x07, 0xAC
_JUMP, _JUMP_IF_EQUAL, _RETURN = 0x05, 0x15, 0x06


class _Step(NamedTuple):
    code: int
    value: int
    if_true: int = 0  # steps to leap over
    if_false: int = 0


_KEEP, _DROP = _Step(_RETURN, SNAPLEN), _Step(_RETURN, 0)


def program(peers: Collection[bytes]) -> bytes:
    """The filter, as an array of `struct sock_filter`, for addresses of 4 or 16 bytes.

    It lets through TCP and UDP from and to them (IPv6: everything that may hide behind extension headers), and ICMP
    errors about packets that went to them. IPv6 addresses are folded to 32 bits, since the kernel has little memory for
    filters (20 KB, and the old one counts until the new one is there): who reads has to compare them.
    """
    four = _ipv4([peer for peer in peers if len(peer) == 4])
    six = _ipv6([peer for peer in peers if len(peer) == 16])
    head = [
        _Step(_LOAD_HALF, _PROTOCOL),
        _Step(_JUMP_IF_EQUAL, _IPV4, if_false=1),
        _Step(_JUMP, 2 + len(six)),  # a conditional jump reaches 255 steps only
        _Step(_JUMP_IF_EQUAL, _IPV6, if_true=1),
        _DROP,
    ]
    return b"".join(struct.pack("@HBBI", s.code, s.if_true, s.if_false, s.value) for s in (*head, *six, *four))


def _ipv4(peers: Collection[bytes]) -> list[_Step]:
    plain = [
        _Step(_JUMP_IF_EQUAL, 6, if_true=2),
        _Step(_JUMP_IF_EQUAL, 17, if_true=1),
        _DROP,
        _Step(_LOAD_WORD, 12),
        *_any_of(peers),
        _Step(_LOAD_WORD, 16),
        *_any_of(peers),
        _DROP,
    ]
    errors = [
        _Step(_X_IS_HEADER_LENGTH, 0),
        _Step(_LOAD_BYTE_AT_X, 0),
        _Step(_JUMP_IF_EQUAL, 3, if_true=2),  # destination unreachable
        _Step(_JUMP_IF_EQUAL, 11, if_true=1),  # time exceeded
        _DROP,
        _Step(_LOAD_WORD_AT_X, 8 + 16),  # the destination in the packet that is quoted
        *_any_of(peers),
        _DROP,
    ]
    return [
        _Step(_LOAD_BYTE, 9), _Step(_JUMP_IF_EQUAL, 1, if_false=1), _Step(_JUMP, len(plain)), *plain, *errors,
    ]  # fmt: skip


def _any_of(peers: Iterable[bytes]) -> Iterator[_Step]:
    """Keeps the packet where the word that was loaded is one of the addresses."""
    for peer in peers:
        yield _Step(_JUMP_IF_EQUAL, int.from_bytes(peer, "big"), if_false=1)
        yield _KEEP


def _ipv6(peers: Collection[bytes]) -> list[_Step]:
    plain = [*_folded(8), *_any_of(map(_fold, peers)), *_folded(24), *_any_of(map(_fold, peers)), _DROP]
    errors = [
        _Step(_LOAD_BYTE, 40),
        *(_Step(_JUMP_IF_EQUAL, kind, if_true=4 - kind) for kind in (1, 2, 3)),  # unreachable, too big, time exceeded
        _DROP,
        *_folded(40 + 8 + 24),
        *_any_of(map(_fold, peers)),
        _DROP,
    ]
    return [
        _Step(_LOAD_BYTE, 6), _Step(_JUMP_IF_EQUAL, 58, if_false=1), _Step(_JUMP, len(plain)), *plain, *errors,
    ]  # fmt: skip


def _folded(offset: int) -> Iterator[_Step]:
    """Loads the four words of an address as one."""
    yield _Step(_LOAD_WORD, offset)
    for word in (4, 8, 12):
        yield _Step(_X_IS_IT, 0)
        yield _Step(_LOAD_WORD, offset + word)
        yield _Step(_XOR_X, 0)


def _fold(peer: bytes) -> bytes:
    """The same of an address here."""
    words = struct.unpack("!4I", peer)
    return struct.pack("!I", words[0] ^ words[1] ^ words[2] ^ words[3])
