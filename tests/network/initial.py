"""A QUIC v1 Initial, opened as any observer can (RFC 9001): its keys follow from the connection id that it carries."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from .hello import client_hello_name

_SALT = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")  # RFC 9001 section 5.2
_VERSION = b"\0\0\0\x01"
_PADDING, _PING, _ACKS, _CRYPTO = 0, 1, (2, 3), 6


def is_initial(datagram: bytes) -> bool:
    """Whether it begins with a client's Initial of version 1."""
    return len(datagram) >= 1200 and datagram[0] & 0xF0 == 0xC0 and datagram[1:5] == _VERSION


def quic_name(datagram: bytes) -> str | None:
    """The SNI of the ClientHello in a datagram's first Initial; None where it is not there or not whole."""
    if not is_initial(datagram):
        return None
    try:
        return client_hello_name(_crypto(_opened(datagram)))
    except (IndexError, ValueError, InvalidTag):
        return None


def _opened(data: bytes) -> bytes:
    at = 5
    connection_id = data[at + 1 : at + 1 + data[at]]
    at += 1 + data[at]
    at += 1 + data[at]
    length, at = _integer(data, at)
    at += length  # the token
    length, at = _integer(data, at)
    key, iv, mask_key = _keys(connection_id)
    sample = data[at + 4 : at + 20]
    encryptor = Cipher(algorithms.AES(mask_key), modes.ECB()).encryptor()
    mask = encryptor.update(sample) + encryptor.finalize()
    first = data[0] ^ (mask[0] & 0x0F)
    size = (first & 3) + 1
    number = bytes(b ^ m for b, m in zip(data[at : at + size], mask[1:], strict=False))
    header = bytes([first]) + data[1:at] + number
    nonce = (int.from_bytes(iv, "big") ^ int.from_bytes(number, "big")).to_bytes(12, "big")
    return AESGCM(key).decrypt(nonce, data[at + size : at + length], header)


def _keys(connection_id: bytes) -> tuple[bytes, bytes, bytes]:
    extract = HMAC(_SALT, hashes.SHA256())
    extract.update(connection_id)
    secret = _expand(extract.finalize(), b"client in", 32)
    return _expand(secret, b"quic key", 16), _expand(secret, b"quic iv", 12), _expand(secret, b"quic hp", 16)


def _expand(secret: bytes, label: bytes, length: int) -> bytes:
    label = b"tls13 " + label
    info = length.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0"
    return HKDFExpand(hashes.SHA256(), length, info).derive(secret)


def _crypto(frames: bytes) -> bytes:
    """The CRYPTO stream in an Initial's frames, which may be out of order."""
    parts, at = {}, 0
    while at < len(frames):
        kind, at = _integer(frames, at)
        if kind in (_PADDING, _PING):
            continue
        if kind in _ACKS:
            _largest, at = _integer(frames, at)
            _delay, at = _integer(frames, at)
            ranges, at = _integer(frames, at)
            for _ in range(2 * ranges + 1 + (3 if kind == _ACKS[1] else 0)):
                _, at = _integer(frames, at)
            continue
        if kind != _CRYPTO:
            break
        offset, at = _integer(frames, at)
        length, at = _integer(frames, at)
        parts[offset] = frames[at : at + length]
        at += length
    stream = b""
    while len(stream) in parts:
        stream += parts.pop(len(stream))
    return stream


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer and where the next thing begins (RFC 9000 section 16)."""
    length = 1 << (data[at] >> 6)
    return int.from_bytes(data[at : at + length], "big") & ((1 << (8 * length - 2)) - 1), at + length
