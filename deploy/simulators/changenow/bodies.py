"""The JSON bodies of ChangeNOW v2, each with the keys that were recorded live (contracts: section 2)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from deploy.simulators.books import Row
from deploy.simulators.changenow.store import iso
from deploy.simulators.market import BY_KEY, Coin


def pair(source: Coin, target: Coin) -> dict[str, Any]:
    """Name both sides."""
    return {
        "fromCurrency": source.ticker,
        "fromNetwork": source.network,
        "toCurrency": target.ticker,
        "toNetwork": target.network,
    }


def created_exchange(row: Row) -> dict[str, Any]:
    """The answer to POST /v2/exchange; what was left out of the order is absent, and there is no status."""
    source, target = BY_KEY[row["source"]], BY_KEY[row["target"]]
    body = {
        "fromAmount": Decimal(row["from_amount"]),
        "toAmount": Decimal(row["to_amount"]),
        "flow": row["flow"],
        "type": row["type"],
        "payinAddress": row["payin_address"],
        "payoutAddress": row["payout_address"],
        "fromCurrency": source.ticker,
        "toCurrency": target.ticker,
        "id": row["id"],
        "directedAmount": Decimal(row["from_amount" if row["type"] == "direct" else "to_amount"]),
        "fromNetwork": source.network,
        "toNetwork": target.network,
    }
    optional = {
        "refundAddress": row["refund_address"],
        "payinExtraId": row["payin_extra_id"],
        "payoutExtraId": row["payout_extra_id"],
        "refundExtraId": row["refund_extra_id"],
    }
    return body | {name: value for name, value in optional.items() if value}


def exchange(row: Row) -> dict[str, Any]:
    """The answer to GET /v2/exchange/by-id."""
    source, target = BY_KEY[row["source"]], BY_KEY[row["target"]]
    return {
        "id": row["id"],
        "status": row["status"],
        "actionsAvailable": False,
        **pair(source, target),
        "expectedAmountFrom": Decimal(row["from_amount"]),
        "expectedAmountTo": Decimal(row["to_amount"]),
        "amountFrom": _amount(row["amount_from"]),
        "amountTo": _amount(row["amount_to"]) if row["payout_hash"] or row["status"] == "finished" else None,
        "payinAddress": row["payin_address"],
        "payoutAddress": row["payout_address"],
        "payinExtraId": row["payin_extra_id"],
        "payoutExtraId": row["payout_extra_id"],
        "refundAddress": row["refund_address"],
        "refundExtraId": row["refund_extra_id"],
        "createdAt": iso(row["created_at_ms"]),
        "updatedAt": iso(row["updated_at_ms"]),
        "validUntil": iso(row["valid_until_ms"]),
        "depositReceivedAt": row["deposit_received_at"],
        "payinHash": row["payin_hash"],
        "payoutHash": row["payout_hash"],
        "fromLegacyTicker": source.code,
        "toLegacyTicker": target.code,
        "refundHash": row["refund_hash"],
        "refundAmount": _amount(row["refund_amount"]),
        "userId": row["user_id"],
        "originalExchangeInfo": None,
        "relatedExchangesInfo": [],
        "repeatedExchangesInfo": [],
    }


def currency(coin: Coin) -> dict[str, Any]:
    """One entry of GET /v2/exchange/currencies."""
    return {
        "ticker": coin.ticker,
        "name": coin.name,
        "image": f"https://content-api.changenow.io/uploads/{coin.code}.svg",
        "hasExternalId": coin.extra_id,
        "isExtraIdSupported": coin.extra_id,
        "isFiat": False,
        "featured": coin.code in {"btc", "eth"},
        "isStable": coin.usd == 1,
        "supportsFixedRate": True,
        "network": coin.network,
        "tokenContract": None,
        "buy": True,
        "sell": True,
        "legacyTicker": coin.code,
    }


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
