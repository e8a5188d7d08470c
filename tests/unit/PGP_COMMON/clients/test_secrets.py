"""A changed secret takes effect without a restart, and a source that fails does not stop the service."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from google.api_core import exceptions

from PGP_COMMON import http
from PGP_COMMON.clients.secrets import CachedSecrets, GoogleSecretManager, SecretsFile, crc32c, parsed
from PGP_COMMON.errors import AnswerLost, BadAnswer, Misconfigured, PgpError, VendorDown


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Source:
    """A source that a test writes to, breaks and counts."""

    def __init__(self, **values: str) -> None:
        self.values = values
        self.broken: PgpError | None = None
        self.reads = 0

    def read(self, name: str) -> str | None:
        self.reads += 1
        if self.broken:
            raise self.broken
        return self.values.get(name)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_secret_is_read_once_in_its_time_to_live(clock):
    source = Source(KEY="one")
    secrets = CachedSecrets(source, ttl_s=60, clock=clock)
    assert [secrets.get("KEY") for _ in range(5)] == ["one"] * 5
    assert source.reads == 1


def test_a_changed_secret_takes_effect_after_it(clock):
    source = Source(KEY="one")
    secrets = CachedSecrets(source, ttl_s=60, clock=clock)
    secrets.get("KEY")
    source.values["KEY"] = "two"
    clock.now = 59
    assert secrets.get("KEY") == "one"
    clock.now = 60
    assert secrets.get("KEY") == "two"


def test_the_last_good_value_is_used_while_the_source_fails_and_it_is_not_asked_all_the_time(clock):
    source = Source(KEY="one")
    secrets = CachedSecrets(source, ttl_s=60, clock=clock)
    secrets.get("KEY")
    source.broken = VendorDown(vendor="secrets")
    clock.now = 60
    assert [secrets.get("KEY") for _ in range(5)] == ["one"] * 5
    assert source.reads == 2
    source.broken = None
    source.values["KEY"] = "two"
    clock.now = 71
    assert secrets.get("KEY") == "two"


def test_a_secret_that_disappears_goes_on_being_used(clock):
    source = Source(KEY="one")
    secrets = CachedSecrets(source, ttl_s=60, clock=clock)
    secrets.get("KEY")
    del source.values["KEY"]
    clock.now = 60
    assert secrets.get("KEY") == "one"


def test_a_secret_that_never_was_is_none_and_may_still_come(clock):
    source = Source()
    secrets = CachedSecrets(source, ttl_s=60, clock=clock)
    assert secrets.get("KEY") is None
    source.values["KEY"] = "one"
    clock.now = 60
    assert secrets.get("KEY") == "one"


def test_a_secret_that_was_never_read_cannot_be_made_up(clock):
    source = Source(KEY="one")
    source.broken = VendorDown(vendor="secrets")
    with pytest.raises(VendorDown):
        CachedSecrets(source, ttl_s=60, clock=clock).get("KEY")


def test_nobody_waits_for_a_slow_source_who_has_a_value(clock):
    reading, go_on = threading.Event(), threading.Event()

    class Slow(Source):
        def read(self, name: str) -> str | None:
            if self.reads:
                reading.set()
                go_on.wait(10)
            return super().read(name)

    secrets = CachedSecrets(Slow(KEY="one"), ttl_s=60, clock=clock)
    secrets.get("KEY")
    clock.now = 60
    slow = threading.Thread(target=secrets.get, args=("KEY",))
    slow.start()
    assert reading.wait(10)
    assert secrets.get("KEY") == "one"
    go_on.set()
    slow.join(10)


# The file.


def test_a_file_is_read_again_when_it_changed(tmp_path: Path):
    path = tmp_path / "secrets.env"
    path.write_text("KEY=one\n")
    source = SecretsFile(path)
    assert source.read("KEY") == "one"
    path.write_text("KEY=three\n")
    assert source.read("KEY") == "three"
    other = tmp_path / "new.env"
    other.write_text("KEY=seven\n")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    assert source.read("KEY") == "seven"
    assert source.read("OTHER") is None


def test_a_file_that_is_not_there_is_a_mistake_of_ours(tmp_path: Path):
    with pytest.raises(Misconfigured):
        SecretsFile(tmp_path / "none.env").read("KEY")


def test_a_file_that_is_no_text_is_refused_without_showing_it(tmp_path: Path):
    path = tmp_path / "secrets.env"
    path.write_bytes(b"KEY=canary\xff\xfe")
    with pytest.raises(Misconfigured) as error:
        SecretsFile(path).read("KEY")
    assert "canary" not in repr(error.value)
    assert error.value.__suppress_context__


def test_lines_are_read_as_people_write_them():
    text = "# a comment\n\nA=1\n B = two words \nC=\"quoted # here\"\nD='it''s'\nE=a=b==\nF=\nno line\n#G=1\nH='\nI=\\n kept\r\n"
    assert parsed(text) == {"A": "1", "B": "two words", "C": "quoted # here", "D": "it''s", "E": "a=b==", "F": "", "H": "'", "I": "\\n kept"}


# Google's.


class Google:
    """Secret Manager as its client shows it."""

    def __init__(self, data: bytes = b"value", crc: int | None = None, error: Exception | None = None) -> None:
        self.data, self.crc, self.error = data, crc, error
        self.asked: list[dict[str, Any]] = []

    def access_secret_version(self, **request: Any) -> Any:
        self.asked.append(request)
        if self.error:
            raise self.error
        return SimpleNamespace(payload=SimpleNamespace(data=self.data, data_crc32c=self.crc or 0))


def test_the_newest_version_is_read_without_the_newline_at_its_end_and_with_a_time_limit():
    google = Google(b"value\n", crc=crc32c(b"value\n"))
    assert GoogleSecretManager("shop", client=google).read("KEY") == "value"
    assert google.asked == [{"name": "projects/shop/secrets/KEY/versions/latest", "timeout": 5.0, "retry": None}]


def test_the_checksum_is_the_one_that_google_uses():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0


def test_a_damaged_secret_is_not_used():
    with pytest.raises(BadAnswer):
        GoogleSecretManager("shop", client=Google(b"valve", crc=crc32c(b"value"))).read("KEY")
    with pytest.raises(BadAnswer):
        GoogleSecretManager("shop", client=Google(b"\xff\xfe")).read("KEY")


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (exceptions.PermissionDenied("no"), Misconfigured),
        (exceptions.FailedPrecondition("disabled"), Misconfigured),
        (exceptions.ServiceUnavailable("down"), VendorDown),
        (exceptions.ResourceExhausted("too many"), VendorDown),
        (exceptions.DeadlineExceeded("slow"), AnswerLost),
    ],
)
def test_googles_errors_say_what_to_do_next(monkeypatch, error: Exception, meaning: type[PgpError]):
    monkeypatch.setattr(http, "READ_PAUSES_S", (0, 0))
    with pytest.raises(meaning):
        GoogleSecretManager("shop", client=Google(error=error)).read("KEY")


def test_a_secret_that_google_does_not_have_is_none():
    assert GoogleSecretManager("shop", client=Google(error=exceptions.NotFound("no"))).read("KEY") is None
