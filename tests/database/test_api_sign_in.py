"""Accounts of owners: registration, sign-in, sessions, passwords; an outsider never learns who has one."""

from __future__ import annotations

import re
import threading
import time

import pytest
from werkzeug.test import TestResponse

from PGP_COMMON.money_machines import owners
from PGP_WEBAPI_v1 import account_store, passwords, sessions
from tests.support.town import Outside, Town, client

PASSWORD = "correct horse battery"
EMAIL = "olga.owner@shop.test"


def post(town: Town, path: str, **body: object) -> TestResponse:
    return client(town).post(f"/api/auth/{path}", json=body)


def register(town: Town, email: str = EMAIL, password: str = PASSWORD) -> TestResponse:
    answer = post(town, "register", email=email, password=password)
    town.settle()
    return answer


def mailed(town: Town, what: str = "verify", *, to: str = EMAIL) -> list[str]:
    """The tokens that were mailed to somebody, oldest first."""
    texts = [mail["content"]["text/plain"] for mail in town.outside.sendgrid.book("mails") if mail["to"] == [to]]
    return [found[1] for text in texts if (found := re.search(rf"#{what}=([A-Za-z0-9_-]+)", text))]


def member(town: Town, email: str = EMAIL, password: str = PASSWORD) -> None:
    """A verified account."""
    with town.db.reading() as tx:
        account_id = account_store.add_account(tx, email=email, password_hash=passwords.hashed(password, email))
        assert account_id is not None
        account_store.verify_email(tx, account_id)
        owners.add(tx, account_id=account_id, display_name="")


def login(town: Town, email: str = EMAIL, password: str = PASSWORD) -> TestResponse:
    return post(town, "login", email=email, password=password)


def refresh(town: Town, token: str) -> TestResponse:
    return post(town, "refresh", token=token)


def seen(answer: TestResponse) -> tuple[object, ...]:
    """What an outsider sees of an answer."""
    body = {name: value for name, value in answer.json.items() if name != "instance"}
    return answer.status_code, str(body), answer.headers.get("Retry-After")


# --- registration


def test_an_owner_registers_confirms_and_signs_in(town: Town) -> None:
    assert register(town).status_code == 202
    assert login(town).json["code"] == "forbidden"
    (token,) = mailed(town)
    assert post(town, "verify-email", token=token).status_code == 200
    body = login(town).json
    assert body["expires_in"] == 900
    answer = client(town).get("/api/account", headers={"Authorization": f"Bearer {body['access_token']}"})
    assert (answer.json["email"], answer.json["payout_threshold_usd"], answer.json["telegram_linked"]) == (EMAIL, "50", False)
    # Nothing that can be used is kept.
    kept = town.value("SELECT string_agg(a.password_hash || r.token_hash::text || o.token_hash::text, '') FROM account a, refresh_token r, one_time_token o")
    assert PASSWORD not in kept
    assert token not in kept
    assert body["refresh_token"] not in kept


def test_a_mailed_token_works_once_for_a_day_and_for_its_purpose(town: Town) -> None:
    register(town)
    (token,) = mailed(town)
    assert post(town, "reset-password", token=token, password=PASSWORD + "1").status_code == 422
    town.later(86_401)
    assert post(town, "verify-email", token=token).status_code == 422
    register(town)
    fresh = mailed(town)[-1]
    assert post(town, "verify-email", token=fresh).status_code == 200
    assert post(town, "verify-email", token=fresh).status_code == 422
    assert post(town, "verify-email", token="x" * 32).status_code == 422


def test_registering_an_address_again_looks_the_same_and_takes_nobodys_account(town: Town) -> None:
    first = register(town)
    member(town, "second@shop.test")
    again = register(town, "SECOND@shop.test", "another password!")
    assert seen(first) == seen(again)
    assert login(town, "second@shop.test", "another password!").status_code == 401
    assert login(town, "Second@Shop.test").status_code == 200
    assert mailed(town, to="second@shop.test") == []


def test_registering_an_unverified_address_again_starts_over(town: Town) -> None:
    register(town, password="the first password")
    register(town, password="the second password")
    first, second = mailed(town)
    assert post(town, "verify-email", token=first).status_code == 422
    assert post(town, "verify-email", token=second).status_code == 200
    assert login(town, password="the first password").status_code == 401
    assert login(town, password="the second password").status_code == 200
    assert town.value("SELECT count(*) FROM client_table") == 1


def test_nobody_is_flooded_with_mails(town: Town) -> None:
    answers = [post(town, "forgot-password", email=EMAIL).status_code for _ in range(6)]
    assert answers == [202] * 5 + [429]


# --- sign-in


def test_an_unknown_address_a_wrong_password_and_a_locked_account_look_alike(town: Town) -> None:
    member(town)
    unknown = seen(login(town, "nobody@shop.test"))
    assert [seen(login(town, password=f"wrong password {n}")) for n in range(7)] == [unknown] * 7
    # The account rests now: the right password looks wrong as well.
    assert seen(login(town)) == unknown
    town.later(3600)
    assert login(town).status_code == 200
    # And all that is forgotten.
    assert login(town, password="wrong password").status_code == 401
    assert login(town).status_code == 200


def test_each_wrong_password_more_makes_the_account_rest_longer(town: Town) -> None:
    member(town)
    rests = []
    for _ in range(7):
        login(town, password="wrong password")
        rest = int(town.value("SELECT coalesce(round(extract(epoch FROM locked_until - pgp_now())), 0) FROM account"))
        rests.append(rest)
        town.later(rest + 1)
    assert rests[:4] == [0] * 4
    assert [round(rest / 30) for rest in rests[4:]] == [1, 2, 4]


def test_the_time_of_the_answer_says_nothing(town: Town) -> None:
    member(town)

    def took(path: str, **body: object) -> float:
        started = time.monotonic()
        post(town, path, **body)
        return time.monotonic() - started

    for email in (EMAIL, "nobody@shop.test"):
        assert took("login", email=email, password="wrong password") >= sessions.UNHURRIED_S
        assert took("forgot-password", email=email) >= sessions.UNHURRIED_S
        assert took("register", email=email, password=PASSWORD) >= sessions.UNHURRIED_S


def test_sign_ins_are_limited_for_an_address_and_for_an_account(database_url: str, vendors: Outside) -> None:
    vendors.reset()
    town = Town(database_url, vendors, {"LOGINS_PER_MINUTE": "3", "TRUSTED_PROXY_HOPS": "1"})
    caller = client(town)

    def sign_in(email: str, address: str) -> int:
        body = {"email": email, "password": "wrong password"}
        return caller.post("/api/auth/login", json=body, headers={"X-Forwarded-For": f"6.6.6.6, {address}"}).status_code

    assert [sign_in(f"{n}@shop.test", "10.0.0.1") for n in range(4)] == [401, 401, 401, 429]
    # What a caller writes in front of the proxy's entry changes nothing.
    assert sign_in("5@shop.test", "10.0.0.1") == 429
    assert [sign_in("one@shop.test", f"10.0.1.{n}") for n in range(4)] == [401, 401, 401, 429]
    assert sign_in("two@shop.test", "10.0.2.1") == 401
    town.close()


# --- sessions


def test_a_refresh_token_is_swapped_and_its_second_use_after_the_grace_ends_the_family(town: Town) -> None:
    member(town)
    first = login(town).json["refresh_token"]
    other = login(town).json["refresh_token"]
    second = refresh(town, first).json["refresh_token"]
    assert second != first
    town.later(sessions.GRACE_S + 1)
    third = refresh(town, second).json["refresh_token"]
    assert refresh(town, first).status_code == 401
    assert refresh(town, third).status_code == 401
    # Another sign-in is another family.
    assert refresh(town, other).status_code == 200


def test_a_token_whose_successor_was_used_is_a_thiefs_even_within_the_grace(town: Town) -> None:
    member(town)
    first = login(town).json["refresh_token"]
    second = refresh(town, first).json["refresh_token"]
    third = refresh(town, second).json["refresh_token"]
    assert refresh(town, first).status_code == 401
    assert refresh(town, third).status_code == 401


def test_two_requests_that_cross_each_other_are_one_persons_and_a_third_is_not(town: Town) -> None:
    member(town)
    first = login(town).json["refresh_token"]
    answers: list[TestResponse] = []
    ready = threading.Barrier(2)

    def swap() -> None:
        ready.wait()
        answers.append(refresh(town, first))

    threads = [threading.Thread(target=swap) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200, 200]
    assert refresh(town, first).status_code == 401
    assert [refresh(town, answer.json["refresh_token"]).status_code for answer in answers] == [401, 401]


def test_a_refresh_token_ends_after_thirty_days(town: Town) -> None:
    member(town)
    token = login(town).json["refresh_token"]
    town.later(30 * 86_400 + 1)
    assert refresh(town, token).status_code == 401


def test_signing_out_ends_the_session_and_says_the_same_of_any_token(town: Town) -> None:
    member(town)
    first = login(town).json["refresh_token"]
    second = refresh(town, first).json["refresh_token"]
    assert post(town, "logout", token=second).status_code == 204
    assert refresh(town, second).status_code == 401
    assert post(town, "logout", token=second).status_code == 204
    assert post(town, "logout", token="x" * 43).status_code == 204
    assert refresh(town, "x" * 43).status_code == 401


def test_an_access_token_is_no_refresh_token_and_the_other_way_round(town: Town) -> None:
    member(town)
    body = login(town).json
    assert refresh(town, body["access_token"]).status_code == 422
    answer = client(town).get("/api/account", headers={"Authorization": f"Bearer {body['refresh_token']}"})
    assert answer.status_code == 401


# --- passwords


def test_a_forgotten_password_is_replaced_by_mail_and_every_session_ends(town: Town) -> None:
    member(town)
    session = login(town).json["refresh_token"]
    known, unknown = post(town, "forgot-password", email=EMAIL), post(town, "forgot-password", email="nobody@shop.test")
    assert seen(known) == seen(unknown)
    post(town, "forgot-password", email=EMAIL)
    town.settle()
    stale, token = mailed(town, "reset")
    new = "an entirely new one"
    assert post(town, "reset-password", token=stale, password=new).status_code == 422
    # A password that is too easy leaves the token as it was.
    assert post(town, "reset-password", token=token, password="olga.owner 2026").json["fields"]["password"]
    assert post(town, "reset-password", token=token, password=new).status_code == 200
    assert post(town, "reset-password", token=token, password="and one more please").status_code == 422
    town.settle()
    assert refresh(town, session).status_code == 401
    assert login(town).status_code == 401
    assert login(town, password=new).status_code == 200
    assert "every session was ended" in town.outside.sendgrid.book("mails")[-1]["content"]["text/plain"]
    assert town.value("SELECT reason FROM audit_log") == "asked for by mail"


def test_a_way_to_a_new_password_is_over_after_an_hour(town: Town) -> None:
    member(town)
    post(town, "forgot-password", email=EMAIL)
    town.settle()
    town.later(3601)
    assert post(town, "reset-password", token=mailed(town, "reset")[0], password="an entirely new one").status_code == 422


def test_a_password_is_changed_by_whoever_knows_it_and_a_mailed_way_is_void_then(town: Town) -> None:
    member(town)
    post(town, "forgot-password", email=EMAIL)
    town.settle()
    body = login(town).json
    headers = {"Authorization": f"Bearer {body['access_token']}"}

    def change(old: str, new: str) -> int:
        return client(town).put("/api/account/password", json={"password": old, "new_password": new}, headers=headers).status_code

    assert change("wrong password", "an entirely new one") == 403
    assert change(PASSWORD, "password123") == 422
    assert change(PASSWORD, "an entirely new one") == 204
    assert refresh(town, body["refresh_token"]).status_code == 401
    assert login(town, password="an entirely new one").status_code == 200
    assert post(town, "reset-password", token=mailed(town, "reset")[0], password="a third one for you").status_code == 422


def test_what_two_keyboards_write_differently_is_one_password(town: Town) -> None:
    member(town, password="Stra\u00dfe nach S\u00fcden")
    assert login(town, password="Stra\u00dfe nach Su\u0308den").status_code == 200
    assert login(town, password=" Stra\u00dfe nach S\u00fcden").status_code == 401


@pytest.mark.parametrize("host", ["evil.test", "pay.test@evil.test"])
def test_the_link_in_a_mail_does_not_follow_the_requests_host(town: Town, host: str) -> None:
    client(town).post("/api/auth/register", json={"email": EMAIL, "password": PASSWORD}, headers={"Host": host, "X-Forwarded-Host": host})
    town.settle()
    text = town.outside.sendgrid.book("mails")[-1]["content"]["text/plain"]
    assert "https://pay.test/app#verify=" in text
    assert "evil" not in text


def test_the_page_that_mails_lead_to_uses_the_addresses_that_there_are(town: Town) -> None:
    answer = client(town).get("/app")
    assert answer.status_code == 200
    assert answer.content_type == "text/html; charset=utf-8"
    served = {rule.rule for rule in town.apps["webapi"].url_map.iter_rules()}
    assert set(re.findall(r'"(/api/[^"]+)"', answer.text)) == {"/api/auth/verify-email", "/api/auth/reset-password"} <= served
    assert not re.search(r"https?://", answer.text)
