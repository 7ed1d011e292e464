"""The service's own certificate: read at the start, and again at a reload, since certificates are renewed."""

import ssl
from contextlib import suppress
from pathlib import Path

from monitor.config import Config, ConfigError


def context_of(config: Config) -> ssl.SSLContext | None:
    """A context with `[service] certificate` and `key`; None where there are none. Raises ConfigError."""
    if config.certificate is None or config.key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # TLS 1.2 at least
    _load(context, config)
    return context


def take(context: ssl.SSLContext | None, config: Config) -> None:
    """Put the configuration's present certificate into a context that is in use; new connections get it.

    Raises ConfigError, also where TLS would have to begin or end, and then nothing has changed.
    """
    if (context is None) != (config.certificate is None):
        raise ConfigError([f"{config.path}: service.certificate: cannot come or go while the service runs; restart it"])
    if context is not None:
        context_of(config)  # what cannot be used is found here, and leaves the present one as it is
        _load(context, config)


def _load(context: ssl.SSLContext, config: Config) -> None:
    assert config.certificate is not None
    assert config.key is not None
    for key, path in (("certificate", config.certificate), ("key", config.key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise ConfigError([f"{config.path}: service.{key}: {path}: {error.strerror or error}"]) from None
    try:
        context.load_cert_chain(config.certificate, config.key, password="")  # an encrypted key asks nobody
    except (ssl.SSLError, OSError, ValueError) as error:
        key, culprit = _culprit(config)
        raise ConfigError([f"{config.path}: service.{key}: {culprit}: {_told(error)}"]) from None


def _culprit(config: Config) -> tuple[str, Path | None]:
    """Which of the two files has the fault: the certificate where it holds none, else the key."""
    assert config.certificate is not None
    with suppress(ssl.SSLError, OSError, ValueError):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(config.certificate)
        return "key", config.key
    return "certificate", config.certificate


def _told(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return str(reason).lower().replace("_", " ") if reason else "cannot be used"
