"""A trace adds up: every payment to its owner's coin and every transaction back to its buyers, to the last unit, whatever happened in between."""

from __future__ import annotations

import itertools
import os
import random
import secrets
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from PGP_COMMON.cli import shares as telling
from PGP_COMMON.cli.trace import added_up, journey
from PGP_COMMON.errors import NotFound
from PGP_COMMON.money import share_out
from PGP_COMMON.money_machines import ledger, payout_ends, payouts, shares, swap_ends, swaps
from PGP_COMMON.money_machines.payouts import Payout, Release
from tests.support.earnings import DOLLAR, ETHER, Town
from tests.support.fake_exchange import an_address
from tests.support.verbs import Operator


class Street(Town):
    """A town in which every transaction has a hash, and HOSTPAY ends payouts as a test says."""

    def __init__(self, url: str) -> None:
        """Put in what refunds may cost, so that nothing has to wait for a deposit."""
        super().__init__(url)
        with self.db.transaction() as tx:
            lines = [ledger.debit(ledger.wallet("usdterc20"), 100 * DOLLAR), ledger.credit(ledger.equity("usdterc20"), 100 * DOLLAR)]
            ledger.post(tx, "wallet.open", "usdt", lines)

    def sends(self, swap_id: int) -> str:
        """A swap's transfer is final; gives back its hash."""
        self.send_coins(swap_id)
        with self.db.transaction() as tx:
            transfer = int(tx.value("SELECT id FROM transfer WHERE swap_id = :id", id=swap_id))
        return self.hashed(transfer)

    def hashed(self, transfer_id: int) -> str:
        """Give a final transfer of this town the attempt that it was mined as."""
        tx_hash = "0x" + secrets.token_hex(32)
        with self.db.transaction() as tx:
            tx.run(
                """
                INSERT INTO transfer_attempt (transfer_id, seq, wallet_id, nonce, asset, recipient, units, calldata_hash, raw, tx_hash, gas_limit, max_fee_wei,
                                              max_priority_wei)
                SELECT id, 1, wallet_id, nonce, asset, recipient, units, calldata_hash, 'x', :hash, 1, 1, 1 FROM transfer WHERE id = :id
                """,
                id=transfer_id,
                hash=tx_hash,
            )
            tx.run("UPDATE transfer SET mined_hash = :hash WHERE id = :id", id=transfer_id, hash=tx_hash)
        return tx_hash

    def newest_swap(self, about: str) -> int | None:
        """The newest swap of a kind that waits for our coins."""
        found = self.value(f"SELECT max(id) FROM swap WHERE {about}_id IS NOT NULL AND state = 'created'")
        return None if found is None else int(found)

    def converts(self, received: int | None, *, back: int | None = None) -> str | None:
        """One conversion, if there is enough for one: so much USDT comes of it, or so much ETH comes back."""
        self.fire("conversion.plan")
        self.drain()
        swap_id = self.newest_swap("conversion")
        if swap_id is None:
            return None
        self.sends(swap_id)
        if back is not None:
            tx_hash = self.refund_swap(swap_id, back)
            self.see(tx_hash, "eth", back)
        else:
            tx_hash = self.finish_swap(swap_id, received or 1)
            self.see(tx_hash, "usdterc20", received or 1)
        self.fire("conversion.finish", str(swap_id))
        self.settle_down()
        return tx_hash

    def plans(self) -> None:
        """Plan payouts, as far as SPLIT takes them."""
        self.fire("payout.plan")
        self.settle_down(but=("payout.direct",))

    def pays(self, paid_out: int) -> str | None:
        """The newest payout that waits for our coins reaches its owner as so many units; gives back the exchange's transaction."""
        swap_id = self.newest_swap("payout")
        if swap_id is None:
            return None
        self.sends(swap_id)
        tx_hash = self.finish_swap(swap_id, paid_out)
        with self.services["pgp-split1-v1"].db.transaction() as tx:
            payout = payouts.lock(tx, int(swaps.get(tx, swap_id).payout_id or 0))
            payout_ends.settle(tx, payout, source=Payout.FUNDED, paid_out_units=paid_out, tx_hash=tx_hash)
        return tx_hash

    def gets_back(self, missing: int) -> str | None:
        """The newest payout comes back but for so many units, and is released."""
        swap_id = self.newest_swap("payout")
        if swap_id is None:
            return None
        self.sends(swap_id)
        units = int(self.value("SELECT from_units FROM swap WHERE id = :id", id=swap_id)) - missing
        tx_hash = self.refund_swap(swap_id, units)
        self.see(tx_hash, "usdterc20", units)
        with self.services["pgp-split1-v1"].db.transaction() as tx:
            payout = payouts.lock(tx, int(swaps.get(tx, swap_id).payout_id or 0))
            payouts.expect_refund(tx, payout.id)
            assert payout_ends.release(tx, payout, source=Payout.REFUNDING, reason=Release.REFUNDED)
            swap_ends.book_cost(tx, swap_id)
        return tx_hash


@pytest.fixture
def street(database_url: str) -> Iterator[Street]:
    made = Street(database_url)
    try:
        yield made
        made.check_books()
        made.check_invariants()
    finally:
        made.close()


@pytest.fixture
def pgp(street: Street, woken: list[tuple[str, str]]) -> Operator:
    return Operator(street._environment)


# --- a history whose sums can be done by hand


@pytest.fixture
def thirds(street: Street) -> tuple[str, str, str]:
    """An owner's three payments of 1, 1 and 2 ETH become 1001 USDT units, all of them his 100 satoshi; our hash and the exchange's two."""
    owner = street.owner(threshold=0)
    for wei in (ETHER, ETHER, 2 * ETHER):
        street.earn(owner, wei, fee=7)
    came = street.converts(101_000_001)
    street.plans()
    paid = street.pays(100)
    sent = str(street.value("SELECT mined_hash FROM transfer WHERE swap_id = (SELECT max(id) FROM swap)"))
    return sent, str(came), str(paid)


def buyers(street: Street, name: str) -> list[tuple[str, list[int]]]:
    """What a transaction moved, and each buyer's units."""
    return [(origin.moved.what, [buyer.units for buyer in origin.buyers]) for origin in added_up(street.db, name).transactions]


def test_three_payments_are_followed_to_the_last_satoshi(street: Street, thirds: tuple[str, str, str]) -> None:
    provider = str(street.value("SELECT provider_id FROM processed_payments ORDER BY id OFFSET 2 LIMIT 1"))
    told = added_up(street.db, provider)
    (paid,), (part,) = told.payments, told.parts
    assert (paid.outcome_units, paid.owner_units, paid.fee_units) == (2 * ETHER + 7, 2 * ETHER, 7)
    assert (part.units, part.conversion_from_units) == (2 * ETHER, 4 * ETHER)
    # 101000001 in quarters: 25250000.25, 25250000.25 and 50500000.5; the last half goes up.
    assert (part.converted_units, part.conversion_to_units) == (50_500_001, 101_000_001)
    assert (part.payout_units, part.got_units, part.paid_out_units) == (101_000_001, 50, 100)
    assert (part.payout_sent, part.conversion_came, part.payout_came) == thirds
    assert [one.got_units for name in names(street) for one in added_up(street.db, name).parts] == [25, 25, 50]


def test_every_transaction_leads_back_to_its_three_buyers(street: Street, thirds: tuple[str, str, str]) -> None:
    sent, came, paid = thirds
    assert buyers(street, sent) == [("transfer 2 (final) for swap 2 of payout 1", [25_250_000, 25_250_000, 50_500_001])]
    assert buyers(street, came.upper().replace("0X", "0x")) == [("swap 1 paid out for conversion 1", [25_250_000, 25_250_000, 50_500_001])]
    assert buyers(street, paid) == [("swap 2 paid out for payout 1", [25, 25, 50])]
    assert buyers(street, "transfer:1") == [("transfer 1 (final) for swap 1 of conversion 1", [ETHER, ETHER, 2 * ETHER])]
    payin = str(street.value("SELECT payin_address FROM swap WHERE id = 1"))
    assert buyers(street, payin.lower()) == buyers(street, "transfer:1")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT provider_id FROM processed_payments LIMIT 1",
        "SELECT unique_id FROM orders LIMIT 1",
        "SELECT lower(unique_id) FROM orders LIMIT 1",
        "SELECT payout_hash FROM processed_payments LIMIT 1",
        "SELECT 'payout:' || id FROM split_payout_que",
        "SELECT 'conversion:' || id FROM batch_conversions",
        "SELECT 'swap:' || max(id) FROM swap",
        "SELECT 'transfer:' || max(id) FROM transfer",
        "SELECT provider_id FROM swap WHERE id = 1",
        "SELECT payout_hash FROM swap WHERE id = 2",
        "SELECT payin_address FROM swap WHERE id = 2",
        "SELECT tx_hash FROM transfer_attempt LIMIT 1",
    ],
)
def test_any_of_its_names_leads_to_the_payout(street: Street, thirds: tuple[str, str, str], sql: str) -> None:
    name = str(street.value(sql))
    assert ("payout", "1", "funded → settled (tests)") in {(event.what, event.subject, event.detail) for event in journey(street.db, name)}
    assert {part.payout_id for part in added_up(street.db, name).parts} == {1}


@pytest.mark.parametrize("name", ["", "payout:2", "payout:x", "0x" + "00" * 32, "'; DROP TABLE swap", "99", "transfer:99999999999999999999"])
def test_what_nobody_knows_is_said_in_a_sentence(street: Street, thirds: tuple[str, str, str], name: str) -> None:
    with pytest.raises(NotFound, match="nobody knows"):
        added_up(street.db, name)


def test_the_buyers_own_transaction_leads_to_his_payment(street: Street) -> None:
    street.earn(street.owner(), ETHER)
    with street.db.transaction() as tx:
        tx.run("UPDATE processed_payments SET payin_hash = 'abcdef0123', pay_currency = 'ltc', actually_paid = 12.50")
    assert buyers(street, "abcdef0123") == [("the buyer paid 12.5 LTC, which became", [ETHER])]


def test_a_payout_that_came_back_still_leads_to_its_buyers(street: Street) -> None:
    owner = street.owner()
    street.available(owner, 40 * DOLLAR, 30 * DOLLAR)
    street.plans()
    back = street.gets_back(7)
    sent = str(street.value("SELECT mined_hash FROM transfer"))
    assert street.count("payout_accumulation", "payout_id IS NOT NULL") == 0
    assert buyers(street, sent) == [("transfer 1 (final) for swap 1 of payout 1", [40 * DOLLAR, 30 * DOLLAR])]
    assert buyers(street, str(back)) == [("swap 1 sent back from payout 1", share_out(70 * DOLLAR - 7, [40, 30]))]
    assert {event.what for event in journey(street.db, "payout:1")} >= {"payout", "swap", "transfer", "accumulation", "ledger"}
    # It is paid again, and both ways are told apart.
    street.plans()
    paid = street.pays(12_345)
    assert [origin.moved.key for origin in added_up(street.db, str(paid)).transactions] == [2]


def test_a_conversion_that_came_back_still_leads_to_its_buyers(street: Street) -> None:
    for wei in (ETHER // 3, ETHER // 7):
        street.earn(street.owner(), wei)
    whole = ETHER // 3 + ETHER // 7
    back = street.converts(None, back=whole - 11)
    assert buyers(street, "transfer:1") == [("transfer 1 (final) for swap 1 of conversion 1", [ETHER // 3, ETHER // 7])]
    assert buyers(street, str(back)) == [("swap 1 sent back from conversion 1", share_out(whole - 11, [ETHER // 3, ETHER // 7]))]


# --- any history


@pytest.mark.parametrize("turn", range(5))
def test_any_history_adds_up_to_the_last_unit(street: Street, dice: random.Random, turn: int) -> None:
    live(street, dice, turns=18)
    check_forward(street)
    check_backward(street)


def test_a_history_of_which_everything_happens_is_among_them(street: Street) -> None:
    """What the random ones may miss by chance is played once: a payout after a refund, of money from two conversions and from USDT."""
    owners = [street.owner(), street.owner()]
    for turn in range(3):
        for number, owner in enumerate(owners):
            street.earn(owner, ETHER // (17 + number + turn), fee=turn)
        street.converts(None, back=ETHER // 100) if turn == 1 else street.converts(123_456_789 + turn)
    street.earn(owners[0], 33 * DOLLAR + 1, asset="usdterc20")
    street.plans()
    street.gets_back(3)
    street.plans()
    while street.pays(99_991):
        pass
    states = ("SELECT state FROM split_payout_que ORDER BY id", "SELECT state FROM batch_conversions ORDER BY id")
    assert [[state for (state,) in street.rows(sql)] for sql in states] == [["settled", "released", "settled"], ["done", "refunded", "done"]]
    check_forward(street)
    check_backward(street)


def live(street: Street, dice: random.Random, *, turns: int) -> None:
    """Owners earn, conversions and payouts succeed or come back, in any order."""
    owners = [street.owner(threshold=dice.choice([0, 50])) for _ in range(3)]
    for _ in range(turns):
        match dice.choice(["earn", "earn", "usdt", "convert", "convert", "refund", "plan", "pay", "pay", "back"]):
            case "earn":
                street.earn(dice.choice(owners), dice.randrange(1, ETHER // 20), fee=dice.randrange(10**6))
            case "usdt":
                street.earn(dice.choice(owners), dice.randrange(1, 90 * DOLLAR), asset="usdterc20", fee=dice.randrange(100))
            case "convert":
                street.converts(dice.randrange(1, 400 * DOLLAR))
            case "refund":
                street.converts(None, back=dice.randrange(1, ETHER // 100))
            case "plan":
                street.plans()
            case "pay":
                street.pays(dice.randrange(1, 10**6))
            case "back":
                street.gets_back(dice.randrange(100))
        with street.db.reading() as tx:
            # Somebody looks at what came back, and lets it go on.
            tx.run("UPDATE failed_transactions SET resolved_at = pgp_now() WHERE resolved_at IS NULL")


def names(street: Street) -> list[str]:
    return [str(name) for (name,) in street.rows("SELECT provider_id FROM processed_payments ORDER BY id")]


def check_forward(street: Street) -> None:
    """Each payment is its owner's part and the fee; the parts of each conversion and payout sum to it, each within a unit of its due."""
    parts: list[shares.Part] = []
    for name in names(street):
        told = added_up(street.db, name)
        (paid,) = told.payments
        assert paid.outcome_units == paid.owner_units + paid.fee_units
        assert paid.owner_units == sum(part.units for part in told.parts)
        parts += told.parts
    for key, total, own, whole in (
        ("conversion_id", "conversion_from_units", "units", None),
        ("conversion_id", "conversion_to_units", "converted_units", "units"),
        ("payout_id", "payout_units", "converted_units", None),
        ("payout_id", "paid_out_units", "got_units", "converted_units"),
    ):
        check_sums(parts, key=key, total=total, own=own, by=whole)


def check_sums(parts: list[shares.Part], *, key: str, total: str, own: str, by: str | None) -> None:
    groups: dict[Any, list[shares.Part]] = defaultdict(list)
    for part in parts:
        if getattr(part, key) is not None and getattr(part, total) is not None:
            groups[getattr(part, key)].append(part)
    for group in groups.values():
        whole = getattr(group[0], total)
        assert sum(getattr(part, own) for part in group) == whole
        if by is not None:
            weights = sum(getattr(part, by) for part in group)
            assert all(abs(getattr(part, own) - Fraction(whole * getattr(part, by), weights)) < 1 for part in group)


def check_backward(street: Street) -> None:
    """Of every transaction that anybody could name, the buyers' units sum to what it moved."""
    hashes = street.rows(
        """
        SELECT tx_hash FROM transfer_attempt UNION SELECT payout_hash FROM swap WHERE payout_hash IS NOT NULL UNION SELECT refund_hash FROM swap
         WHERE refund_hash IS NOT NULL UNION SELECT payout_hash FROM processed_payments WHERE payout_hash IS NOT NULL
        """
    )
    assert hashes
    for (name,) in hashes:
        told = added_up(street.db, str(name))
        assert told.transactions
        for origin in told.transactions:
            assert sum(buyer.units for buyer in origin.buyers) == origin.moved.units, origin
            assert {buyer.provider_id for buyer in origin.buyers} <= {paid.provider_id for paid in told.payments}
    by_owner = street.rows("SELECT units, tx_hash FROM arrival WHERE cause = 'payment'")
    assert all(added_up(street.db, tx_hash).transactions[0].moved.units == units for units, tx_hash in by_owner)


@pytest.mark.parametrize("seed", range(200))
def test_shares_of_anything_sum_and_do_not_depend_on_the_order_of_equals(seed: int) -> None:
    dice = random.Random(seed)
    stakes = [shares.Stake(number, "p", "o", 1, dice.randrange(1, 10 ** dice.randrange(1, 20)), None) for number in range(dice.randrange(1, 12))]
    total = dice.randrange(10 ** dice.randrange(1, 20))
    parts = shares.share_of(total, stakes)
    assert sum(parts) == total
    whole = sum(stake.units for stake in stakes)
    assert all(abs(part - Fraction(total * stake.units, whole)) < 1 for part, stake in zip(parts, stakes, strict=True))
    assert shares.share_of(whole, stakes) == [stake.units for stake in stakes]
    for (one, mine), (other, theirs) in itertools.pairwise(sorted(zip(stakes, parts, strict=True), key=lambda pair: (pair[0].units, pair[0].accumulation_id))):
        assert mine <= theirs or one.units == other.units


# --- what people did, and how it is told


def test_letters_moves_and_freezes_stand_in_the_order_of_time(street: Street, pgp: Operator) -> None:
    owner = street.owner(asset="usdterc20", address=an_address())
    street.available(owner, 60 * DOLLAR)
    street.plans()
    with street.db.transaction() as tx:
        tx.run("INSERT INTO failed_transactions (source, subject, reason) VALUES ('payout.requote', '1', 'quotes_spent')")
    number = street.value("SELECT id FROM failed_transactions")
    pgp("payout", "release", 1)
    events = journey(street.db, "payout:1")
    told = [(event.what, event.subject, event.detail.split(" (")[0]) for event in events if event.what in {"letter", "operator"}]
    assert told == [
        ("letter", str(number), "payout.requote 1: quotes_spent"),
        ("operator", "payout 1", "payout.release"),
        ("operator", "payout.requote 1", "dead letter handled"),
    ]
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert ("ledger", "payout.release 1") in {(event.what, event.subject) for event in events}


def test_the_summary_is_told_in_coins_and_a_machine_gets_units(street: Street, thirds: tuple[str, str, str], pgp: Operator) -> None:
    provider = names(street)[2]
    told = pgp("trace", provider, "--parts", why=False)
    assert "2.000000000000000007 ETH = 2 ETH of its owner + 0.000000000000000007 ETH fee" in told
    assert "is 50.500001 USDTERC20 of 101.000001 USDTERC20 that came by 0x" in told
    assert "is 0.0000005 BTC of 0.000001 BTC that its owner got by 0x" in told
    assert [one["got_units"] for one in pgp.reads("trace", provider, "--parts")["parts"]] == [50]
    back = pgp.reads("trace", thirds[2], "--parts")["transactions"]
    assert [[buyer["units"] for buyer in origin["buyers"]] for origin in back] == [[25, 25, 50]]
    # A pipe gets the events alone, as before.
    assert all(line.startswith("20") for line in pgp("trace", provider, why=False).splitlines())
    assert isinstance(pgp.reads("trace", provider), list)


def test_a_person_reads_the_sum_before_the_journey(street: Street, thirds: tuple[str, str, str]) -> None:
    theirs, ours = os.openpty()
    environment = {**os.environ, **street._environment, "PGP_STATE_DIR": "/nowhere", "COLUMNS": "200"}
    words = [sys.executable, "-m", "PGP_COMMON.cli", "trace", names(street)[2]]
    with subprocess.Popen(words, stdout=ours, env=environment, cwd=Path(__file__).parents[2]) as process:
        os.close(ours)
        read = b""
        # A terminal whose other end is closed says so by an error.
        with suppress(OSError):
            while more := os.read(theirs, 65536):
                read += more
    os.close(theirs)
    assert process.returncode == 0
    told = read.decode().splitlines()
    assert told[0].startswith("payment ")
    assert "2 ETH of its owner" in told[0]
    assert any("is 0.0000005 BTC of 0.000001 BTC" in line for line in told[:8])
    assert any("time" in line and "detail" in line for line in told)


def test_the_platforms_own_has_no_buyers(street: Street, pgp: Operator) -> None:
    pgp("treasury", "withdraw", "--asset", "eth", "--amount", "1", "--to", an_address(), "--from", "equity")
    told = pgp("trace", "transfer:1", "--parts", why=False)
    assert told == "transfer 1 (requested) for the platform: 1 ETH\n  nobody's but the platform's own\n"
    assert {event.what for event in journey(street.db, "transfer:1")} >= {"transfer", "operator"}


def test_every_line_of_a_summary_is_readable_before_anything_has_happened(street: Street) -> None:
    street.earn(street.owner(), ETHER, arrived=False)
    lines = list(telling.lines(added_up(street.db, names(street)[0])))
    assert lines[1] == "  part 1, of owner 1 (pending): 1 ETH"
    assert "None" not in "\n".join(lines)
