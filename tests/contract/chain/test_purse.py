"""A vendor's hot wallet pays each reference once, whatever is stopped and whenever."""

from __future__ import annotations

import threading
import time

import pytest

from deploy.simulators.books import Books
from deploy.simulators.chain import purse as module
from deploy.simulators.chain.deploy import mint
from deploy.simulators.chain.node import Node, NodeDownError
from deploy.simulators.chain.purse import Purse, PurseEmptyError
from tests.contract.conftest import TOKEN_KEY


class Deaf(Node):
    """A node that takes everything except transactions: the request is lost."""

    def call(self, method, *params):
        if method == "eth_sendRawTransaction":
            raise NodeDownError(method)
        return super().call(method, *params)


@pytest.fixture
def key(chain):
    return "0x" + bytes(chain.account(10**19).key).hex()


@pytest.fixture
def books(tmp_path):
    return Books(tmp_path / "books.sqlite", module.SCHEMA)


def balance_becomes(chain, address, wei):
    last = time.monotonic() + 10
    while chain.node.balance(address) != wei and time.monotonic() < last:
        time.sleep(0.05)
    return chain.node.balance(address) == wei


def test_the_same_reference_is_paid_once(chain, key, books):
    to = chain.account().address
    purse = Purse(books, chain.node, key)
    first = purse.send("payment:1", to=to, units=7)
    assert balance_becomes(chain, to, 7)
    assert purse.send("payment:1", to=to, units=7) == first
    assert Purse(books, chain.node, key).send("payment:1", to=to, units=7) == first
    time.sleep(0.3)
    assert chain.node.balance(to) == 7


def test_a_payment_that_was_recorded_and_never_sent_is_sent_after_a_restart(chain, key, books):
    to = chain.account().address
    recorded = Purse(books, Deaf(chain.url), key).send("payment:1", to=to, units=7)
    assert chain.node.balance(to) == 0
    again = Purse(books, chain.node, key)
    assert again.push() == 1
    assert balance_becomes(chain, to, 7)
    assert again.send("payment:1", to=to, units=7) == recorded
    assert again.push() == 0


def test_payments_made_at_once_get_nonces_without_gaps(chain, key, books):
    to = chain.account().address
    purse = Purse(books, chain.node, key)
    threads = [threading.Thread(target=purse.send, args=(f"payment:{n}",), kwargs={"to": to, "units": 1}) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert balance_becomes(chain, to, 8)
    assert [row["nonce"] for row in books.all("SELECT nonce FROM sends ORDER BY nonce")] == list(range(8))


def test_tokens_are_paid_as_tokens(chain, key, books):
    to = chain.account().address
    purse = Purse(books, chain.node, key)
    mint(chain.url, TOKEN_KEY, chain.token, purse.address, 3_000_000)
    purse.send("payout:1", to=to, units=3_000_000, token=chain.token)
    with pytest.raises(PurseEmptyError):
        purse.send("payout:2", to=to, units=1, token=chain.token)
    last = time.monotonic() + 10
    while chain.node.token_balance(chain.token, to) != 3_000_000 and time.monotonic() < last:
        time.sleep(0.05)
    assert chain.node.token_balance(chain.token, to) == 3_000_000


def test_an_empty_purse_records_nothing(chain, books):
    purse = Purse(books, chain.node, "0x" + bytes(chain.account(5).key).hex())
    with pytest.raises(PurseEmptyError):
        purse.send("payment:1", to=purse.address, units=6)
    assert books.all("SELECT * FROM sends") == []


def test_a_payment_that_a_reorganisation_removed_is_made_again_with_the_same_transaction(own_chain, books):
    purse = Purse(books, own_chain.node, "0x" + bytes(own_chain.account(10**19).key).hex())
    to = own_chain.account().address
    # The re-organisation takes the balance back as well, unless it is old enough.
    own_chain.node.call("anvil_mine", hex(20))
    tx_hash = purse.send("payment:1", to=to, units=7)
    assert balance_becomes(own_chain, to, 7)
    own_chain.node.call("anvil_reorg", 5, [])
    assert own_chain.node.receipt(tx_hash) is None
    purse.push()
    assert balance_becomes(own_chain, to, 7)
    assert own_chain.node.receipt(tx_hash)["status"] == "0x1"
