"""Channels, tiers and what else an owner has: his alone, within bounds, and only what is his to set."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from jsonschema import Draft202012Validator

from PGP_COMMON import directory
from PGP_COMMON.manifest import Proof
from PGP_COMMON.money_machines import one_time_tokens
from PGP_WEBAPI_v1 import openapi
from tests.support.town import Outside, Owner, Town, client

WEBAPI = directory.service_named("pgp-webapi-v1")
BROADCAST = directory.service_named("pgp-broadcast-v1")
# A body that would be right if the thing were one's own.
BODIES = {
    ("PATCH", "/api/channels/<int:channel_id>"): {"description": "mine now"},
    ("POST", "/api/mappings/<int:channel_id>/tiers"): {"label": "x", "price_usd": "10", "days": 1, "position": 9},
    ("PATCH", "/api/mappings/<int:channel_id>/tiers/<int:tier_id>"): {"price_usd": "4.99"},
}


def everything(town: Town) -> object:
    """All that an owner could change of another."""
    tables = ("channel", "subscription_tier_map", "client_table", "payout_details", "account", "audit_log")
    return [town.value(f"SELECT json_agg(t ORDER BY t.id) FROM {table} t") for table in tables]


def objects(owner: Owner) -> Iterator[tuple[str, str, str]]:
    """Every route and verb about one thing, with its address for an owner's things."""
    places = {"channel_id": owner.channel_id, "tier_id": owner.tiers[0]}
    for route in WEBAPI.routes:
        if route.proof is Proof.OWNER and "<" in route.path:
            for method in route.methods:
                yield method, route.path, re.sub(r"<int:(\w+)>", lambda found: str(places[found[1]]), route.path)


# --- whose it is


def test_another_owners_things_are_as_absent_as_none_on_every_route_and_verb(town: Town) -> None:
    owner, thief = town.owner(), town.owner()
    before, tried = everything(town), 0
    nothing = Owner(town, thief.person, "", channel_id=987_654, tiers=[987_655])
    for (method, rule, path), (_, _, absent) in zip(objects(owner), objects(nothing), strict=True):
        body = BODIES.get((method, rule))
        answer, other = thief.api(method, path, body), thief.api(method, absent, body)
        assert answer.status_code == other.status_code == 404, (method, path, answer.text)
        assert {**answer.json, "instance": ""} == {**other.json, "instance": ""}
        tried += 1
    assert tried == 8
    assert everything(town) == before
    # The same requests are fine for the one whose things they are about.
    for method, rule, path in sorted(objects(owner), key=lambda found: found[0] == "DELETE"):
        if not (method == "DELETE" and rule.endswith("/tiers/<int:tier_id>")):
            assert owner.api(method, path, BODIES.get((method, rule))).status_code < 300, (method, path)


def test_a_tier_is_found_only_below_its_own_channel(town: Town) -> None:
    owner, thief = town.owner(), town.owner()
    for method in ("PATCH", "DELETE"):
        answer = thief.api(method, f"/api/mappings/{thief.channel_id}/tiers/{owner.tiers[0]}", {"days": 3} if method == "PATCH" else None)
        assert answer.status_code == 404


def test_lists_show_ones_own_and_nothing_else(town: Town) -> None:
    owner, other = town.owner(), town.owner()
    town.run(
        "INSERT INTO ledger_account (code, asset, side, owner_id, balance) VALUES ('owner:1:available', 'usdterc20', 'C', :o, -12345678)", o=owner.owner_id
    )
    details = town.value(
        "INSERT INTO payout_details (owner_id, asset, address) VALUES (:o, 'eth', '0x52908400098527886E0F7030069857D2E4169EE7') RETURNING id", o=owner.owner_id
    )
    town.run(
        """
        INSERT INTO split_payout_que (owner_id, details_id, asset, units, payout_asset, address, fee_cap_percent, correlation)
        VALUES (:o, :d, 'usdterc20', 50000000, 'eth', 'x', 2, 'town')
        """,
        o=owner.owner_id,
        d=details,
    )
    empty = {"/api/payouts": {"payouts": [], "next": None}, "/api/payouts/balance": {"balances": []}, "/api/payouts/details": {"details": []}}
    for path, nothing in empty.items():
        assert other.api("GET", path).json == nothing
        assert owner.api("GET", path).json != nothing
    assert [row["id"] for row in other.api("GET", "/api/channels").json["channels"]] == [other.channel_id]
    (balance,) = owner.api("GET", "/api/payouts/balance").json["balances"]
    assert balance == {"purse": "available", "asset": "usdterc20", "units": "12345678", "amount": "12.345678"}


def test_any_page_of_payouts_can_be_asked_for(town: Town) -> None:
    owner = town.owner()
    for before in ("-1", "0", "1000000000", "9" * 40, "x", "1.5", "", "NaN", "9" * 5000):
        assert owner.api("GET", f"/api/payouts?before={before}").status_code == 200


def test_an_odd_number_in_an_address_finds_nothing(town: Town) -> None:
    owner = town.owner()
    for number in ("0", "-1", "9" * 18, "9" * 19, str(2**63), "9" * 60, "9" * 5000, "1e3", "1;x", "٣"):
        for path in (f"/api/channels/{number}", f"/api/mappings/{number}/tiers", f"/api/mappings/{owner.channel_id}/tiers/{number}"):
            answer = owner.api("PATCH" if "tiers/" in path else "GET", path, {"days": 1} if "tiers/" in path else None)
            assert answer.status_code == 404, (path[:60], answer.text)


# --- what is his to set


def test_nobody_sets_what_is_not_his_to_set(town: Town) -> None:
    owner = town.owner()
    hidden = {
        "owner_id": 1,
        "id": 1,
        "fee_percent": 0,
        "fee_bps": 0,
        "balance": "1e9",
        "state": "paid",
        "active": True,
        "email": "x@y.zz",
        "__proto__": {},
        "a.b": 1,
    }
    cases = {
        ("PATCH", "/api/account"): {"display_name": "x"},
        ("PATCH", f"/api/channels/{owner.channel_id}"): {"description": "x"},
        ("POST", f"/api/mappings/{owner.channel_id}/tiers"): {"label": "x", "price_usd": "10", "days": 1, "position": 9},
        ("PATCH", f"/api/mappings/{owner.channel_id}/tiers/{owner.tiers[0]}"): {"days": 2},
        ("POST", "/api/channels"): {"open_channel_id": -1, "closed_channel_id": -2},
        ("PUT", "/api/payouts/details"): {"asset": "eth", "address": "0x52908400098527886E0F7030069857D2E4169EE7", "password": "x"},
        ("POST", "/api/auth/register"): {"email": "a@b.cc", "password": "correct horse battery"},
    }
    before = everything(town)
    for (method, path), body in cases.items():
        for name, value in hidden.items():
            if name != "email" or "email" not in body:
                answer = owner.api(method, path, {**body, name: value})
                assert answer.status_code == 422, (method, path, name)
                assert any(name in field for field in answer.json["fields"])
    assert everything(town) == before


def test_a_profile_is_changed_within_bounds_and_on_record(town: Town) -> None:
    owner = town.owner()
    assert (
        owner.api("PATCH", "/api/account", {"display_name": "Olga", "payout_strategy": "instant", "payout_threshold_usd": "20.50"}).json["payout_threshold_usd"]
        == "20.5"
    )
    assert owner.api("PATCH", "/api/account", {}).json["display_name"] == "Olga"
    for body in (
        {"payout_threshold_usd": 4},
        {"payout_threshold_usd": 10_001},
        {"payout_strategy": "never"},
        {"display_name": "x" * 65},
        {"display_name": "a\x00"},
    ):
        assert owner.api("PATCH", "/api/account", body).status_code == 422
    before, after = town.rows("SELECT before->>'payout_strategy', after->>'payout_strategy' FROM audit_log WHERE action = 'change account' ORDER BY id")[0]
    assert (before, after) == ("threshold", "instant")


def test_a_channel_is_changed_within_bounds(town: Town) -> None:
    owner = town.owner()
    path = f"/api/channels/{owner.channel_id}"
    said = {"description": "<script>alert(1)</script>", "donation_message": "{{7*7}}", "access_mode": "single_use", "tolerance_bps": 0}
    assert {name: owner.api("PATCH", path, said).json[name] for name in said} == said
    assert owner.api("GET", path).content_type == "application/json"
    bad = [{"tolerance_bps": n} for n in (-1, 1001, 1.5, "1", True)] + [
        {"access_mode": "open"},
        {"description": "x" * 501},
        {"description": 1},
        {"description": "\ud800"},
    ]
    for body in bad:
        assert owner.api("PATCH", path, body).status_code == 422, body


# --- tiers


def tier(**changes: object) -> dict[str, object]:
    return {"label": "Month", "price_usd": "10", "days": 30, "position": 2, **changes}


def test_a_tier_is_added_changed_and_withdrawn(town: Town) -> None:
    owner = town.owner()
    path = f"/api/mappings/{owner.channel_id}/tiers"
    made = owner.api("POST", path, tier(price_usd="9999.99", days=3660)).json["id"]
    assert owner.api("POST", path, tier()).status_code == 409
    changed = owner.api("PATCH", f"{path}/{made}", {"price_usd": 4.99}).json["tiers"][1]
    assert (changed["price_usd"], changed["days"]) == ("4.99", 3660)
    assert owner.api("GET", f"/api/channels/{owner.channel_id}/links").json["subscribe"].keys() == {str(owner.tiers[0]), str(made)}
    assert owner.api("DELETE", f"{path}/{made}").status_code == 204
    assert owner.api("DELETE", f"{path}/{made}").status_code == 404
    assert owner.api("POST", path, tier()).status_code == 201
    assert [action for (action,) in town.rows("SELECT action FROM audit_log ORDER BY id")] == ["add tier", "change tier", "withdraw tier", "add tier"]


def test_a_tier_out_of_bounds_is_refused_with_a_sentence_for_the_field(town: Town) -> None:
    owner = town.owner()
    path = f"/api/mappings/{owner.channel_id}/tiers"
    prices = [
        "0",
        "-1",
        "4.98",
        "10000",
        "1e9",
        "0.001",
        "4.999",
        "nan",
        "inf",
        "5_0",
        "٥",
        "1e3",
        "5,00",
        "",
        " ",
        None,
        True,
        [1],
        {},
        0,
        -1,
        10**9,
        "9" * 400,
    ]
    for price in prices:
        answer = owner.api("POST", path, tier(price_usd=price))
        assert answer.status_code == 422, price
        assert answer.json["fields"]["price_usd"]
    for field, value in [
        ("days", 0),
        ("days", 3661),
        ("days", 1.5),
        ("days", "1"),
        ("days", True),
        ("position", 0),
        ("position", 11),
        ("label", ""),
        ("label", "x" * 65),
    ]:
        answer = owner.api("POST", path, tier(**{field: value}))
        assert answer.status_code == 422, (field, value)
        assert list(answer.json["fields"]) == [field]
    assert town.value("SELECT count(*) FROM subscription_tier_map") == 1


def test_an_odd_number_in_json_is_refused(town: Town) -> None:
    owner = town.owner()
    headers = {"Authorization": f"Bearer {owner.token()}", "Content-Type": "application/json"}
    for literal in (b"NaN", b"Infinity", b"-Infinity", b"1e400", b"1e-400", b"-0", b"0x10", b"01", b"9" * 5000, b"4.990000000000000000001"):
        body = json.dumps(tier()).encode().replace(b'"10"', literal)
        answer = client(town).post(f"/api/mappings/{owner.channel_id}/tiers", data=body, headers=headers)
        assert answer.status_code == 422, literal[:20]


# --- registering a channel


def registered(town: Town, owner: Owner, **changes: object) -> tuple[int, str]:
    body = {"open_channel_id": owner.open_chat, "closed_channel_id": owner.closed_chat, **changes}
    answer = owner.api("POST", "/api/channels", body)
    return answer.status_code, answer.json.get("title", "")


def test_a_channel_that_owner_and_bot_administer_is_registered_with_its_titles(town: Town) -> None:
    owner = town.owner(channel=False)
    body = {"open_channel_id": owner.open_chat, "closed_channel_id": owner.closed_chat, "description": "About"}
    answer = owner.api("POST", "/api/channels", body)
    assert answer.status_code == 201
    assert (answer.json["closed_title"], answer.json["tiers"], answer.json["access_mode"]) == (owner.title, [], "join_request")
    assert town.value("SELECT action FROM audit_log") == "register channel"


def test_a_channel_is_refused_with_what_to_do_about_it(town: Town) -> None:
    unlinked, owner, other = town.owner(linked=False, channel=False), town.owner(channel=False), town.owner(channel=False)
    assert registered(town, unlinked) == (409, "Link your Telegram account first: we have to see that the channel is yours.")
    assert registered(town, other, open_channel_id=owner.open_chat, closed_channel_id=owner.closed_chat) == (
        422,
        f"You are not an administrator of {owner.open_chat}.",
    )
    assert "cannot see -4711" in registered(town, owner, open_channel_id=-4711)[1]
    assert registered(town, owner, open_channel_id=owner.closed_chat)[0] == 422
    owner.bot(can_invite_users=True, can_restrict_members=False)
    assert "with the right to invite and to remove people" in registered(town, owner)[1]
    owner.bot()
    assert registered(town, owner)[0] == 422
    town.telegram.control("/chats", {"id": owner.open_chat, "bot": {"status": "left"}})
    assert registered(town, owner)[0] == 422
    group = -77
    town.telegram.control("/chats", {"id": group, "type": "group", "title": "Group", "owner": owner.person.id})
    assert "supergroup" in registered(town, owner, open_channel_id=group)[1]
    for odd in (0, 1, 4711, -(2**52), "-100", True, None, -1.5):
        assert registered(town, owner, open_channel_id=odd)[0] == 422
    assert town.value("SELECT count(*) FROM channel") == 0


def test_a_chat_is_registered_once_whoever_asks(town: Town) -> None:
    owner, partner = town.owner(), town.owner(channel=False)
    for chat in (owner.open_chat, owner.closed_chat):
        town.telegram.control(f"/chats/{chat}/members", {"user": partner.person.id, "status": "administrator"})
    assert registered(town, owner) == (409, "One of these channels is registered already.")
    assert registered(town, partner, open_channel_id=owner.open_chat)[0] == 409
    assert registered(town, partner, closed_channel_id=owner.closed_chat)[0] == 409


def test_a_closed_channel_can_be_sold_again_by_its_owner_and_nobody_else(town: Town) -> None:
    owner, partner = town.owner(), town.owner(channel=False)
    owner.api("DELETE", f"/api/channels/{owner.channel_id}")
    assert owner.api("GET", "/api/channels").json == {"channels": []}
    for chat in (owner.open_chat, owner.closed_chat):
        town.telegram.control(f"/chats/{chat}/members", {"user": partner.person.id, "status": "administrator"})
    assert registered(town, partner, open_channel_id=owner.open_chat, closed_channel_id=owner.closed_chat)[0] == 409
    assert registered(town, owner)[0] == 201
    assert [row["id"] for row in owner.api("GET", "/api/channels").json["channels"]] == [owner.channel_id]


def test_a_telegram_that_does_not_answer_is_no_fault_of_the_owner(town: Town) -> None:
    owner = town.owner(channel=False)
    town.telegram.fault("getChat", "status", 502, times=None)
    answer = owner.api("POST", "/api/channels", {"open_channel_id": owner.open_chat, "closed_channel_id": owner.closed_chat})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


# --- the form of requests


def test_what_is_no_json_object_is_refused_with_a_sentence(town: Town) -> None:
    owner = town.owner()
    headers = {"Authorization": f"Bearer {owner.token()}"}
    for body in (b"", b"{", b"[]", b"null", b'"x"', b"1", b"\xff\xfe", b"[" * 60_000, b'{"display_name": "\\ud800"}', b'{"display_name": {"a": 1}}'):
        answer = client(town).patch("/api/account", data=body, headers={**headers, "Content-Type": "application/json"})
        assert answer.status_code == 422, body[:20]
        assert answer.content_type == "application/problem+json"
    for kind in ("", "text/plain", "application/x-www-form-urlencoded", "application/json5"):
        assert client(town).patch("/api/account", data=b"{}", headers={**headers, "Content-Type": kind}).status_code == 415
    assert client(town).patch("/api/account", data=b"x" * 70_000, headers={**headers, "Content-Type": "application/json"}).status_code == 413


def test_an_owner_asks_so_often_and_no_more(database_url: str, vendors: Outside) -> None:
    town = Town(database_url, vendors, {"API_PER_MINUTE": "3"})
    owner, other = town.owner(channel=False), town.owner(channel=False)
    assert [owner.api("GET", "/api/account").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert other.api("GET", "/api/account").status_code == 200
    assert 0 < int(owner.api("GET", "/api/account").headers["Retry-After"]) <= 60
    town.close()


def test_only_exact_origins_may_call_from_a_browser(database_url: str, vendors: Outside) -> None:
    good = "https://www.paygateprime.com"
    town = Town(database_url, vendors, {"CORS_ORIGIN": f"{good}, https://app.paygateprime.com"})
    for service, path in (("webapi", "/api/account"), ("broadcast", "/api/broadcasts/manual")):

        def allowed(origin: str, *, path: str = path, service: str = service) -> str | None:
            headers = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
            answer = client(town, service).options(path, headers=headers)
            assert answer.status_code == 200
            assert "Access-Control-Allow-Credentials" not in answer.headers
            return answer.headers.get("Access-Control-Allow-Origin")

        assert allowed(good) == good
        bad = ["null", f"{good}.evil.test", "http://www.paygateprime.com", "https://evil.test", f"{good}:8443", "https://wwwxpaygateprime.com", f"{good}/"]
        assert [allowed(origin) for origin in bad] == [None] * len(bad)
    assert client(town).options("/docs", headers={"Origin": good}).headers.get("Access-Control-Allow-Origin") is None
    town.close()


# --- the description


def test_the_description_is_valid_and_says_every_route_that_there_is(town: Town) -> None:
    document = client(town).get("/openapi.json").json
    described = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    served = {(method, re.sub(r"<int:(\w+)>", r"{\1}", route.path)) for route in WEBAPI.routes if route.path.startswith("/api/") for method in route.methods}
    assert described == served
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
        assert schema["additionalProperties"] is False
    operations = [(path, operation) for path, methods in document["paths"].items() for operation in methods.values()]
    assert len({operation["operationId"] for _, operation in operations}) == len(operations)
    for path, operation in operations:
        places = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
        assert places == set(re.findall(r"{(\w+)}", path))
        assert operation["summary"].endswith(".")
        if "requestBody" in operation:
            reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            assert reference.removeprefix("#/components/schemas/") in schemas
    for route in WEBAPI.routes:
        for method in route.methods:
            if route.path.startswith("/api/"):
                operation = document["paths"][re.sub(r"<int:(\w+)>", r"{\1}", route.path)][method.lower()]
                assert operation["security"] == ([{"owner": []}] if route.proof is Proof.OWNER else [])
                # What takes a body and does not say which, is a route without one.
                assert ("requestBody" in operation) == ((method, route.path) in openapi.BODIES)
    page = client(town).get("/docs").text
    assert all(path in page for path, _ in operations)


def test_a_telegram_link_is_an_address_with_a_code_that_is_kept_as_a_hash(town: Town) -> None:
    owner = town.owner(linked=False)
    code = owner.api("POST", "/api/account/telegram-link").json["url"].partition("start=o_")[2]
    assert code not in str(town.value("SELECT json_agg(t) FROM one_time_token t"))
    with town.db.transaction() as tx:
        assert one_time_tokens.use(tx, code, "verify_email") is None
        assert one_time_tokens.use(tx, code, "link_telegram") == owner.account_id
        assert one_time_tokens.use(tx, code, "link_telegram") is None


def test_currencies_are_those_that_can_be_paid_out_in(town: Town) -> None:
    coins = {row["asset"]: row for row in client(town).get("/api/currencies").json["currencies"]}
    assert {"eth", "btc", "usdterc20", "usdttrc20", "sol"} <= coins.keys()
    assert not {"xmr", "ton", "xrp"} & coins.keys()
    assert coins["usdterc20"]["decimals"] == 6
