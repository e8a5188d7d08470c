"""The manifest: it is sound, its contradictions are found, and everything rendered from it stands as it says."""

from __future__ import annotations

import dataclasses

import pytest

from PGP_COMMON import rendering
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.manifest import Door, Move, Proof, Queue, Route, Schedule, Service, Step
from PGP_COMMON.soundness import problems

SPLIT2 = next(service for service in FLEET if service.short == "split2")


def with_one(**changes: object) -> list[str]:
    """The problems of the fleet with SPLIT2 changed."""
    return problems([dataclasses.replace(SPLIT2, **changes) if service is SPLIT2 else service for service in FLEET])  # type: ignore[arg-type]


def test_the_manifest_is_sound() -> None:
    assert problems() == []


def test_there_are_fifteen_services_and_a_sixteenth_is_one_entry() -> None:
    assert len(FLEET) == 15
    sixteenth = Service(
        name="pgp-sixteenth-v1",
        app="PGP_SPLIT_v1.split2_estimator.app",
        purpose="Shows that one entry is enough.",
        routes=(Route("/task", Door.TASK, queue=Queue("pgp-sixteenth-v1-queue"), proof=Proof.TASK),),
        steps=(Step("sixteenth.work", "/task", "anything"),),
        sends=("sixteenth.work",),
        settings=("DATABASE_URL", "WEBHOOK_SIGNING_KEY"),
    )
    assert problems([*FLEET, sixteenth]) == ["no service reads PGP_SIXTEENTH_URL"] or problems([*FLEET, sixteenth]) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "pgp-split1-v1"}, "service pgp-split1-v1 is declared 2 times"),
        ({"routes": (Route("/", Door.TASK, proof=Proof.TASK),)}, "a task door has a queue"),
        ({"routes": (*SPLIT2.routes, Route("/x", Door.PUBLIC, methods=("GET",)))}, "nobody proves anything here"),
        ({"routes": (*SPLIT2.routes, Route("/x", Door.PUBLIC, proof=Proof.OWNER, public_because="why not"))}, "says that it is public"),
        ({"routes": (dataclasses.replace(SPLIT2.routes[0], edge=True),)}, "the edge must not let anybody in"),
        (
            {"routes": (*SPLIT2.routes, Route("/y", Door.SCHEDULE, schedule=Schedule("y", "* * * * *", "work.sweep"), proof=Proof.SCHEDULE))},
            "which is not its own",
        ),
        ({"steps": ()}, "which nobody runs"),
        ({"steps": (dataclasses.replace(SPLIT2.steps[0], route="/elsewhere"),)}, "which is no task door"),
        ({"steps": (*SPLIT2.steps, Step("payout.dream", "/", "quote"))}, "nobody sends payout.dream"),
        ({"sends": ("payout.unheard_of",)}, "which nobody runs"),
        ({"moves": (Move("swap", "planned", "finished"),)}, "which the machine does not allow"),
        ({"settings": ("UNHEARD_OF",)}, "which the catalogue does not know"),
        ({"settings": (*SPLIT2.settings, "HOST_WALLET_PRIVATE_KEY")}, "may read the wallet's key"),
        ({"settings": tuple(name for name in SPLIT2.settings if name != "TPS_HOSTPAY_SIGNING_KEY")}, "may not read"),
        ({"app": "PGP_SPLIT_v1.split9.app"}, "there is no module"),
    ],
)
def test_a_contradiction_is_a_sentence(changes: dict[str, object], sentence: str) -> None:
    assert any(sentence in problem for problem in with_one(**changes)), with_one(**changes)


@pytest.mark.parametrize("path", sorted(rendering.rendered()))
def test_a_rendered_file_is_as_the_code_says(path: str) -> None:
    assert (rendering.ROOT / path).read_text(encoding="utf-8") == rendering.rendered()[path], f"{path} differs: run `make render`"
