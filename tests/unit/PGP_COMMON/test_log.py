"""The log: one line a record, a correlation id, and nothing that anybody should not read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from PGP_COMMON import log

SECRETS = [
    "0x" + "ab" * 32,
    "cd" * 32,
    "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "bot1234567:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
    "SG.abcdefghij.klmnopqrst",
    "Bearer very-secret-token",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_no_planted_secret_survives_in_any_field(secret: str) -> None:
    event = log.strike_secrets(None, "info", {"event": f"called {secret} now", "detail": secret, "password": "hunter2", "api_key": "x"})
    assert secret not in json.dumps(event)
    assert "hunter2" not in json.dumps(event)


@given(st.text(alphabet="0123456789abcdef", min_size=64, max_size=140), st.text(max_size=20))
def test_nothing_that_looks_like_a_key_survives(key: str, around: str) -> None:
    assert key not in str(log.strike_secrets(None, "info", {"event": f"{around} {key} {around}"})["event"])


def test_transaction_hashes_are_what_an_operator_looks_for_and_stay() -> None:
    tx_hash = "0x" + "ab" * 32
    assert log.strike_secrets(None, "info", {"event": "sent", "tx_hash": tx_hash})["tx_hash"] == tx_hash


def test_a_record_is_one_line_of_json_with_severity_and_correlation(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("pgp-x-v1", log_format="json")
    held = log.correlation.set("0123456789abcdef")
    log.get("tests").warning('breaks\nlines {"severity":"INFO"}', step="a.b")
    log.correlation.reset(held)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    record = json.loads(lines[0])
    assert (record["severity"], record["correlation"], record["service"], record["step"]) == ("WARNING", "0123456789abcdef", "pgp-x-v1", "a.b")


def test_on_a_terminal_a_record_begins_with_its_sign(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("pgp-x-v1", log_format="terminal")
    log.get("tests").error("it broke", step="a.b")
    assert capsys.readouterr().out.startswith("❌ it broke")
