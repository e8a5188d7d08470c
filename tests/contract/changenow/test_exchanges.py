"""An exchange sees real deposits and really pays: exactly what it owes, once, whatever is killed."""

from __future__ import annotations

import time

from tests.contract.changenow.conftest import Market, changenow
from tests.support.simulators import eventually

BTC = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"


def test_eth_in_brings_usdt_out_to_the_unit(market):
    to = market.fresh()
    made = market.order("eth:eth", "usdt:eth", "0.05", address=to)
    assert market.look(made)["status"] == "waiting"
    payin = market.send_eth(made["payinAddress"], "0.05")
    done = market.becomes(made, "finished")
    assert (done["payinHash"], done["amountFrom"], done["amountTo"]) == (payin, 0.05, made["toAmount"])
    assert market.usdt(to) == round(made["toAmount"] * 10**6)
    assert market.chain.node.receipt(done["payoutHash"])["status"] == "0x1"


def test_usdt_in_brings_eth_out_to_the_wei(market):
    to = market.fresh()
    made = market.order("usdt:eth", "eth:eth", "60.5", address=to)
    market.send_usdt(made["payinAddress"], "60.5")
    market.becomes(made, "finished")
    assert market.chain.node.balance(to) == round(made["toAmount"] * 10**8) * 10**10


def test_a_payout_on_another_chain_is_booked_with_an_invented_hash(market):
    made = market.order("usdt:eth", "btc:btc", "60", address=BTC)
    market.send_usdt(made["payinAddress"], "60")
    done = market.becomes(made, "finished")
    (payout,) = [row for row in market.vendor.book("payouts") if row["exchange_id"] == made["id"]]
    assert (payout["hash"], payout["address"], payout["asset"], payout["on_chain"]) == (done["payoutHash"], BTC, "btc:btc", 0)
    assert float(payout["amount"]) == made["toAmount"]


def test_another_amount_than_the_fixed_one_goes_back(market):
    made = market.order("usdt:eth", "btc:btc", "60", address=BTC)
    before = market.usdt(market.payer.address)
    market.send_usdt(made["payinAddress"], "59.999999")
    done = market.becomes(made, "refunded")
    assert (done["refundAmount"], done["payoutHash"], done["amountTo"]) == (59.999999, None, None)
    assert market.chain.node.receipt(done["refundHash"])["status"] == "0x1"
    assert market.usdt(market.payer.address) == before


def test_the_wrong_asset_goes_back(market):
    made = market.order("eth:eth", "usdt:eth", "0.05", address=market.fresh())
    market.send_usdt(made["payinAddress"], "10")
    assert market.becomes(made, "refunded")["refundAmount"] == 10


def test_a_floating_exchange_takes_what_comes(market):
    to = market.fresh()
    made = market.order("eth:eth", "usdt:eth", "0.05", address=to, fixed=False)
    market.send_eth(made["payinAddress"], "0.1")
    done = market.becomes(made, "finished")
    assert done["amountFrom"] == 0.1
    assert market.usdt(to) == round(done["amountTo"] * 10**6) > made["toAmount"] * 10**6 * 1.9


def test_a_second_deposit_is_kept_and_recorded(market):
    to = market.fresh()
    made = market.order("usdt:eth", "eth:eth", "60", address=to)
    market.send_usdt(made["payinAddress"], "60")
    market.becomes(made, "finished")
    paid = market.chain.node.balance(to)
    market.send_usdt(made["payinAddress"], "60")

    def verdicts():
        return [row["verdict"] for row in market.vendor.book("deposits") if row["exchange_id"] == made["id"]]

    eventually(lambda: verdicts() == ["taken", "extra"])
    time.sleep(0.3)
    assert market.chain.node.balance(to) == paid


def test_a_forced_status_stays_until_it_is_forced_on(market):
    to = market.fresh()
    made = market.order("usdt:eth", "eth:eth", "60", address=to)
    market.vendor.control(f"exchanges/{made['id']}", status="verifying")
    market.send_usdt(made["payinAddress"], "60")
    eventually(lambda: market.look(made)["amountFrom"])
    time.sleep(0.3)
    assert (market.look(made)["status"], market.chain.node.balance(to)) == ("verifying", 0)
    market.vendor.control(f"exchanges/{made['id']}", status="exchanging")
    market.becomes(made, "finished")


def test_an_exchange_can_finish_with_less(market):
    to = market.fresh()
    made = market.order("usdt:eth", "eth:eth", "60", address=to)
    market.vendor.control(f"exchanges/{made['id']}", status="verifying")
    market.send_usdt(made["payinAddress"], "60")
    eventually(lambda: market.look(made)["amountFrom"])
    market.vendor.control(f"exchanges/{made['id']}", status="finished", amountTo="0.01")
    assert market.becomes(made, "finished")["amountTo"] == 0.01
    assert market.chain.node.balance(to) == 10**16


def test_a_refund_can_be_forced_in_part_or_shown_and_never_sent(market):
    for wanted, back in ((True, 60_000_000), ("12.5", 12_500_000), (False, 0)):
        made = market.order("usdt:eth", "eth:eth", "60", address=market.fresh())
        market.vendor.control(f"exchanges/{made['id']}", status="verifying")
        market.send_usdt(made["payinAddress"], "60")
        eventually(lambda made=made: market.look(made)["amountFrom"])
        before = market.usdt(market.payer.address)
        market.vendor.control(f"exchanges/{made['id']}", refund=wanted)
        market.becomes(made, "refunded")
        assert market.usdt(market.payer.address) == before + back


def test_a_late_deposit_goes_back(own_market):
    start, at = own_market
    with start("--rate-ttl-s", "0.4") as running:
        market = at(running)
        made = market.order("usdt:eth", "eth:eth", "60", address=market.fresh())
        # Blocks count whole seconds: two more make it late for certain.
        time.sleep(2.5)
        assert market.look(made)["status"] == "waiting"
        market.send_usdt(made["payinAddress"], "60")
        assert market.becomes(made, "refunded")["refundAmount"] == 60


def test_an_exchange_that_nobody_pays_expires(own_market):
    start, at = own_market
    with start("--rate-ttl-s", "0.3", "--expire-after-s", "0.3") as running:
        market = at(running)
        made = market.order("usdt:eth", "eth:eth", "60", address=market.fresh())
        market.becomes(made, "expired")
        market.send_usdt(made["payinAddress"], "60")
        market.becomes(made, "refunded")


def test_a_deposit_that_came_while_it_was_down_is_found(own_market):
    start, at = own_market
    with start() as running:
        market = at(running)
        to = market.fresh()
        made = market.order("usdt:eth", "eth:eth", "60", address=to)
        running.kill()
    market.send_usdt(made["payinAddress"], "60")
    with start() as running:
        at(running).becomes(made, "finished")


def test_kills_at_any_moment_neither_lose_nor_double_a_payout(own_market):
    start, at = own_market
    with start() as running:
        market = at(running)
        people = [market.fresh() for _ in range(6)]
        orders = [market.order("usdt:eth", "eth:eth", "60", address=person) for person in people]
        for made in orders:
            market.send_usdt(made["payinAddress"], "60")
    for wait_s in (0.1, 0.25, 0.4):
        with start() as running:
            time.sleep(wait_s)
            running.kill()
    with start() as running:
        for made in orders:
            at(running).becomes(made, "finished")
        time.sleep(0.5)
        for person, made in zip(people, orders, strict=True):
            assert market.chain.node.balance(person) == round(made["toAmount"] * 10**8) * 10**10


def test_a_deposit_that_a_reorganisation_removed_is_forgotten_and_may_come_again(own_chain, tmp_path):
    payer = own_chain.account(10**21)
    # The re-organisation takes the balance back as well, unless it is old enough.
    own_chain.node.call("anvil_mine", hex(20))
    flags = ("--rpc-url", own_chain.url, "--key", "0x" + "77" * 32, "--token", own_chain.token)
    with changenow(tmp_path, *flags, "--poll-s", "0.02", "--step-s", "0.05", "--confirmations", "20") as running:
        market = Market(running, own_chain, payer)
        made = market.order("eth:eth", "btc:btc", "0.05", address=BTC)
        market.send_eth(made["payinAddress"], "0.05")
        market.becomes(made, "confirming")
        own_chain.node.call("anvil_reorg", 10, [])
        market.becomes(made, "waiting")
        assert [row["state"] for row in running.book("deposits")] == ["gone"]
        market.send_eth(made["payinAddress"], "0.05")
        market.becomes(made, "finished")
