"""SendGrid answers as the records say, and the books hold what it took."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from deploy.simulators.sendgrid.app import build
from tests.support.records import compare, read_records

RECORDS = read_records(Path(__file__).parent, "mail_send")
KEY = {"Authorization": "Bearer SG.test-key"}
MAIL = next(record["request"]["body"] for record in RECORDS if record["name"] == "a mail is taken")


@pytest.fixture
def sendgrid(tmp_path: Path) -> FlaskClient:
    return build(tmp_path, api_key="SG.test-key", verified_senders=["NoReply@paygateprime.com"]).test_client()


def mails(sendgrid: FlaskClient) -> list[dict[str, Any]]:
    return list(sendgrid.get("/_control/books").get_json()["mails"])


@pytest.mark.parametrize("record", RECORDS, ids=[record["name"] for record in RECORDS])
def test_the_answer_is_the_recorded_one(sendgrid: FlaskClient, record: dict[str, Any]):
    if "fault" in record:
        sendgrid.post("/_control/faults", json=record["fault"])
    request = record["request"]
    answer = sendgrid.open(request["path"], method=request["method"], headers=request.get("headers"), json=request.get("body"))
    assert answer.status_code == record["answer"]["status"], answer.text
    compare(json.loads(answer.text) if answer.text else "", record["answer"]["body"])
    for name, value in record["answer"].get("headers", {}).items():
        compare(answer.headers.get(name), value, name)
    assert len(mails(sendgrid)) == (1 if answer.status_code == 202 else 0)


def test_every_record_says_where_it_is_from():
    assert all(record["source"] for record in RECORDS)


def test_the_books_show_what_the_receiver_sees(sendgrid: FlaskClient):
    number = sendgrid.post("/v3/mail/send", json=MAIL, headers=KEY).headers["X-Message-Id"]
    (mail,) = mails(sendgrid)
    assert mail["id"] == number
    assert mail["to"] == ["owner@example.com"]
    assert mail["subject"] == "Confirm your address"
    assert mail["content"]["text/plain"] == "Open the link"
    assert mail["request"] == MAIL


def test_a_mail_sent_twice_comes_twice(sendgrid: FlaskClient):
    for _ in range(2):
        sendgrid.post("/v3/mail/send", json=MAIL, headers=KEY)
    assert len(mails(sendgrid)) == 2


def test_a_lost_answer_is_a_mail_sent(sendgrid: FlaskClient):
    sendgrid.post("/_control/faults", json={"operation": "POST /v3/mail/send", "mode": "lost_answer"})
    with pytest.raises(ConnectionResetError):
        sendgrid.post("/v3/mail/send", json=MAIL, headers=KEY)
    assert len(mails(sendgrid)) == 1


def test_more_than_a_thousand_personalizations_are_refused(sendgrid: FlaskClient):
    crowd = {**MAIL, "personalizations": [{"to": [{"email": "a@b.co"}]}] * 1001}
    assert sendgrid.post("/v3/mail/send", json=crowd, headers=KEY).status_code == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b'{"personalizations": 5}', b'{"personalizations": [5]}', b'{"from": []}'])
def test_a_body_that_makes_no_sense_is_refused(sendgrid: FlaskClient, body: bytes):
    answer = sendgrid.post("/v3/mail/send", data=body, headers=KEY, content_type="application/json")
    assert answer.status_code == 400
    assert answer.get_json()["errors"]


def test_a_body_that_is_not_called_json_is_refused(sendgrid: FlaskClient):
    assert sendgrid.post("/v3/mail/send", data=json.dumps(MAIL), headers=KEY, content_type="text/plain").status_code == 415


def test_mails_outlive_the_program_and_a_reset_forgets_them(tmp_path: Path):
    build(tmp_path, api_key="SG.test-key").test_client().post("/v3/mail/send", json=MAIL, headers=KEY)
    again = build(tmp_path, api_key="SG.test-key").test_client()
    assert len(mails(again)) == 1
    again.post("/_control/reset", json={"books": True})
    assert mails(again) == []
