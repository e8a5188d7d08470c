"""The storm: everything that the plan says goes wrong, at its time; and the calm afterwards."""

from __future__ import annotations

import itertools
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

import httpx
from google.api_core.exceptions import FailedPrecondition, GoogleAPIError, NotFound

from deploy.local import anvil
from deploy.local.demo.world import PlayError
from PGP_COMMON.errors import Busy
from tests.chaos.exchange import Meddler
from tests.chaos.fleet import FINAL_BEHIND, Fleet
from tests.chaos.plan import queues
from tests.chaos.troubles import Kind, Trouble

GWEI: Final = 10**9
# As many at once as last: most are over in a moment.
LASTING: Final = 24
# So many tasks of a queue are run early at a time.
MOST_RUN: Final = 20
# How long one waits for a moment in which Anvil's state file is whole and recent.
WHOLE_S: Final = 8.0
# Within so many seconds the supervisor has started the last program that was killed.
BACK_S: Final = 120.0


class Storm:
    """Carries the troubles of a plan out, and counts what of it really happened."""

    def __init__(self, fleet: Fleet, troubles: Sequence[Trouble]) -> None:
        """Take the fleet and what is to go wrong."""
        self.fleet, self.troubles = fleet, troubles
        self.done: Counter[str] = Counter()
        self.killed: Counter[str] = Counter()
        self.met: Counter[tuple[str, str, str]] = Counter()
        # What could not be done: whom it was for did not run, or there was nothing to do it to.
        self.missed: Counter[str] = Counter()
        self.over = threading.Event()
        # The newest block that anybody may hold to be final: no re-organisation, and no restart, goes back behind it.
        self.final = 0
        self._chain = threading.Lock()
        self._meddler = Meddler(fleet.world)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="storm")

    def begin(self) -> None:
        """Let it begin."""
        self._blowing = self._pool.submit(self._blow)

    def end(self) -> None:
        """End what still lasts, then make everything calm again. Raises what broke the storm itself."""
        self.over.set()
        self._blowing.result()
        self._calm()

    def _blow(self) -> None:
        began = time.monotonic()
        acts: dict[Kind, Callable[[Trouble], Any]] = {
            Kind.KILL: self._kill,
            Kind.TERM: self._term,
            Kind.FREEZE: self._freeze,
            Kind.SESSIONS: self._end_sessions,
            Kind.FAULT: self._arm,
            Kind.QUEUE_PAUSE: self._pause_queue,
            Kind.QUEUE_PURGE: self._purge_queue,
            Kind.QUEUE_RUN: self._run_queue,
            Kind.REORG: self._reorganise,
            Kind.EVICT: self._evict,
            Kind.STALL: self._stall,
            Kind.BASE_FEE: self._raise_fee,
            Kind.LAG: lambda trouble: self._turn(trouble, "lag", {"blocks": int(trouble.value)}),
            Kind.HOLD: lambda trouble: self._turn(trouble, "hold", {"seconds": trouble.value}),
            Kind.KEPT: lambda trouble: self._meddler.keep(trouble.value, self.over),
            Kind.BACK: lambda _: self._meddler.send_back(),
        }
        under_way: list[Future[None]] = []
        with ThreadPoolExecutor(LASTING, thread_name_prefix="trouble") as pool:
            for trouble in self.troubles:
                for act in [act for act in under_way if act.done()]:
                    under_way.remove(act)
                    act.result()
                while (wait_s := began + trouble.at_s - time.monotonic()) > 0 and not self.over.wait(min(wait_s, 1.0)):
                    self._look_at_chain()
                if self.over.is_set():
                    return
                under_way.append(pool.submit(self._act, acts[trouble.kind], trouble))
            for act in under_way:
                act.result()

    def _act(self, act: Callable[[Trouble], Any], trouble: Trouble) -> None:
        """Carry one out; what it is done to may be down itself, and then it did not happen."""
        try:
            if act(trouble) is not False:
                self.done[trouble.kind.value] += 1
            else:
                self.missed[trouble.kind.value] += 1
        except (PlayError, Busy, OSError, GoogleAPIError, httpx.HTTPError):
            self.missed[trouble.kind.value] += 1

    # Programs.

    def _kill(self, trouble: Trouble) -> bool:
        name = trouble.target
        if name in self.fleet.world.simulators:
            self._count_met(name)
        if name == "anvil":
            return self._kill_anvil()
        return self._killed(name)

    def _killed(self, name: str) -> bool:
        if not self.fleet.signal(name, signal.SIGKILL):
            return False
        self.killed[name] += 1
        return True

    def _kill_anvil(self) -> bool:
        """Kill the chain's node at a moment when its state file is whole: a half-written one would take blocks back that were final, which no network does."""
        state = self.fleet.state.root / "anvil" / "state.json"
        until = time.monotonic() + WHOLE_S
        with self._chain:
            self._look_at_chain()
            while time.monotonic() < until:
                self.fleet.signal("anvil", signal.SIGSTOP)
                kept = _best_block(state)
                if kept is not None and kept > self.final:
                    return self._killed("anvil")
                self.fleet.signal("anvil", signal.SIGCONT)
                time.sleep(0.3)
        return False

    def _term(self, trouble: Trouble) -> bool:
        return self.fleet.signal(trouble.target, signal.SIGTERM)

    def _freeze(self, trouble: Trouble) -> bool:
        if not self.fleet.signal(trouble.target, signal.SIGSTOP):
            return False
        self.over.wait(trouble.value)
        self.fleet.signal(trouble.target, signal.SIGCONT)
        return True

    def _end_sessions(self, trouble: Trouble) -> bool:
        with self.fleet.db.reading() as tx:
            ended = tx.value(
                """
                SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name <> 'chaos' ORDER BY random() LIMIT :count) victims
                """,
                count=int(trouble.value),
            )
        self.killed["sessions of PostgreSQL"] += int(ended)
        return bool(ended)

    # Vendors and queues.

    def _arm(self, trouble: Trouble) -> None:
        value = int(trouble.value) if trouble.mode == "status" else trouble.value or None
        order = {"operation": trouble.operation, "mode": trouble.mode, "value": value, "times": trouble.times}
        self.fleet.world.control(trouble.target, "faults", order, repeatable=True)

    def _turn(self, trouble: Trouble, knob: str, order: dict[str, Any]) -> None:
        self.fleet.world.control(trouble.target, knob, order, repeatable=True)

    def _pause_queue(self, trouble: Trouble) -> None:
        name = self.fleet.queue_path(trouble.target)
        self.fleet.queues.pause_queue(name=name, timeout=5)
        self.over.wait(trouble.value)
        self.fleet.queues.resume_queue(name=name, timeout=5)

    def _purge_queue(self, trouble: Trouble) -> None:
        self.fleet.queues.purge_queue(name=self.fleet.queue_path(trouble.target), timeout=5)

    def _run_queue(self, trouble: Trouble) -> bool:
        """Have tasks delivered at once, whatever their time is; the ones that are on their way already are delivered twice."""
        waiting = list(itertools.islice(self.fleet.queues.list_tasks(parent=self.fleet.queue_path(trouble.target), timeout=5), MOST_RUN))
        for task in waiting:
            with suppress(NotFound, FailedPrecondition):
                self.fleet.queues.run_task(name=task.name, timeout=5)
                self.done["tasks run early"] += 1
        return bool(waiting)

    # The chain.

    def _look_at_chain(self) -> None:
        with suppress(PlayError, OSError):
            self.final = max(self.final, self._head() - FINAL_BEHIND)

    def _head(self) -> int:
        return int(self.fleet.world.rpc("eth_blockNumber"), 16)

    def _reorganise(self, trouble: Trouble) -> bool:
        """Take blocks back, and every transaction in them with them; no pool has those any more."""
        with self._chain:
            self._look_at_chain()
            head = self._head()
            depth = min(int(trouble.value) or self._aim(head), head - self.final - 1)
            if depth < 1:
                return False
            self.fleet.world.rpc("anvil_reorg", depth, [])
            return True

    def _aim(self, head: int) -> int:
        """How deep one has to go to take our oldest transaction back that is not final; 0 when there is none."""
        wallet = self.fleet.known["HOST_WALLET_ETH_ADDRESS"].lower()
        for number in range(self.final + 1, head + 1):
            block = self.fleet.world.rpc("eth_getBlockByNumber", hex(number), True)  # noqa: FBT003 - the RPC's own parameter
            if block is not None and any(tx["from"].lower() == wallet for tx in block["transactions"]):
                return head - number + 1
        return 0

    def _evict(self, trouble: Trouble) -> bool:
        """No block for a while, so that something waits, then every pool forgets it."""
        with self._chain, self._no_blocks():
            self.over.wait(trouble.value)
            waiting = self.fleet.world.rpc("txpool_content")
            hashes = [tx["hash"] for pool in ("pending", "queued") for account in waiting[pool].values() for tx in account.values()]
            for tx_hash in hashes:
                self.fleet.world.rpc("anvil_dropTransaction", tx_hash)
            self.done["transactions evicted"] += len(hashes)
            return bool(hashes)

    def _stall(self, trouble: Trouble) -> None:
        with self._chain, self._no_blocks():
            self.over.wait(trouble.value)

    def _no_blocks(self) -> Any:
        return _Paused(self.fleet)

    def _raise_fee(self, trouble: Trouble) -> None:
        self.fleet.world.rpc("anvil_setNextBlockBaseFeePerGas", hex(int(trouble.value) * GWEI))

    # Afterwards.

    def _count_met(self, name: str) -> None:
        """Note which faults a simulator has met: it forgets that when it is killed."""
        with suppress(PlayError):
            for row in self.fleet.world.control(name, "met"):
                self.met[name, row["operation"], row["mode"]] += row["times"]

    def _calm(self) -> None:
        """Disarm everything; from now on nobody helps, and nobody disturbs."""
        self.fleet.wake_all()
        for name in self.fleet.world.simulators:
            self._count_met(name)
            self.fleet.world.control(name, "reset", {}, repeatable=True)
        self._meddler.let_go()
        self.fleet.world.rpc("evm_setIntervalMining", anvil.BLOCK_TIME_S)
        for queue in queues():
            self._resume(queue)

    def _resume(self, queue: str) -> None:
        """Let a queue go on; the emulator may just be starting again."""
        until = time.monotonic() + BACK_S
        while True:
            try:
                self.fleet.queues.resume_queue(name=self.fleet.queue_path(queue), timeout=10)
            except GoogleAPIError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)
            else:
                return


class _Paused:
    """A chain that makes no blocks for a while."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def __enter__(self) -> None:
        self._fleet.world.rpc("evm_setIntervalMining", 0)

    def __exit__(self, *_: object) -> None:
        self._fleet.world.rpc("evm_setIntervalMining", anvil.BLOCK_TIME_S)


def _best_block(state: Any) -> int | None:
    """The newest block of a state file, or None when it is not whole."""
    with suppress(OSError, ValueError, KeyError):
        return int(json.loads(state.read_text())["best_block_number"])
    return None
