"""The documents: what they name exists, and what the code can say is in them."""

from __future__ import annotations

import ast
import functools
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from PGP_COMMON import cli, clients
from PGP_COMMON.errors import GiveUp
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.http import EFFECTS
from PGP_COMMON.money_machines import MACHINES
from PGP_COMMON.rendering import marks
from PGP_COMMON.settings import CATALOGUE

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("PGP_*/README.md"), *ROOT.glob("deploy/**/*.md")]
)
DECISIONS = sorted(name for name in PAGES if name.startswith("docs/decisions/"))
LONGEST_README = 150
FENCED = re.compile(r"^ *```([a-z]*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
PLACE = re.compile(r"`((?:PGP_[A-Z_]+(?:_v1)?|docs|deploy|tests|migrations|bench)/[\w./-]*)`")
CITATION = re.compile(r"\b(money\.md|product\.md|contracts(?:\.md)?:?(?: section)?) (\d+(?:\.\d+)?)")
# The settings of the original description, its sections 2.1 to 2.9; {} stands for each of its fifteen services.
MAP_SETTINGS = """
DATABASE_HOST_SECRET DATABASE_NAME_SECRET DATABASE_USER_SECRET DATABASE_PASSWORD_SECRET CLOUD_SQL_CONNECTION_NAME
NOWPAYMENTS_API_KEY NOWPAYMENTS_IPN_SECRET NOWPAYMENT_WEBHOOK_KEY PAYMENT_PROVIDER_TOKEN CHANGENOW_API_KEY COINGECKO_API_KEY CRYPTOCOMPARE_API_KEY 1INCH_API_KEY
HOST_WALLET_PRIVATE_KEY HOST_WALLET_ETH_ADDRESS HOST_WALLET_USDT_ADDRESS ETHEREUM_RPC_URL ETHEREUM_RPC_URL_API ETHEREUM_RPC_WEBHOOK_SECRET
WEBHOOK_SIGNING_KEY TPS_HOSTPAY_SIGNING_KEY SUCCESS_URL_SIGNING_KEY JWT_SECRET_KEY SIGNUP_SECRET_KEY FLASK_SECRET_KEY
TELEGRAM_BOT_SECRET_NAME TELEGRAM_BOT_USERNAME SENDGRID_API_KEY FROM_EMAIL FROM_NAME PGP_{}_URL
PGP_ORCHESTRATOR_QUEUE PGP_INVITE_QUEUE PGP_NOTIFICATIONS_QUEUE PGP_SPLIT1_QUEUE PGP_SPLIT1_CALLBACK_QUEUE PGP_SPLIT2_QUEUE PGP_SPLIT2_RESPONSE_QUEUE
PGP_SPLIT3_QUEUE PGP_SPLIT3_RESPONSE_QUEUE PGP_HOSTPAY1_QUEUE PGP_HOSTPAY1_CALLBACK_QUEUE PGP_HOSTPAY2_QUEUE PGP_HOSTPAY3_QUEUE
PGP_BATCHPROCESSOR_QUEUE PGP_MICROBATCHPROCESSOR_QUEUE
BASE_URL CORS_ORIGIN CLOUD_TASKS_LOCATION CLOUD_TASKS_PROJECT_ID BROADCAST_AUTO_INTERVAL BROADCAST_MANUAL_INTERVAL ALERTING_ENABLED
MICRO_BATCH_THRESHOLD_USD PAYMENT_FALLBACK_TOLERANCE PAYMENT_MIN_TOLERANCE TP_FLAT_FEE REDIS_HOST REDIS_PORT
"""
MAP_SERVICES = """
SERVER WEBAPI NP_IPN ORCHESTRATOR INVITE SPLIT1 SPLIT2 SPLIT3 HOSTPAY1 HOSTPAY2 HOSTPAY3 BATCHPROCESSOR MICROBATCHPROCESSOR NOTIFICATIONS BROADCAST
"""
MERMAID = {"flowchart", "sequenceDiagram", "stateDiagram-v2"}
SEQUENCE = re.compile(
    r"autonumber|end|(participant|actor) \w+( as .+)?|(loop|alt|opt|par|critical|rect) .+|(else|and)( .+)?|Note (over|left of|right of) \w+(,\w+)?: .+|\w+-{1,2}(>>|x|\))\w+: .+"
)
BRACKETS = {")": "(", "]": "[", "}": "{"}


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def code_in(text: str) -> list[str]:
    """Everything that a reader would type: blocks, and what stands in backticks."""
    blocks = [block for language, block in FENCED.findall(text) if language in {"", "bash", "sh"}]
    return blocks + re.findall(r"`([^`\n]+)`", FENCED.sub("", text))


def anchors_of(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def product() -> Iterator[tuple[str, ast.Module]]:
    for folder in sorted({"PGP_COMMON", *(service.folder for service in FLEET)}):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def calls(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (getattr(node.func, "id", None) or getattr(node.func, "attr", None)) in names:
            yield node


def constants(node: ast.AST) -> Iterator[str]:
    """Texts that stand whole in an expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from [*constants(node.body), *constants(node.orelse)]


def test_the_readme_fits_on_a_few_screens() -> None:
    assert len(text_of("README.md").splitlines()) <= LONGEST_README


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page: str) -> None:
    for target, anchor in LINK.findall(FENCED.sub("", text_of(page))):
        place = (ROOT / page).parent / target if target else ROOT / page
        assert place.exists(), f"{page} links to {target}"
        if anchor:
            assert anchor in anchors_of(place.read_text(encoding="utf-8")), f"{page} links to {target}#{anchor}"


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_is_named_exists(page: str) -> None:
    assert [place for place in PLACE.findall(text_of(page)) if "NNNN" not in place and not (ROOT / place).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_that_is_named_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    named = [word for code in code_in(text_of(page)) for words in re.findall(r"^make((?: [a-z]+)+)", code, re.MULTILINE) for word in words.split()]
    assert [word for word in named if word not in targets] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_verb_of_pgp_that_is_named_exists(page: str) -> None:
    for code in code_in(text_of(page)):
        for verb, action in re.findall(r"(?:^|bin/)pgp ([a-z]+)(?: ([a-z]+))?", code, re.MULTILINE):
            assert verb in verbs(), f"{page} says `pgp {verb}`"
            inner = verbs()[verb]
            assert inner is None or not action or action in inner, f"{page} says `pgp {verb} {action}`"


@functools.cache
def verbs() -> dict[str, set[str] | None]:
    """Each verb that is there, with its own verbs if it has some."""
    found: dict[str, set[str] | None] = {}
    for verb, module in [pair for panel in cli.PANELS.values() for pair in panel.items()]:
        if cli.sentence(module) is not None:
            app = getattr(importlib.import_module(f"PGP_COMMON.cli.{module}"), "app", None)
            commands = app.registered_commands if isinstance(app, typer.Typer) else None
            found[verb] = None if commands is None else {str(command.name or getattr(command.callback, "__name__", "")) for command in commands}
    return found


def test_every_verb_of_pgp_that_the_code_tells_somebody_exists() -> None:
    """What a letter or a refusal says to do next is there to be done."""
    told = {
        (name, verb, action)
        for name, tree in product()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for verb, action in re.findall(r"`pgp ([a-z]+)(?: ([a-z]+))?", node.value)
    }
    assert ("PGP_HOSTPAY_v1/hostpay1_orchestrator/closing.py", "payout", "release") in told
    there = verbs()
    assert {(name, verb) for name, verb, action in told if verb not in there or (action and action not in (there[verb] or {action}))} == set()


def test_every_table_has_a_word() -> None:
    tables = re.findall(r"^CREATE TABLE (\w+) ", text_of("migrations/schema.sql"), re.MULTILINE)
    assert tables
    assert [table for table in tables if f"`{table}`" not in text_of("docs/glossary.md")] == []


def test_every_setting_of_the_map_is_kept_or_explained() -> None:
    names = [name for template in MAP_SETTINGS.split() for name in dict.fromkeys(template.replace("{}", service) for service in MAP_SERVICES.split())]
    explained = set(re.findall(r"`([A-Z0-9_]+)`", "\n".join(line for line in text_of("docs/divergences.md").splitlines() if line.startswith("|"))))
    assert [name for name in names if name not in CATALOGUE and name not in explained] == []


@pytest.mark.parametrize("page", [page for page in PAGES if "```mermaid" in text_of(page)])
def test_every_picture_can_be_drawn(page: str) -> None:
    for block in [block for language, block in FENCED.findall(text_of(page)) if language == "mermaid"]:
        first, *lines = [line.strip() for line in block.splitlines() if line.strip()]
        assert first.split()[0] in MERMAID, f"{page}: {first}"
        assert lines, f"{page} has an empty picture"
        for line in lines:
            assert is_balanced(line), f"{page}: {line}"
            assert not first.startswith("sequence") or SEQUENCE.fullmatch(line), f"{page}: {line}"
        opened = sum(line.split()[0] in {"loop", "alt", "opt", "par", "critical", "rect", "subgraph"} for line in lines)
        assert opened == sum(line == "end" for line in lines), f"{page}: something is not closed"


def is_balanced(line: str) -> bool:
    """Whether every bracket that opens is closed, in order."""
    opened: list[str] = []
    for character in re.sub(r"-{1,2}[x)]\w+:|\[\*\]", "", line):
        if character in BRACKETS.values():
            opened.append(character)
        elif character in BRACKETS and (not opened or opened.pop() != BRACKETS[character]):
            return False
    return not opened


def test_every_number_that_a_comment_cites_is_a_place_in_a_document() -> None:
    missing = set()
    for folder in ("PGP_*", "deploy", "migrations", "tests"):
        for path in [path for top in ROOT.glob(folder) for path in top.rglob("*") if path.suffix in {".py", ".sql", ".json"}]:
            for page, number in CITATION.findall(path.read_text(encoding="utf-8")):
                name = page.partition(".")[0].partition(":")[0].partition(" ")[0]
                if not re.search(rf"^(#+ {number}\.? |- \*\*{number}\*\* )", text_of(f"docs/{name}.md"), re.MULTILINE):
                    missing.add(f"{path.relative_to(ROOT)} cites {page} {number}")
    assert missing == set()


def test_what_follows_a_lost_answer_is_in_the_table_for_every_effect() -> None:
    for module in pkgutil.iter_modules(clients.__path__):
        importlib.import_module(f"{clients.__name__}.{module.name}")
    rows = [line for line in text_of("docs/money.md").splitlines() if line.startswith("| `")]
    for effect in EFFECTS.values():
        row = next((line for line in rows if f"`{effect.vendor}.{effect.method}`" in line), None)
        if row is None:
            assert effect.reason.startswith("a read changes nothing"), f"{effect.vendor}.{effect.method} is not in docs/money.md 2"
        else:
            assert row.split("|")[2].strip() == effect.on_lost.value


def test_every_machine_has_its_picture_in_the_page_about_money() -> None:
    shown = [name.removeprefix("picture ") for name in marks.marks(text_of("docs/money.md")) if name.startswith("picture ")]
    assert sorted(shown) == sorted(machine.name for machine in MACHINES)


def test_every_vendor_has_its_chapter_in_the_page_about_errors() -> None:
    for module in pkgutil.iter_modules(clients.__path__):
        importlib.import_module(f"{clients.__name__}.{module.name}")
    page = text_of("docs/errors.md").lower()
    assert [vendor for vendor in {effect.vendor for effect in EFFECTS.values()} if vendor not in page and vendor not in {"prices", "secrets"}] == []


def test_every_kind_of_posting_is_in_the_table() -> None:
    table = text_of("docs/money.md")
    kinds = {
        kind
        for _, tree in product()
        for call in calls(tree, "post")
        if len(call.args) > 1
        for kind in constants(call.args[1])
        if "." in kind or kind == "arrival"
    }
    assert kinds
    assert sorted(kind for kind in kinds if f"`{kind}`" not in table) == []


@functools.cache
def reasons() -> set[str]:
    """What the code can write as the reason of a dead letter, or of an alarm that becomes one."""
    found: set[str] = set()
    for name, tree in product():
        found |= {text for call in calls(tree, "Dead", "_dead") if call.args for text in constants(call.args[0])}
        told = calls(tree, "bury", "_tell_a_person", "hold", "_give_up")
        found |= {text for call in told for keyword in call.keywords if keyword.arg == "reason" for text in constants(keyword.value)}
        if name.endswith("/verdict.py"):
            found |= {text for node in ast.walk(tree) if isinstance(node, ast.Return) and node.value for text in constants(node.value)}
        if name.endswith(("/following.py", "/watching.py")):
            alarms = [call for call in calls(tree, "Wait", "Working", "Held", "Freeze") if call.args]
            found |= {text for call in alarms if getattr(call.func, "id", "") != "Wait" or call.keywords for text in constants(call.args[0])}
    return found


def test_every_reason_that_needs_a_person_has_its_place_in_operations() -> None:
    text = text_of("docs/operations.md")
    assert "unknown_order" in reasons()
    assert "its fees are at their cap" in reasons()
    assert sorted(reason for reason in reasons() if reason not in text) == []


def test_every_way_to_give_up_has_its_place_in_operations() -> None:
    def kinds(error: type[GiveUp]) -> Iterator[type[GiveUp]]:
        for kind in error.__subclasses__():
            yield kind
            yield from kinds(kind)

    ours = [kind for kind in kinds(GiveUp) if kind.__module__ == "PGP_COMMON.errors"]
    names = ["".join("_" + c.lower() if c.isupper() else c for c in kind.__name__).lstrip("_") for kind in ours]
    assert [name for name in names if name not in text_of("docs/operations.md")] == []


def test_every_test_that_the_house_rules_name_exists() -> None:
    there = {name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"^ *def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)}
    named = set(re.findall(r"\b(test_\w+)(?!\.py)\b", text_of("CONTRIBUTING.md").replace("test_documents.py", "").replace("test_engine.py", "")))
    assert named
    assert sorted(named - there) == []


def test_decisions_are_numbered_without_a_gap_and_have_the_same_four_parts() -> None:
    assert [Path(page).name[:4] for page in DECISIONS] == [f"{number:04}" for number in range(1, len(DECISIONS) + 1)]
    for page in DECISIONS:
        text = text_of(page)
        assert text.startswith(f"# {Path(page).name[:4]}: ")
        assert all(f"\n## {part}\n" in text for part in ("Question", "Choice", "Reasons", "What would change our mind")), page
