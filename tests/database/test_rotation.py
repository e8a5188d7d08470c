"""A rotation of signing keys can be followed: which key signs, which is still accepted, and how much open work carries each."""

from __future__ import annotations

from PGP_COMMON import rotation
from PGP_COMMON.cli import doctor
from PGP_COMMON.database import BaseDatabaseManager
from PGP_COMMON.rotation import KeyInUse

GENERAL, WALLET = "WEBHOOK_SIGNING_KEY", "TPS_HOSTPAY_SIGNING_KEY"
OLD, NEW = "k1:" + "0" * 64, "k2:" + "f" * 64


def leave(db: BaseDatabaseManager, step: str, subject: str, kid: str, state: str = "open") -> None:
    with db.transaction() as tx:
        tx.run(
            """
            INSERT INTO work (step, subject, state, not_before, wake_at, signature, correlation, sender)
            VALUES (:step, :subject, :state, pgp_now(), pgp_now(), :signature, 'c', 'a test')
            """,
            step=step,
            subject=subject,
            state=state,
            signature=f"v1={kid}:{'a' * 64}",
        )


def found(db: BaseDatabaseManager, known: dict[str, str]) -> list[KeyInUse]:
    with db.reading() as tx:
        return rotation.keys_in_use(tx, known)


def test_open_work_is_counted_for_the_key_that_signed_it(db: BaseDatabaseManager) -> None:
    leave(db, "payment.settle", "1", "k1")
    leave(db, "payment.settle", "2", "k1")
    leave(db, "payment.settle", "3", "k2")
    leave(db, "payment.settle", "4", "k1", state="done")
    leave(db, "transfer.sign", "1", "k1")
    assert found(db, {GENERAL: f"{NEW},{OLD}", WALLET: OLD}) == [
        KeyInUse(GENERAL, "k2", signs=True, accepted=True, open_work=1),
        KeyInUse(GENERAL, "k1", signs=False, accepted=True, open_work=2),
        KeyInUse(WALLET, "k1", signs=True, accepted=True, open_work=1),
    ]


def test_a_key_that_went_too_early_is_shown_and_is_a_finding(db: BaseDatabaseManager, settings: dict[str, str]) -> None:
    leave(db, "payment.settle", "1", "k1")
    leave(db, "a.step.of.yesterday", "1", "k0")
    known = {**settings, GENERAL: NEW}
    gone = [key for key in found(db, known) if not key.accepted]
    assert [(key.kid, key.open_work) for key in gone] == [("k0", 1), ("k1", 1)]
    sentences = [finding.sentence for finding in doctor.CHECKS["keys"](known)]
    assert sentences[1] == f"1 open units of work carry key k1, which {GENERAL} no longer has: put it back as the second"


def test_keys_that_are_out_of_reach_are_no_finding(db: BaseDatabaseManager, settings: dict[str, str]) -> None:
    leave(db, "payment.settle", "1", "k1")
    assert list(doctor.CHECKS["keys"]({**settings, GENERAL: "", WALLET: "malformed"})) == []
