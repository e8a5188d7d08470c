"""Reads everybody's books when all is over: ours, the vendors', Telegram's, and the whole chain block by block."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from deploy.simulators.market import BY_CODE, BY_KEY
from PGP_COMMON.database import Transaction
from tests.chaos import books
from tests.chaos.books import Access, OwnerBooks, Payment, Sent, Swap, Transfer
from tests.chaos.fleet import Fleet
from tests.chaos.owners import Shop

TRANSFER_TOPIC: Final = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
BLOCKS_AT_ONCE: Final = 100
ETH, USDT = "eth", "usdterc20"


def compare(fleet: Fleet, shops: Sequence[Shop]) -> list[str]:
    """Every difference between anybody's books and anybody else's, a sentence each."""
    world = fleet.world
    vendor, exchange, telegram = (world.control(name, "books") for name in ("nowpayments", "changenow", "telegram"))
    chain = Chain(fleet)
    with fleet.db.reading() as tx:
        ours = Ours(tx)
    sent = list(chain.sent())
    addresses = [owner.address for owner in ours.owners]
    return [
        *books.payments(vendor["payments"], ours.payments),
        *books.exchange(exchange["exchanges"], exchange["deposits"], ours.swaps),
        *books.wallet_sent(sent, ours.transfers),
        *books.wallet_received(chain.received(), vendor=vendors_sent(vendor["payouts"], exchange["payouts"], chain), arrivals=ours.arrivals),
        *books.owners_received(ours.owners, exchange["payouts"], ours.transfers, chain.held(addresses)),
        *books.owners_money(ours.owners),
        *books.members(list(_buyers_in(telegram["members"], fleet, shops)), telegram["links"], ours.access),
    ]


def vendors_sent(payments: Sequence[Any], exchanges: Sequence[Any], chain: Chain) -> Counter[str]:
    """What the vendors say that they sent to our wallet, in base units by asset."""
    found: Counter[str] = Counter()
    for row in payments:
        found[USDT if row["token"] else ETH] += int(row["units"])
    for row in exchanges:
        if row["on_chain"] and row["address"].lower() == chain.wallet:
            found[BY_KEY[row["asset"]].code] += books.units(row["amount"], BY_KEY[row["asset"]].code)
    return found


def _buyers_in(members: Sequence[Any], fleet: Fleet, shops: Sequence[Shop]) -> Iterator[Any]:
    """The members of closed channels that are neither their owner nor the bot."""
    chats = {shop.plan.closed_chat: shop.plan.user_id for shop in shops}
    bot = int(fleet.known["TELEGRAM_BOT_TOKEN"].partition(":")[0])
    for row in members:
        if row["chat_id"] in chats and row["user_id"] not in {chats[row["chat_id"]], bot}:
            yield row


class Chain:
    """The chain from its first block to its newest, read at the node itself."""

    def __init__(self, fleet: Fleet) -> None:
        """Take the fleet whose wallet and token are looked for."""
        self._world = fleet.world
        self.wallet = fleet.known["HOST_WALLET_ETH_ADDRESS"].lower()
        self.token = fleet.known["USDT_CONTRACT"].lower()
        self._lock = threading.Lock()
        self.blocks = list(self._blocks())

    def _batch(self, calls: Sequence[tuple[str, list[Any]]]) -> list[Any]:
        body = [{"jsonrpc": "2.0", "id": place, "method": method, "params": params} for place, (method, params) in enumerate(calls)]
        replies = self._world.http.post(self._world.rpc_url, json=body).json()
        return [reply["result"] for reply in sorted(replies, key=lambda reply: int(reply["id"]))]

    def _blocks(self) -> Iterator[Any]:
        head = int(self._world.rpc("eth_blockNumber"), 16)
        for first in range(0, head + 1, BLOCKS_AT_ONCE):
            yield from self._batch([("eth_getBlockByNumber", [hex(number), True]) for number in range(first, min(first + BLOCKS_AT_ONCE, head + 1))])

    def _transactions(self) -> Iterator[Any]:
        for block in self.blocks:
            yield from block["transactions"]

    def _logs(self, **wanted: str) -> list[Any]:
        place = {"sender": 1, "recipient": 2}
        topics: list[str | None] = [TRANSFER_TOPIC, None, None]
        for name, address in wanted.items():
            topics[place[name]] = "0x" + address.lower()[2:].zfill(64)
        window = {"address": self.token, "fromBlock": "0x0", "toBlock": "latest", "topics": topics}
        found: list[Any] = self._world.rpc("eth_getLogs", window)
        return found

    def sent(self) -> Iterator[Sent]:
        """Every transaction of the wallet, with what it moved and burned."""
        mine = [tx for tx in self._transactions() if tx["from"].lower() == self.wallet]
        receipts = self._batch([("eth_getTransactionReceipt", [tx["hash"]]) for tx in mine]) if mine else []
        for tx, receipt in zip(mine, receipts, strict=True):
            gas = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
            moved = [log for log in receipt["logs"] if log["topics"][0] == TRANSFER_TOPIC and log["topics"][1][-40:] == self.wallet[2:]]
            asset, recipient, units = ETH, str(tx["to"]), int(tx["value"], 16)
            if moved:
                asset, recipient, units = USDT, "0x" + moved[0]["topics"][2][-40:], sum(int(log["data"], 16) for log in moved)
            yield Sent(tx["hash"], int(tx["nonce"], 16), asset, recipient, units, gas, succeeded=receipt["status"] == "0x1")

    def received(self) -> Counter[str]:
        """What came to the wallet, in base units by asset; what it began with was never sent to it."""
        found: Counter[str] = Counter()
        for tx in self._transactions():
            if (tx["to"] or "").lower() == self.wallet and int(tx["value"], 16):
                found[ETH] += int(tx["value"], 16)
        found[USDT] += sum(int(log["data"], 16) for log in self._logs(recipient=self.wallet))
        return found

    def held(self, addresses: Sequence[str]) -> dict[tuple[str, str], int]:
        """What addresses hold on this chain."""
        theirs = [address for address in addresses if address.startswith("0x")]
        wei = self._batch([("eth_getBalance", [address, "latest"]) for address in theirs]) if theirs else []
        calls = [("eth_call", [{"to": self.token, "data": "0x70a08231" + address[2:].lower().zfill(64)}, "latest"]) for address in theirs]
        tokens = self._batch(calls) if calls else []
        found = {(address.lower(), ETH): int(units, 16) for address, units in zip(theirs, wei, strict=True)}
        return found | {(address.lower(), USDT): int(units, 16) for address, units in zip(theirs, tokens, strict=True)}


@dataclass(frozen=True)
class _Sum:
    """An asset and its units."""

    asset: str
    units: Any


class Ours:
    """Our own books."""

    def __init__(self, tx: Transaction) -> None:
        """Read them."""
        self.payments = [_whole(row) for row in tx.all(Payment, _PAYMENTS)]
        self.swaps = [_whole(row) for row in tx.all(Swap, "SELECT id, provider_id, state, from_units AS units FROM swap WHERE provider_id IS NOT NULL")]
        self.transfers = [_whole(row) for row in tx.all(Transfer, _TRANSFERS)]
        self.arrivals = {row.asset: int(row.units) for row in tx.all(_Sum, "SELECT asset, sum(units) AS units FROM arrival GROUP BY asset")}
        self.owners = [_whole(row) for row in tx.all(OwnerBooks, _OWNERS)]
        self.access = tx.all(Access, _ACCESS)


def _whole(row: Any) -> Any:
    """A row with its NUMERIC columns as whole numbers; any fraction would be a bug of the schema."""
    return type(row)(**{name: int(value) if hasattr(value, "as_tuple") else value for name, value in row.__dict__.items()})


_PAYMENTS: Final = """
SELECT p.provider_id, o.owner_id, p.state, p.outcome_asset AS asset, p.outcome_units AS outcome, p.owner_units AS owner, p.fee_units AS fee,
       p.suspense_units AS suspense, coalesce((SELECT sum(a.units) FROM arrival a WHERE a.payment_id = p.id), 0) AS arrived,
       (SELECT count(*) FROM ledger_tx l WHERE l.kind IN ('payment.credit', 'suspense.resolve') AND l.reference = CAST(p.id AS text)) AS credits
  FROM processed_payments p JOIN orders o ON o.id = p.order_id
"""
_TRANSFERS: Final = """
SELECT id, mined_hash AS tx_hash, nonce, asset, recipient, units, gas_wei, purpose FROM transfer WHERE state = 'final'
"""
_OWNERS: Final = """
SELECT c.id, d.address, d.asset,
       (SELECT coalesce(sum(p.owner_units), 0) FROM processed_payments p JOIN orders o ON o.id = p.order_id WHERE o.owner_id = c.id) AS earned,
       (SELECT coalesce(sum(a.units), 0) FROM payout_accumulation a WHERE a.owner_id = c.id AND a.state IN ('converted', 'attached', 'paid')) AS converted_from,
       (SELECT -coalesce(sum(l.balance), 0) FROM ledger_account l WHERE l.owner_id = c.id AND l.asset = 'eth') AS owed_eth,
       (SELECT coalesce(sum(a.converted_units), 0) FROM payout_accumulation a WHERE a.owner_id = c.id AND a.state IN ('converted', 'attached', 'paid')) AS became,
       (SELECT -coalesce(sum(l.balance), 0) FROM ledger_account l WHERE l.owner_id = c.id AND l.asset = 'usdterc20') AS owed_usdt,
       (SELECT coalesce(sum(q.units), 0) FROM split_payout_que q WHERE q.owner_id = c.id AND q.state = 'settled') AS paid_out,
       (SELECT coalesce(sum(q.paid_out_units), 0) FROM split_payout_que q WHERE q.owner_id = c.id AND q.state = 'settled') AS coin_units,
       (SELECT count(*) FROM split_payout_que q WHERE q.owner_id = c.id AND q.state = 'settled') AS payouts
  FROM client_table c JOIN payout_details d ON d.owner_id = c.id ORDER BY c.id
"""
_ACCESS: Final = """
SELECT h.closed_channel_id AS closed_chat, m.buyer_id, bool_or(e.revoked_at IS NULL AND e.ends_at > pgp_now()) AS live,
       (array_agg(i.state ORDER BY i.id DESC))[1] AS invite_state, (array_agg(coalesce(i.link, h.join_link) ORDER BY i.id DESC))[1] AS link
  FROM membership m JOIN channel h ON h.id = m.channel_id JOIN entitlement e ON e.membership_id = m.id LEFT JOIN invite i ON i.entitlement_id = e.id
 GROUP BY h.closed_channel_id, m.buyer_id
"""
assert set(books.ON_CHAIN) == {ETH, USDT} <= set(BY_CODE)
