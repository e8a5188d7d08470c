"""The simulator signs what the vendor's own Node.js sample signs, byte for byte."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.simulators.javascript import loads
from deploy.simulators.nowpayments.signing import canonical, sign

HERE = Path(__file__).parent
SECRET = "test-ipn-secret"

NUMBERS = [
    "0", "-0", "0.0", "1", "1.0", "12.50", "1e-6", "0.000002", "1e-7", "9.9e-7", "1.5e-9", "0.00022187", "1e20", "1e21", "1.5e21",
    "123456789012345680000", "12345678901234567890", "5.745459419e9", "9007199254740993", "-12.75", "0.1", "100", "1e400", "-1e-400",
    "2.5e-324", "1.7976931348623157e308", "0.30000000000000004", "4.35", "1E3",
]  # fmt: skip
STRINGS = [
    "", "plain", 'quo"te', "back\\slash", "a/b", "\n\r\t\b\f", "\x00\x1f\x7f", "é ü ß", "日本", "😀", "\ud800", "x\udfff", "\ud83d!",
    "\u2028\u2029", "<b>&", "-0", "__proto__",
]  # fmt: skip
KEYS = [
    *STRINGS, "0", "1", "01", "10", "9", "2", "-1", "1.5", "4294967294", "4294967295", "4294967296", "9007199254740991", "9007199254740993",
    "a", "A", "Z", "_", "payment_id", "fee", "\uffff", "\ue000", "toString", "constructor", "٣",
]  # fmt: skip


def awkward(chance: random.Random, depth: int = 0) -> str:
    """Write the JSON text of an awkward object; as text, because Python could not write all of these numbers."""
    pairs = [f"{json.dumps(key)}:{value(chance, depth)}" for key in chance.sample(KEYS, chance.randint(0, 6))]
    return "{" + ",".join(pairs) + "}"


def value(chance: random.Random, depth: int) -> str:
    kind = chance.randrange(9 if depth < 3 else 6)
    if kind < 3:
        return chance.choice(NUMBERS) if kind else repr(chance.uniform(-1, 1) * 10.0 ** chance.randint(-12, 25))
    if kind < 5:
        return json.dumps(chance.choice(STRINGS), ensure_ascii=True)
    if kind == 5:
        return chance.choice(["null", "true", "false"])
    if kind == 6:
        return "[" + ",".join(value(chance, depth + 1) for _ in range(chance.randint(0, 12))) + "]"
    return awkward(chance, depth + 1)


@pytest.mark.node
def test_three_thousand_awkward_bodies_are_signed_as_node_signs_them():
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not on the PATH")
    chance = random.Random(1858)
    bodies = [awkward(chance) for _ in range(3000)]
    given = "\n".join(bodies) + "\n"
    done = subprocess.run([node, str(HERE / "sign.cjs"), SECRET], input=given, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.split("\n") if line]
    assert len(answers) == len(bodies)
    for body, answer in zip(bodies, answers, strict=True):
        message = canonical(loads(body))
        assert message.decode() == answer["text"], body
        assert sign(message, SECRET) == answer["signature"]


@pytest.mark.parametrize("record", json.loads((HERE / "captures.json").read_text()), ids=lambda record: record["name"])
def test_a_real_callback_is_already_in_the_canonical_form(record):
    raw = record["body"].encode()
    assert canonical(loads(raw)) == raw
    if "signature" in record:
        assert sign(raw, record["secret"]) == record["signature"]
