"""This is the command line: `python -m deploy.emulators.cloudtasks` runs Cloud Tasks on this server until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from deploy.emulators.cloudtasks import messages, queues
from deploy.emulators.cloudtasks.archive import Archive
from deploy.emulators.cloudtasks.database import LOST
from deploy.emulators.cloudtasks.delivery import Mint, Post
from deploy.emulators.cloudtasks.dispatcher import Dispatcher
from deploy.emulators.cloudtasks.oidc import TokenMint
from deploy.emulators.cloudtasks.queue_calls import QueueCalls
from deploy.emulators.cloudtasks.reader import Housekeeper, Reader
from deploy.emulators.cloudtasks.refusals import Refused
from deploy.emulators.cloudtasks.store import Store
from deploy.emulators.cloudtasks.task_calls import TaskCalls
from deploy.emulators.cloudtasks.wire import serve
from deploy.emulators.cloudtasks.writer import Writer

LOG: Final = logging.getLogger("cloudtasks")
# How long a stop waits for what is on its way.
GRACE_S: Final = 2.0


def flags(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; ends the process with a sentence when it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m deploy.emulators.cloudtasks", description="Cloud Tasks on one server, kept in PostgreSQL.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--database-url", help="postgresql+pg8000://user:password@host:port/database")
    where.add_argument("--database-url-file", type=Path, help="a file that holds it, so that the password is in no process list")
    parser.add_argument("--listen", default="127.0.0.1:8123", help="host:port for gRPC; port 0 takes a free one")
    parser.add_argument("--queues", type=Path, help="JSON file: the queues to make or change at start")
    parser.add_argument("--tombstone-s", type=float, default=3600.0, help="seconds for which the name of a task that is over stays blocked")
    parser.add_argument("--default-deadline-s", type=float, default=600.0, help="seconds for an attempt of a task that asks for no deadline")
    parser.add_argument("--poll-s", type=float, default=1.0, help="seconds between looks for tasks that this process does not know of")
    parser.add_argument("--oidc-key", type=Path, help="RSA key (PEM) that signs OIDC tokens; without it none are sent")
    parser.add_argument("--oidc-issuer", default="https://accounts.google.com", help="the tokens' issuer")
    asked = parser.parse_args(arguments)
    if asked.database_url_file is not None:
        asked.database_url = asked.database_url_file.read_text(encoding="utf-8").strip().removeprefix("DATABASE_URL=")
    return asked


def declare(store: Store, settings: Any) -> None:
    """Make or change a queue of the file; what is paused stays paused."""
    before = store.settings_of(settings.name)
    if before is not None:
        known = messages.Queue.FromString(before)
        settings.state = known.state
        if known.HasField("purge_time"):
            settings.purge_time.CopyFrom(known.purge_time)
    store.save_queue(settings.name, settings.SerializeToString(deterministic=True))


async def run(asked: argparse.Namespace, listed: Sequence[Any], mint: Mint | None) -> None:
    """Serve until SIGTERM or SIGINT. Raises one of LOST when the database cannot be reached at the start, and OSError for a taken port."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    store = Store(asked.database_url)
    store.open()
    for settings in listed:
        declare(store, settings)
    post = Post(mint)
    dispatcher = Dispatcher(post, poll_s=asked.poll_s)
    dispatcher.writer = Writer(store, held=dispatcher.held, kept=dispatcher.keep_only)
    reader = Reader(Archive(asked.database_url))
    housekeeper = Housekeeper(reader, dispatcher, tombstone_s=asked.tombstone_s)
    await housekeeper.round()
    server = serve(TaskCalls(dispatcher, store, reader, default_deadline_s=asked.default_deadline_s), QueueCalls(dispatcher, store))
    host = asked.listen.rpartition(":")[0]
    port = server.add_insecure_port(asked.listen)
    await server.start()
    housekeeping = asyncio.create_task(housekeeper.run())
    print(json.dumps({"listening": f"{host}:{port}"}, separators=(",", ":")), flush=True)
    await stopped.wait()
    housekeeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await housekeeping
    await server.stop(grace=1.0)
    await dispatcher.stop(GRACE_S)
    await dispatcher.writer.close()
    await reader.close()
    await post.close()


def main() -> int:
    """Run the emulator; 2 for a wrong command line or file, 1 for a database or port that cannot be had."""
    asked = flags()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        listed = queues.read_file(asked.queues) if asked.queues else []
        mint = TokenMint(asked.oidc_key, asked.oidc_issuer) if asked.oidc_key else None
        Store(asked.database_url)
    except (ValueError, OSError) as error:
        LOG.error("%s", error)  # noqa: TRY400 - a sentence, not a traceback
        return 2
    try:
        asyncio.run(run(asked, listed, mint))
    except (*LOST, Refused, RuntimeError) as error:
        LOG.error("%s", error)  # noqa: TRY400 - a sentence, not a traceback
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
