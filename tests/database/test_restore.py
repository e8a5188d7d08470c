"""A database that was restored from a dump of mid-run knows it by itself, signs nothing, and pays nobody twice once its wallet is adopted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from PGP_COMMON.errors import Conflict
from tests.support import postgres, restoring
from tests.support.earnings import DOLLAR, ETHER
from tests.support.fake_exchange import an_address
from tests.support.hostpay import GWEI, Harbour, TestChain, a_chain, a_harbour
from tests.support.restoring import agree, direct, hurry_all, ordered, read_chain, reconcile, transfer_of, verb

AWAY = "this is not the database that the wallet was opened in"


@pytest.fixture(scope="module")
def chain() -> Iterator[TestChain]:
    with a_chain() as made:
        yield made


@pytest.fixture
def harbour(database_url: str, chain: TestChain) -> Iterator[Harbour]:
    with a_harbour(database_url, chain) as made:
        yield made


# --- it knows by itself


def test_a_restored_database_is_frozen_from_the_first_statement_and_says_so_at_the_first_look(harbour, tmp_path):
    payout, address = direct(harbour, 50 * DOLLAR)
    file = restoring.dump(harbour._environment["DATABASE_URL"], tmp_path / "dump.sql")
    with restoring.restored(harbour, file) as later:
        assert AWAY in verb(later, "show")
        assert later.run("transfer.sign", transfer_of(later, address).id) == "paused"
        with pytest.raises(Conflict, match="pgp wallet adopt"):
            verb(later, "unfreeze", "--reason", "impatience")
        reconcile(later)
        assert later.value("SELECT frozen_reason FROM wallet") == AWAY
        assert ("wallet", harbour.address, "wallet_frozen") in later.letters()
        assert later.count("transfer_attempt") == 0
        # What follows facts goes on, and what was prepared is not given up.
        later.pass_time(24 * 3600)
        hurry_all(later)
        assert later.payout(payout).state == "funding"
    assert harbour.run("transfer.sign", transfer_of(harbour, address).id) == "done"


def test_a_dump_that_is_restored_into_the_same_database_is_known_too(harbour, tmp_path):
    url = harbour._environment["DATABASE_URL"]
    file = restoring.dump(url, tmp_path / "dump.sql")
    harbour.db.engine.dispose()
    restoring.empty(url)
    restoring.restore(url, file)
    assert AWAY in verb(harbour, "show")


def test_a_copy_of_the_database_is_not_its_home_and_the_original_is(harbour):
    source = harbour._environment["DATABASE_URL"]
    name = source.rpartition("/")[2]
    harbour.db.engine.dispose()
    with postgres.server().database(template=name) as url:
        assert AWAY in verb(harbour, "show", DATABASE_URL=url)
    assert AWAY not in verb(harbour, "show")


def test_vacuum_and_a_restart_of_every_service_leave_the_wallet_at_home(harbour):
    harbour.db.engine.dispose()
    restoring._run("psql", harbour._environment["DATABASE_URL"], "--quiet", "--command", "VACUUM FREEZE")
    restoring._run("psql", harbour._environment["DATABASE_URL"], "--quiet", "--command", "VACUUM FULL wallet_home")
    assert AWAY not in verb(harbour, "show")
    assert "nothing to adopt" in verb(harbour, "adopt", "--reason", "curiosity")
    assert harbour.value("SELECT frozen_reason FROM wallet") is None


# --- the drill


class Drill:
    """A wallet in the middle of its work: what is signed, wanted and not yet wanted at the moment of the dump."""

    def __init__(self, harbour: Harbour) -> None:
        """Bring everything to where the dump finds it."""
        self.harbour, self.chain = harbour, harbour.test_chain
        self.held = {token: self.chain.received(harbour.address, token=token) for token in (False, True)}
        # Where how many dollars should be in the end.
        self.paid: dict[str, int] = {}
        self.bumped_swap, self.bumped = ordered(harbour, 12 * DOLLAR)
        self.expect(direct(harbour, 11 * DOLLAR)[1], 11)
        harbour.until(lambda: harbour.count("transfer", "state = 'requested'") == 2, blocks=0, but=("transfer.sign",))
        for address in (self.bumped, *self.paid):
            harbour.run("transfer.sign", transfer_of(harbour, address).id)
        self.expect(self.bumped, 12)
        self.expect(direct(harbour, 13 * DOLLAR)[1], 13)
        self.created_swap, created = ordered(harbour, 14 * DOLLAR)
        self.expect(created, 14)
        self.funding_swap, funding = ordered(harbour, 15 * DOLLAR)
        self.expect(funding, 15)
        for step in ("swap.fund", "swap.check", "swap.fundable"):
            harbour.run(step, self.funding_swap)
        self.reserved = self.reserve(16)
        self.late = harbour.reserved(units=17 * DOLLAR)
        self.in_pool = self.reserve(18)
        self.never = self.reserve(19)

    def expect(self, address: str, dollars: int) -> None:
        """So much is to be at an address in the end."""
        self.paid[address] = dollars

    def reserve(self, dollars: int) -> int:
        """A direct payout whose money is set aside."""
        address = an_address()
        self.expect(address, dollars)
        return self.harbour.reserved(asset="usdterc20", address=address, units=dollars * DOLLAR)

    def go_on(self) -> None:
        """What the dump does not know: everybody is paid but one; one by a dearer attempt, one for an order made later, one is in a pool."""
        harbour = self.harbour
        self.chain.base_fee(100 * GWEI)
        harbour.pass_time(600)
        harbour.work(but=("transfer.sign", "swap.fund", "wallet.reconcile"))
        assert len(harbour.attempts(transfer_of(harbour, self.bumped).id)) == 2
        self.chain.base_fee(GWEI)
        harbour.direct(self.reserved)
        late_swap = harbour.swap(harbour.swap_for(self.late))
        self.order, self.late_payin = str(late_swap.provider_id), str(late_swap.payin_address)
        self.expect(self.late_payin, 17)
        self.withdrawn = an_address()
        harbour.ask(units=ETHER // 10, asset="eth", recipient=self.withdrawn)
        harbour.until(lambda: harbour.count("transfer", "state = 'final'") == 8)
        harbour.direct(self.in_pool)
        harbour.until(lambda: harbour.count("transfer", "state = 'broadcast'") == 1, blocks=0)
        self.lost_nonces = int(harbour.value("SELECT next_nonce FROM wallet"))

    def explain(self, later: Harbour) -> None:
        """A person says what no row can: which payout the order was for, and that he had withdrawn something."""
        strays = dict(later.rows("SELECT lower(recipient), tx_hash FROM chain_tx WHERE explained_at IS NULL"))
        assert set(strays) == {self.late_payin.lower(), self.withdrawn.lower()}
        for_order, withdrawal = strays[self.late_payin.lower()], strays[self.withdrawn.lower()]
        with restoring.listening(self.harbour.exchange) as exchange:
            wrong = ("--payout", str(self.never), "--order", self.order)
            with pytest.raises(Conflict, match=f"payout {self.never}"):
                verb(later, "explain", for_order, "--reason", "a guess", *wrong, CHANGENOW_URL=exchange)
            right = ("--payout", str(self.late), "--order", self.order)
            verb(later, "explain", for_order, "--reason", "the exchange says so", *right, CHANGENOW_URL=exchange)
        verb(later, "explain", withdrawal, "--reason", "I remember", "--treasury", "equity")

    def finish(self, later: Harbour) -> None:
        """Everything goes on to its end."""
        later.direct(self.never)
        later.exchange_says(status="finished", amountTo="0.0009", payoutHash="ab" * 32)
        later.until(lambda: later.count("split_payout_que", "state <> 'settled'") == 0)
        later.until(lambda: later.count("transfer", "state NOT IN ('final', 'cancelled')") == 0)

    def check_chain(self) -> None:
        """Nobody has more or less than he should, and nothing else has left the wallet."""
        chain = self.chain
        assert {address: chain.received(address, token=True) for address in self.paid} == {address: n * DOLLAR for address, n in self.paid.items()}
        assert chain.received(self.withdrawn, token=False) == ETHER // 10
        assert self.held[True] - chain.received(self.harbour.address, token=True) == sum(self.paid.values()) * DOLLAR


def test_a_restored_database_finds_every_transfer_again_and_nobody_is_paid_twice(harbour, chain, tmp_path):
    drill = Drill(harbour)
    file = restoring.dump(harbour._environment["DATABASE_URL"], tmp_path / "dump.sql")
    drill.go_on()
    with restoring.restored(harbour, file) as later:
        before = later.count("transfer_attempt")
        read_chain(later)
        hurry_all(later)
        assert later.count("transfer_attempt") == before == 2
        assert later.value("SELECT next_nonce FROM wallet") == 2
        # Nothing has been given up meanwhile.
        assert {later.swap(swap).state for swap in (drill.created_swap, drill.funding_swap, drill.bumped_swap)} <= {"created", "funding", "funded"}

        assert "2 transactions are left to explain" in verb(later, "adopt", "--reason", "the drill", "--patience-s", "0")
        assert later.value("SELECT next_nonce FROM wallet") == drill.lost_nonces
        with pytest.raises(Conflict, match="unexplained"):
            verb(later, "unfreeze", "--reason", "impatience")
        agree(later, unexplained=2)
        drill.explain(later)
        verb(later, "unfreeze", "--reason", "everything is explained")
        drill.finish(later)
        agree(later)
        assert later.letters() == []
        assert later.value("SELECT next_nonce FROM wallet") == chain.node.nonce(harbour.address) == drill.lost_nonces + 16
    drill.check_chain()
