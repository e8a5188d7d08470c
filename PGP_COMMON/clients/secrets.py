"""Secrets from Google Secret Manager or from a file, read again while running so that a changed one takes effect."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from PGP_COMMON import log
from PGP_COMMON.errors import AnswerLost, BadAnswer, Misconfigured, PgpError, VendorDown
from PGP_COMMON.http import read

LOG = log.get(__name__)

VENDOR: Final = "secrets"
# Google's own default is a minute of retries; a request cannot wait for that, and there is a last known good value.
TIMEOUT_S: Final = 5.0
# How long a source that failed is left alone.
PAUSE_S: Final = 10.0
CRC32C_POLYNOMIAL: Final = 0x82F63B78


class SecretSource(Protocol):
    """Where secrets come from."""

    def read(self, name: str) -> str | None:
        """The secret's value now; None if there is none by that name. Raises when the source cannot be read."""


class SecretsFile:
    """A file of KEY=value lines, read again when it changed. Blank lines and lines that begin with # are left out."""

    def __init__(self, path: str | Path) -> None:
        """Take the path; nothing is read yet."""
        self._path = Path(path)
        self._seen: tuple[int, int, int] | None = None
        self._values: dict[str, str] = {}
        self._lock = threading.Lock()

    def read(self, name: str) -> str | None:
        """The value behind a name; raises Misconfigured when the file cannot be read."""
        with self._lock:
            self._refresh()
            return self._values.get(name)

    def _refresh(self) -> None:
        try:
            state = self._path.stat()
            seen = (state.st_mtime_ns, state.st_size, state.st_ino)
            if seen == self._seen:
                return
            text = self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            # The library's own sentence may repeat what stands in the file.
            raise Misconfigured("the secrets file cannot be read") from None
        self._values, self._seen = parsed(text), seen


def parsed(text: str) -> dict[str, str]:
    """Read KEY=value lines; a value may stand in quotes and may hold any character but a newline."""
    values = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            bare = value.strip()
            quoted = len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'"
            values[name.strip()] = bare[1:-1] if quoted else bare
    return values


class GoogleSecretManager:
    """The newest version of a project's secrets. The library is loaded when the first one is read."""

    def __init__(self, project: str, *, client: Any = None) -> None:
        """Take the project's id; a client is given by tests of this class alone."""
        self._project = project
        self._given = client

    @functools.cached_property
    def _client(self) -> Any:
        if self._given is not None:
            return self._given
        from google.cloud import secretmanager  # noqa: PLC0415 - 30 MiB that a machine with a secrets file does not need

        return secretmanager.SecretManagerServiceClient()

    @read
    def read(self, name: str) -> str | None:
        """The value of a secret's newest version, without the newline that `echo` leaves at its end."""
        from google.api_core import exceptions  # noqa: PLC0415 - as above
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415 - as above

        path = f"projects/{self._project}/secrets/{name}/versions/latest"
        try:
            payload = self._client.access_secret_version(name=path, timeout=TIMEOUT_S, retry=None).payload
        except exceptions.NotFound:
            return None
        except (exceptions.PermissionDenied, exceptions.FailedPrecondition, exceptions.InvalidArgument) as error:
            raise Misconfigured(f"{name} cannot be read from Secret Manager", code=type(error).__name__) from error
        except exceptions.DeadlineExceeded as error:
            raise AnswerLost(vendor=VENDOR) from error
        except (exceptions.GoogleAPIError, GoogleAuthError) as error:
            raise VendorDown("Google Secret Manager was not reached; without SECRETS_FILE secrets come from there", vendor=VENDOR, fast=True) from error
        return _checked(name, payload)


def _checked(name: str, payload: Any) -> str:
    data = bytes(payload.data)
    if payload.data_crc32c and payload.data_crc32c != crc32c(data):
        raise BadAnswer(f"{name} was damaged on its way", vendor=VENDOR)
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise BadAnswer(f"{name} is not text", vendor=VENDOR) from None


def crc32c(data: bytes) -> int:
    """The checksum that Secret Manager sends along (Castagnoli's, RFC 3720)."""
    rest = 0xFFFFFFFF
    for byte in data:
        rest ^= byte
        for _ in range(8):
            rest = rest >> 1 ^ (CRC32C_POLYNOMIAL if rest & 1 else 0)
    return rest ^ 0xFFFFFFFF


class CachedSecrets:
    """Secrets with a time to live. When the source fails, the last known good value goes on being used."""

    def __init__(self, source: SecretSource, *, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the source, and for how many seconds a value is used before it is read again."""
        self._source = source
        self._ttl_s = ttl_s
        self._clock = clock
        self._known: dict[str, tuple[str | None, float]] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> str | None:
        """The secret as it is now; None if there never was one. Raises only when it was never read and cannot be."""
        known = self._known.get(name)
        if known is not None and self._clock() < known[1]:
            return known[0]
        # One thread reads; the others go on with the old value, and wait only if there is none.
        if not self._lock.acquire(blocking=known is None):
            return known[0] if known else None
        try:
            return self._renew(name)
        finally:
            self._lock.release()

    def _renew(self, name: str) -> str | None:
        known = self._known.get(name)
        if known is not None and self._clock() < known[1]:
            return known[0]
        try:
            value = self._source.read(name)
            wait_s = self._ttl_s
        except PgpError as error:
            if known is None:
                raise
            LOG.warning("a secret could not be read again", name=name, reason=error.reason)
            value, wait_s = None, min(self._ttl_s, PAUSE_S)
        if value is None and known is not None:
            value = known[0]
        self._known[name] = (value, self._clock() + wait_s)
        return value
