"""Where an owner is paid: checked for its network, never our own, and changed slowly."""

from __future__ import annotations

import pytest
from werkzeug.test import TestResponse

from PGP_WEBAPI_v1 import passwords
from tests.support.town import Owner, Town

PASSWORD = "correct horse battery"
HOURS_48 = 48 * 3600
FIRST, SECOND, THIRD = (
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
)
GOOD = {
    "eth": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "usdterc20": THIRD,
    "btc": "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
    "ltc": "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9",
    "doge": "D7Y55r6Yoc1G8EECxkQ6SuSjTgGJJ7M6yD",
    "usdttrc20": "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
    "sol": "AKnL4NNf3DGWZJS6cPknBuEGnVsV4A4m5tgebLHaRSZ9",
}


def owner_with_password(town: Town) -> Owner:
    owner = town.owner()
    owner.person.asks("/start")
    owner.person.read()
    town.run("UPDATE account SET password_hash = :h WHERE id = :id", h=passwords.hashed(PASSWORD, owner.email), id=owner.account_id)
    return owner


def put(owner: Owner, address: str = FIRST, asset: str = "eth", password: str = PASSWORD, **more: object) -> TestResponse:
    return owner.api("PUT", "/api/payouts/details", {"asset": asset, "address": address, "password": password, **more})


def shown(owner: Owner) -> list[tuple[str, bool]]:
    return [(row["address"], row["usable"]) for row in owner.api("GET", "/api/payouts/details").json["details"]]


def mails(town: Town) -> list[str]:
    return [mail["subject"] for mail in town.outside.sendgrid.book("mails")]


def test_the_first_address_counts_at_once_and_nobody_is_alarmed(town: Town) -> None:
    owner = owner_with_password(town)
    assert put(owner).status_code == 200
    town.settle()
    assert shown(owner) == [(FIRST, True)]
    assert mails(town) == []
    assert town.value("SELECT after->>'address' FROM audit_log") == FIRST


@pytest.mark.parametrize("asset", GOOD)
def test_every_network_knows_its_own_addresses_and_no_others(town: Town, asset: str) -> None:
    owner = owner_with_password(town)
    family = {"usdterc20": "eth"}.get(asset, asset)
    for other, address in GOOD.items():
        if {"usdterc20": "eth"}.get(other, other) != family:
            assert put(owner, address, asset).status_code == 422, other
    good = GOOD[asset]
    changed = good[:-1] + ("1" if good[-1] != "1" else "2")
    if asset not in {"usdterc20", "sol"}:
        assert put(owner, changed, asset).json["fields"]["address"]
    for odd in (f" {good}", f"{good}\n", good.replace(good[5], "О", 1), "vitalik.eth", f"https://{good}", good[:-2], "x" * 129):
        assert put(owner, odd, asset).status_code == (200 if odd.strip() == good else 422), odd
    assert put(owner, good, asset).status_code == 200


def test_a_coin_that_we_cannot_pay_out_is_refused(town: Town) -> None:
    owner = owner_with_password(town)
    for asset in ("xmr", "ton", "nothing", "ETH", "", "eth'; --"):
        answer = put(owner, FIRST, asset)
        assert answer.status_code == 422
        assert "asset" in answer.json["fields"]


def test_a_memo_is_refused_rather_than_forgotten(town: Town) -> None:
    owner = owner_with_password(town)
    for memo in ("4711", "0", "x" * 65, 4711, False):
        answer = put(owner, extra_id=memo)
        assert answer.status_code == 422
        assert "memo" in answer.json["fields"]["extra_id"]
    assert town.value("SELECT count(*) FROM payout_details") == 0
    for nothing in ("", None):
        assert put(owner, extra_id=nothing).status_code == 200
    assert shown(owner) == [(FIRST, True)]


def test_our_own_addresses_and_those_nobody_holds_are_refused(town: Town) -> None:
    owner = owner_with_password(town)
    ours = town.settings["HOST_WALLET_ETH_ADDRESS"]
    town.run("INSERT INTO wallet (address, chain_id, first_nonce, next_nonce, scanned_block) VALUES (:a, 1, 0, 0, 0)", a=THIRD)
    contract = town.value("SELECT token_contract FROM currency_to_network WHERE asset = 'usdterc20'")
    for address in (
        ours,
        ours.lower(),
        "0x" + ours[2:].upper(),
        THIRD,
        "0x" + THIRD[2:].upper(),
        contract,
        contract.lower(),
        "0x" + "0" * 40,
        "0x" + "0" * 39 + "1",
    ):
        for asset in ("usdterc20", "bnbbsc"):
            answer = put(owner, address, asset)
            assert answer.status_code == 422, address
            assert "address" in answer.json["fields"]
    assert town.value("SELECT count(*) FROM payout_details") == 0


def test_an_exchanges_pay_in_address_is_refused(town: Town) -> None:
    owner = owner_with_password(town)
    with town.db.transaction() as tx:
        # What else a swap stands on does not matter here.
        tx.run("SET LOCAL session_replication_role = replica")
        tx.run(
            """
            INSERT INTO swap (reference, quote_id, payout_id, from_asset, from_units, to_asset, to_units, payout_address, refund_address, deadline,
                              provider_id, payin_address)
            VALUES (gen_random_uuid(), 1, 1, 'usdterc20', 1, 'btc', 1, 'x', 'x', pgp_now(), 'p', :address)
            """,
            address=SECOND,
        )
    assert put(owner, SECOND).status_code == 422
    assert put(owner, SECOND.lower()).status_code == 422
    assert put(owner, FIRST).status_code == 200


def test_a_change_waits_and_is_told_by_mail_and_telegram(town: Town) -> None:
    owner = owner_with_password(town)
    put(owner)
    assert put(owner, SECOND).status_code == 200
    town.settle()
    assert shown(owner) == [(SECOND, False), (FIRST, True)]
    assert mails(town) == ["Your payout address was changed"]
    (said,) = owner.person.read()
    assert said.startswith("🔐 Your payout address was changed to 0x8617…070D (ETH)")
    town.later(HOURS_48 - 60)
    assert shown(owner)[0] == (SECOND, False)
    town.later(61)
    assert shown(owner) == [(SECOND, True)]


def test_setting_the_old_address_again_takes_a_change_back_at_once(town: Town) -> None:
    owner = owner_with_password(town)
    put(owner)
    put(owner, SECOND)
    assert put(owner).status_code == 200
    assert shown(owner) == [(FIRST, True)]
    town.later(HOURS_48 + 1)
    assert shown(owner) == [(FIRST, True)]
    assert town.value("SELECT count(*) FROM audit_log") == 3


def test_a_newer_change_takes_the_place_of_one_that_waits_and_waits_its_own_time(town: Town) -> None:
    owner = owner_with_password(town)
    put(owner)
    put(owner, SECOND)
    town.later(HOURS_48 - 60)
    put(owner, THIRD)
    town.later(120)
    assert shown(owner) == [(THIRD, False), (FIRST, True)]
    town.later(HOURS_48)
    assert shown(owner) == [(THIRD, True)]


def test_the_same_address_again_changes_nothing(town: Town) -> None:
    owner = owner_with_password(town)
    for _ in range(3):
        assert put(owner).status_code == 200
    put(owner, SECOND)
    town.later(3600)
    put(owner, SECOND)
    town.settle()
    assert len(mails(town)) == 1
    assert town.value("SELECT count(*) FROM payout_details") == 2
    town.later(HOURS_48 - 3600)
    assert shown(owner) == [(SECOND, True)]


def test_the_password_is_asked_for_again(town: Town) -> None:
    owner = owner_with_password(town)
    assert put(owner, password="wrong password").json["code"] == "forbidden"
    assert town.value("SELECT count(*) FROM payout_details") == 0


def test_a_change_is_told_by_mail_alone_to_who_has_no_telegram(town: Town) -> None:
    owner = owner_with_password(town)
    town.run("UPDATE client_table SET notify_chat_id = NULL")
    put(owner)
    put(owner, SECOND)
    town.settle()
    assert len(mails(town)) == 1
    assert town.rows("SELECT state FROM notification") == [("undeliverable",)]
    assert town.letters() == []
