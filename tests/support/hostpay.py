"""The three HOSTPAY services over a real Ethereum node, whose blocks are made when a test says so."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from eth_account import Account

from deploy.simulators.chain.deploy import deploy_token, mint
from deploy.simulators.chain.node import Node, transfer_data
from PGP_COMMON.clients.ethereum import Ethereum
from PGP_COMMON.database import BaseDatabaseManager, Transaction, make_engine
from PGP_COMMON.directory import service_named, service_of
from PGP_COMMON.money import from_units
from PGP_COMMON.money_machines import coins, ledger, payouts, quotes, swaps, transfers, wallet
from PGP_COMMON.runtime import Runtime
from PGP_HOSTPAY_v1.hostpay2_status_checker import steps as hostpay2_steps
from tests.support.anvil import anvil
from tests.support.earnings import DOLLAR, ETHER, Town
from tests.support.fake_exchange import FakeExchange, an_address
from tests.support.settings import environ

CHAIN_ID = 31337
# Enough to make what was signed a moment ago final.
FINAL_BLOCKS = 4
GWEI = 10**9


class TestChain:
    """One Anvil with the test token on it."""

    __test__ = False

    def __init__(self, url: str) -> None:
        """Deploy the token, then stop the clock: from here on blocks are made by `mine`."""
        self.url = url
        self.node = Node(url)
        self._token_key = "0x" + secrets.token_hex(32)
        self.token = deploy_token(url, self._token_key)
        self.vendor = Account.create()
        self._sending = threading.Lock()
        self.node.call("anvil_setBalance", self.vendor.address, hex(1000 * ETHER))
        mint(url, self._token_key, self.token, self.vendor.address, 10**6 * DOLLAR)
        self.node.call("evm_setIntervalMining", 0)

    def mine(self, blocks: int = 1) -> None:
        """Make blocks, with whatever is in the pool."""
        for _ in range(blocks):
            self.node.call("evm_mine")

    def base_fee(self, wei: int) -> None:
        """Let blocks cost so much per gas from now on (a block's fee moves by an eighth at most)."""
        self.node.call("anvil_setNextBlockBaseFeePerGas", hex(wei))
        self.mine()

    def send(self, to: str, units: int, *, token: bool = False) -> str:
        """The vendor sends wei, or USDT units; it is in the pool, and gives its hash."""
        call = {"to": self.token, "data": transfer_data(to, units), "value": 0} if token else {"to": to, "value": units}
        fields = {"type": 2, "chainId": CHAIN_ID, "gas": 100_000, "maxFeePerGas": 100 * 10**9, "maxPriorityFeePerGas": 10**9, **call}
        with self._sending:
            fields["nonce"] = self.node.number("eth_getTransactionCount", self.vendor.address, "pending")
            signed = self.vendor.sign_transaction(fields)
            return str(self.node.call("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex()))

    def mint(self, to: str, units: int) -> None:
        """Give an address USDT units."""
        self.send(to, units, token=True)
        self.mine()

    def received(self, address: str, *, token: bool) -> int:
        """What an address holds."""
        return self.node.token_balance(self.token, address) if token else self.node.balance(address)


@contextmanager
def a_chain() -> Iterator[TestChain]:
    """A chain for the tests of one module."""
    with anvil() as url:
        yield TestChain(url)


class Harbour(Town):
    """A town whose wallet is real: HOSTPAY1 to 3 over a chain, and an exchange in memory."""

    def __init__(self, url: str, chain: TestChain, *, wei: int = 5 * ETHER, units: int = 5_000 * DOLLAR, pool: int = 16, **settings: str) -> None:
        """Open a wallet that nobody has used, with so much wei and USDT of the platform's own; so many threads can work at once."""
        self.test_chain = chain
        self.account = Account.create()
        self.address = str(self.account.address)
        ours = {
            "ETHEREUM_RPC_URL": chain.url,
            "ETHEREUM_CHAIN_ID": str(CHAIN_ID),
            "USDT_CONTRACT": chain.token,
            "HOST_WALLET_ETH_ADDRESS": self.address,
            "HOST_WALLET_USDT_ADDRESS": self.address,
            "HOST_WALLET_PRIVATE_KEY": "0x" + bytes(self.account.key).hex(),
        }
        self._environment = environ(url, **{**ours, **settings})
        self.db = BaseDatabaseManager(make_engine(url, application="tests", pool=pool))
        self.exchange = FakeExchange()
        self._numbers = itertools.count(1)
        self.services: dict[str, Runtime] = {}
        chain.base_fee(GWEI)
        chain.node.call("anvil_setBalance", self.address, hex(wei))
        if units:
            chain.mint(self.address, units)
        chain.mine(FINAL_BLOCKS)
        self.chain = Ethereum([chain.url], chain_id=CHAIN_ID, tokens={"usdterc20": chain.token})
        with self.db.transaction() as tx:
            self.wallet_id = wallet.open(
                tx, address=self.address, chain_id=CHAIN_ID, nonce=0, block=self.chain.finalized(), balances={"eth": wei, "usdterc20": units}
            )
        for name in ("hostpay1", "hostpay2", "hostpay3"):
            self.services[f"pgp-{name}-v1"] = self.start(f"pgp-{name}-v1")

    def start(self, name: str) -> Runtime:
        """One more process of a service, on the tests' connections: the chain is real, the exchange is in memory, and nobody is woken."""
        runtime = Runtime(service_named(name), self._environment)
        runtime.db.engine.dispose()
        runtime.db.engine = self.db.engine
        runtime.db._publish = None
        runtime.engine.publish = lambda _wakes: None
        if name == "pgp-hostpay2-v1":
            runtime.engine.clients = hostpay2_steps.Clients(chain=runtime.clients.chain, exchange=self.exchange.client)
        return runtime

    # --- time

    def pass_time(self, seconds: int) -> None:
        """Move the database's clock on."""
        with self.db.transaction() as tx:
            moved = int(tx.value("SELECT extract(epoch FROM pgp_now() - now())")) + seconds
            tx.run(f"CREATE OR REPLACE FUNCTION pgp_now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT now() + interval ''{moved} seconds'''")

    def until(self, claim: Callable[[], bool], *, blocks: int = 1, but: tuple[str, ...] = ()) -> None:
        """Run work and make blocks, until a claim holds; fails the test when it never does."""
        for _ in range(40):
            self.work(but=but)
            if claim():
                return
            self.test_chain.mine(blocks)
        raise AssertionError(f"it never happens: {self.rows('SELECT step, subject, state, last_error FROM work ORDER BY id')}")

    def work(self, *, but: tuple[str, ...] = ()) -> None:
        """Run whatever waits, once, whatever its time: nothing here waits for the clock."""
        for step, subject in self.rows("SELECT step, subject FROM work WHERE state = 'open' ORDER BY id"):
            if step not in but and self.knows(step):
                self.hurry(step, subject)
                self.run(step, subject)

    def knows(self, step: str) -> bool:
        """Whether a step is of these services."""
        return service_of(step)[0].name in self.services

    def hurry(self, step: str, subject: object) -> None:
        """Let a unit of work be due now, and nobody have it."""
        with self.db.reading() as tx:
            tx.run(
                "UPDATE work SET not_before = pgp_now(), lease_until = NULL WHERE step = :step AND subject = :subject AND state = 'open'",
                step=step,
                subject=str(subject),
            )

    # --- what is asked for

    def ask(self, *, units: int, asset: str = "usdterc20", recipient: str | None = None) -> int:
        """A withdrawal of the platform's own money: the plainest transfer there is. Gives back its id."""
        with self.db.transaction() as tx:
            asked = transfers.request(
                tx, wallet_id=self.wallet_id, purpose="treasury", asset=asset, recipient=recipient or an_address(), units=units, reason="equity"
            )
        assert asked is not None
        self.fire("transfer.sign", str(asked))
        return asked

    def transfer(self, transfer_id: int) -> transfers.TransferRow:
        """A transfer as it is."""
        with self.db.reading() as tx:
            return transfers.get(tx, transfer_id)

    def attempts(self, transfer_id: int) -> list[transfers.AttemptRow]:
        """Its attempts."""
        with self.db.reading() as tx:
            return transfers.attempts(tx, transfer_id)

    def reserved(self, *, asset: str = "btc", address: str | None = None, units: int = 100 * DOLLAR) -> int:
        """A payout whose money is set aside, as BATCH leaves it; gives back its id."""
        owner = self.owner(asset=asset, **({} if address is None else {"address": address}))
        earned = self.earn(owner, units, asset="usdterc20", arrived=False)
        with self.db.transaction() as tx:
            for state in ("converting", "converted"):
                tx.run("UPDATE payout_accumulation SET state = :state, converted_asset = asset, converted_units = units WHERE id = :id", state=state, id=earned)
            details = int(tx.value("SELECT id FROM payout_details WHERE owner_id = :owner", owner=owner))
            made = payouts.reserve(tx, owner_id=owner, details_id=details, asset="usdterc20", units=units, fee_cap_percent=2, correlation="c")  # type: ignore[arg-type]
            tx.run("UPDATE payout_accumulation SET state = 'attached', payout_id = :payout WHERE id = :id", payout=made, id=earned)
            lines = [ledger.debit(ledger.owed(owner, "pending", "usdterc20"), units), ledger.credit(ledger.owed(owner, "reserved", "usdterc20"), units)]
            ledger.post(tx, "payout.reserve", made, lines)
        return made

    def direct(self, payout_id: int) -> int:
        """Agree on a payout that needs no exchange, as SPLIT1 does; gives back the quote."""
        with self.db.transaction() as tx:
            quote_id = quotes.agree_directly(tx, payout_id)
            assert payouts.agree(tx, payout_id)
        self.fire("payout.direct", str(quote_id))
        return quote_id

    def swap_for(self, payout_id: int, *, valid_s: int = 1200) -> int:
        """The exchange waits for a payout's USDT, as SPLIT1 to SPLIT3 leave it; gives back the swap."""
        with self.db.transaction() as tx:
            quote_id = quotes.ask_for_payout(tx, payout_id)
            self._price(tx, quote_id, to_units=90_000, valid_s=valid_s)
            assert payouts.agree(tx, payout_id)
            swap_id = self._create(tx, quote_id, address=payouts.get(tx, payout_id).address)
            assert payouts.await_funding(tx, payout_id)
        self.fire("swap.fund", str(swap_id))
        return swap_id

    def swap_of_conversion(self, conversion_id: int, *, wei: int, valid_s: int = 1200) -> int:
        """The exchange waits for a conversion's ETH, as MICROBATCH leaves it; gives back the swap."""
        with self.db.transaction() as tx:
            quote_id = quotes.ask_for_conversion(tx, conversion_id)
            self._price(tx, quote_id, to_units=3_000 * DOLLAR * wei // ETHER, valid_s=valid_s)
            for state in ("quoted", "swapping"):
                tx.run("UPDATE batch_conversions SET state = :state WHERE id = :id", state=state, id=conversion_id)
            swap_id = self._create(tx, quote_id, address=self.address)
        self.fire("swap.fund", str(swap_id))
        return swap_id

    def _price(self, tx: Transaction, quote_id: int, *, to_units: int, valid_s: int) -> None:
        tx.run(
            """
            UPDATE quote SET to_units = :units, rate_id = 'r', valid_until = pgp_now() + make_interval(secs => :valid), cost_bps = 40, priced_at = pgp_now()
             WHERE id = :id
            """,
            id=quote_id,
            units=to_units,
            valid=valid_s,
        )

    def _create(self, tx: Transaction, quote_id: int, *, address: str) -> int:
        payin, provider = an_address(), secrets.token_hex(7)
        swap_id = swaps.plan(tx, quote_id, payout_address=address, payout_extra_id=None, refund_address=self.address)
        assert swaps.remember(tx, swap_id, provider_id=provider, payin_address=payin)
        swap = swaps.get(tx, swap_id)
        assert swaps.mark_created(tx, swap_id, deadline=swap.deadline)
        gives, gets = coins.coin(tx, swap.from_asset), coins.coin(tx, swap.to_asset)
        self.exchange.exchanges[provider] = {
            "id": provider,
            "fromAmount": str(from_units(swap.from_units, gives.decimals)),
            "toAmount": str(from_units(swap.to_units, gets.decimals)),
            "payinAddress": payin,
            "payoutAddress": address,
            "refundAddress": self.address,
            "fromCurrency": gives.ticker,
            "fromNetwork": gives.network,
            "toCurrency": gets.ticker,
            "toNetwork": gets.network,
        }
        return swap_id

    def swap(self, swap_id: int) -> swaps.SwapRow:
        """A swap as it is."""
        with self.db.reading() as tx:
            return swaps.get(tx, swap_id)

    def payout(self, payout_id: int) -> payouts.PayoutRow:
        """A payout as it is."""
        with self.db.reading() as tx:
            return payouts.get(tx, payout_id)

    def letters(self) -> list[tuple[str, str, str]]:
        """Source, subject and reason of every open dead letter."""
        rows = self.rows("SELECT source, subject, reason FROM failed_transactions WHERE resolved_at IS NULL ORDER BY id")
        return [(str(source), str(subject), str(reason)) for source, subject, reason in rows]

    def exchange_says(self, **fields: Any) -> None:
        """Let the exchange say this whenever it is asked about an order, until told otherwise."""
        self.exchange.on_look = [lambda seen: seen.update(fields)] * 200 if fields else []

    def account_of(self, account: ledger.Account) -> int:
        """What stands on a ledger account."""
        with self.db.reading() as tx:
            return ledger.balance(tx, account)


@contextmanager
def a_harbour(url: str, chain: TestChain, **more: Any) -> Iterator[Harbour]:
    """A harbour over a fresh database."""
    harbour = Harbour(url, chain, **more)
    try:
        yield harbour
    finally:
        harbour.close()
