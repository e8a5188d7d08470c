"""Our wallet: its nonces, its freeze, what it may spend, and how far its chain has been read. States and SQL of wallet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import Conflict
from PGP_COMMON.money_machines import ledger
from PGP_COMMON.money_machines.rows import Row

# Gas is paid in this; payouts are funded with that.
GAS: Final = "eth"
FUNDING: Final = "usdterc20"
# Which of the platform's own accounts a withdrawal takes from.
EQUITY: Final = "equity"
FEES: Final = "income:fee"


@dataclass(frozen=True)
class WalletRow(Row):
    """The wallet. Every nonce from `first_nonce` to before `next_nonce` has its row; its chain has been read up to `scanned_block`.

    `at_home`: whether this is the database that it was opened in. Away from home it is frozen, whether somebody has written that down or not.
    """

    id: int
    address: str
    chain_id: int
    first_nonce: int
    next_nonce: int
    scanned_block: int
    max_in_flight: int
    gas_reserve_wei: int
    frozen_reason: str | None
    at_home: bool


def find(tx: Transaction, address: str) -> WalletRow | None:
    """The wallet with this address, or None while `pgp wallet init` has not opened it."""
    return tx.one(
        WalletRow,
        """
        SELECT id, address, chain_id, first_nonce, next_nonce, scanned_block, max_in_flight, gas_reserve_wei, frozen_because(wallet) AS frozen_reason,
               is_home(id) AS at_home
          FROM wallet WHERE lower(address) = lower(:address)
        """,
        address=address,
    )


def lock(tx: Transaction, wallet_id: int) -> WalletRow | None:
    """The wallet, locked until the transaction ends: whoever signs has it alone. Its transfer is locked before it, ledger accounts after it."""
    return tx.one(
        WalletRow,
        """
        SELECT id, address, chain_id, first_nonce, next_nonce, scanned_block, max_in_flight, gas_reserve_wei, frozen_because(wallet) AS frozen_reason,
               is_home(id) AS at_home
          FROM wallet WHERE id = :id FOR NO KEY UPDATE
        """,
        id=wallet_id,
    )


def open(tx: Transaction, *, address: str, chain_id: int, nonce: int, block: int, balances: Mapping[str, int], gas_reserve_wei: int | None = None) -> int:  # noqa: A001 - the ledger's word
    """Begin a wallet's books: its address, its next nonce, and what it holds at `block` (base units by asset), which is the platform's own.

    Gives back its id; raises Conflict when there is a wallet already.
    """
    if tx.value("SELECT count(*) FROM wallet"):
        raise Conflict("a wallet has been opened before")
    made = int(
        tx.value(
            """
            INSERT INTO wallet (address, chain_id, first_nonce, next_nonce, scanned_block, gas_reserve_wei)
            VALUES (:address, :chain_id, :nonce, :nonce, :block, coalesce(CAST(:reserve AS numeric), 20000000000000000))
            RETURNING id
            """,
            address=address,
            chain_id=chain_id,
            nonce=nonce,
            block=block,
            reserve=gas_reserve_wei,
        )
    )
    make_home(tx, made, reason="opened")
    lines = [line for asset, units in balances.items() for line in (ledger.debit(ledger.wallet(asset), units), ledger.credit(ledger.equity(asset), units))]
    if any(balances.values()):
        ledger.post(tx, "wallet.open", made, lines)
    return made


def take_nonce(tx: Transaction, wallet_id: int, *, nonce: int) -> bool:
    """Use up the wallet's next nonce, which must be this one; the caller holds the lock."""
    return tx.run("UPDATE wallet SET next_nonce = next_nonce + 1 WHERE id = :id AND next_nonce = :nonce", id=wallet_id, nonce=nonce) == 1


def freeze(tx: Transaction, wallet_id: int, *, reason: str) -> bool:
    """Sign nothing from now on, until an operator says so; the first reason stays. False when it was frozen already."""
    return tx.run("UPDATE wallet SET frozen_reason = :reason, frozen_at = pgp_now() WHERE id = :id AND frozen_reason IS NULL", id=wallet_id, reason=reason) == 1


def unfreeze(tx: Transaction, wallet_id: int) -> bool:
    """Sign again. Only an operator does this; False when it was not frozen. Away from home it stays frozen all the same."""
    return tx.run("UPDATE wallet SET frozen_reason = NULL, frozen_at = NULL WHERE id = :id AND frozen_reason IS NOT NULL", id=wallet_id) == 1


def make_home(tx: Transaction, wallet_id: int, *, reason: str) -> None:
    """Let this database be the wallet's home: where it was opened, or where an operator has adopted it after a restore (money.md 13)."""
    tx.run("INSERT INTO wallet_home (wallet_id, reason) VALUES (:id, :reason)", id=wallet_id, reason=reason)


def skip_nonces(tx: Transaction, wallet_id: int, *, to: int) -> None:
    """Let `to` be the next nonce, if it is later: those before it are on the chain, and have their rows. The caller holds the lock."""
    tx.run("UPDATE wallet SET next_nonce = :to WHERE id = :id AND next_nonce < :to", id=wallet_id, to=to)


def mark_scanned(tx: Transaction, wallet_id: int, *, after: int, block: int) -> bool:
    """Note that the chain has been read from behind `after` up to `block`; False when another run was first."""
    return tx.run("UPDATE wallet SET scanned_block = :block WHERE id = :id AND scanned_block = :after", id=wallet_id, after=after, block=block) == 1


# --- what it may spend


@dataclass(frozen=True)
class Load(Row):
    """What the wallet has in flight, and what it signed lately. `fees_wei` is the most that the transfers in flight may still burn."""

    in_flight: int
    signed_lately: int
    fees_wei: int


def load(tx: Transaction, wallet_id: int) -> Load:
    """How busy a wallet is: transfers signed and not over, transfers signed in the last 24 hours."""
    found = tx.one(
        Load,
        """
        SELECT (SELECT count(*) FROM transfer WHERE wallet_id = :id AND state IN ('signed', 'broadcast', 'mined', 'stuck')) AS in_flight,
               (SELECT count(*) FROM transfer WHERE wallet_id = :id AND signed_at > pgp_now() - interval '24 hours') AS signed_lately,
               (SELECT coalesce(sum(a.gas_limit * a.max_fee_wei), 0)
                  FROM transfer t JOIN transfer_attempt a
                       ON a.transfer_id = t.id AND a.seq = (SELECT max(seq) FROM transfer_attempt WHERE transfer_id = t.id)
                 WHERE t.wallet_id = :id AND t.state IN ('signed', 'broadcast', 'mined', 'stuck')) AS fees_wei
        """,
        id=wallet_id,
    )
    assert found is not None
    return found


def fees_on_their_way(tx: Transaction, asset: str) -> int:
    """The platform's fees on payments whose money has not come yet, in base units; a payment that was taken back and not decided on counts too."""
    return int(
        tx.value(
            """
            SELECT coalesce(sum(p.fee_units), 0) FROM processed_payments p
             WHERE p.state IN ('credited', 'review') AND p.outcome_asset = :asset AND NOT EXISTS (SELECT 1 FROM arrival a WHERE a.payment_id = p.id)
            """,
            asset=asset,
        )
    )


def gas_money_wei(tx: Transaction) -> int:
    """The platform's own ETH: its deposits, and its fees on money that has arrived, less what gas, exchanges and losses have cost (money.md 5)."""
    own = ledger.balance(tx, ledger.equity(GAS)) + ledger.balance(tx, ledger.fee_income(GAS))
    spent = sum(ledger.balance(tx, account(GAS)) for account in (ledger.gas_expense, ledger.swap_expense, ledger.loss_expense))
    return own - spent - fees_on_their_way(tx, GAS)


def platform_units(tx: Transaction) -> int:
    """The platform's own USDT, in base units: its deposits less what refunds and losses have cost. Below zero, owners' money would pay for them."""
    spent = ledger.balance(tx, ledger.swap_expense(FUNDING)) + ledger.balance(tx, ledger.loss_expense(FUNDING))
    return ledger.balance(tx, ledger.equity(FUNDING)) - spent


def withdrawing_units(tx: Transaction, asset: str, *, account: str | None = None, but: int = 0) -> int:
    """Base units of the platform's own that are asked for, or signed, and not booked as gone; of one account or of all, without transfer `but`."""
    return int(
        tx.value(
            """
            SELECT coalesce(sum(t.units), 0) FROM transfer t
             WHERE t.purpose = 'treasury' AND t.asset = :asset AND t.state <> 'cancelled' AND t.id <> :but
               AND (CAST(:account AS text) IS NULL OR t.reason = CAST(:account AS text))
               AND NOT EXISTS (SELECT 1 FROM ledger_tx l WHERE l.kind IN ('treasury.withdraw', 'transfer.return') AND l.reference = CAST(t.id AS text))
            """,
            asset=asset,
            account=account,
            but=but,
        )
    )


def withdrawable_units(tx: Transaction, wallet: WalletRow, *, asset: str, account: str, fees_wei: int, but: int = 0) -> int:
    """How much of the platform's own may leave from `equity` or `income:fee`, in base units; nobody else's money is ever part of it.

    In ETH the gas reserve and `fees_wei` (what transfers in flight may burn) stay; `but` is a transfer that is being looked at itself.
    """
    fees = ledger.balance(tx, ledger.fee_income(asset)) - fees_on_their_way(tx, asset)
    if asset == GAS:
        own = gas_money_wei(tx) - wallet.gas_reserve_wei - fees_wei
        held = ledger.balance(tx, ledger.equity(asset)) if account == EQUITY else fees
    else:
        own = platform_units(tx) + fees
        held = platform_units(tx) if account == EQUITY else fees
    return max(0, min(own - withdrawing_units(tx, asset, but=but), held - withdrawing_units(tx, asset, account=account, but=but)))


def obstacle(tx: Transaction, wallet: WalletRow, *, fees_wei: int = 0) -> str | None:
    """Why nothing new may be signed, or None. `fees_wei` is what transfers in flight and the new one may burn.

    Whoever plans payouts asks this too: a payout that could not be funded stays `reserved`, with the reason.
    """
    if wallet.frozen_reason is not None:
        return f"the wallet is frozen: {wallet.frozen_reason}"
    if gas_money_wei(tx) - fees_wei < wallet.gas_reserve_wei:
        return "gas money is below the reserve: a deposit of ETH is needed"
    if platform_units(tx) < 0:
        return "the platform's USDT is below zero: a deposit of USDT is needed"
    return None


def covers(tx: Transaction, wallet: WalletRow, *, asset: str, units: int, fees_wei: int) -> bool:
    """Whether the books hold enough for a transfer of so many base units, with the gas reserve and `fees_wei` on top in ETH."""
    own = units if asset == GAS else 0
    if ledger.balance(tx, ledger.wallet(GAS)) < wallet.gas_reserve_wei + fees_wei + own:
        return False
    return asset == GAS or ledger.balance(tx, ledger.wallet(asset)) >= units


def is_ours(tx: Transaction, address: str) -> bool:
    """Whether an address is our own wallet or a coin's contract: nobody is ever paid there."""
    return bool(
        tx.value(
            """
            SELECT EXISTS (SELECT 1 FROM wallet WHERE lower(address) = lower(:address))
                OR EXISTS (SELECT 1 FROM currency_to_network WHERE lower(token_contract) = lower(:address))
            """,
            address=address,
        )
    )


def lock_all(tx: Transaction) -> None:
    """Wait until nobody is signing, and let nobody sign before this transaction ends."""
    tx.value("SELECT count(*) FROM (SELECT id FROM wallet ORDER BY id FOR NO KEY UPDATE) locked")


def is_switched_off(tx: Transaction, switch: str = "sign") -> bool:
    """Whether signing, or another switch, is off: by a row, or because the wallet is away from home or something that left it is unexplained.

    The engine asks before a step begins; whoever signs asks again with the wallet's row held.
    """
    return bool(tx.value("SELECT is_switched_off(:switch)", switch=switch))
