"""A wire between the product and its PostgreSQL that can be cut: before a COMMIT reaches the server, or before its answer comes back."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import sqlalchemy as sa

Cut = Literal["before", "after", "silence"]
COMMIT = b"COMMIT"


class Wire:
    """Carries bytes both ways until it is told to lose the next COMMIT (`before`, or with `silence` so that the server does not notice), or its answer (`after`)."""

    def __init__(self, url: str) -> None:
        """Listen on a free port in front of the server of a SQLAlchemy address."""
        there = sa.make_url(url)
        self._server = (str(there.host), int(there.port or 5432))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = there.set(host="127.0.0.1", port=self._listener.getsockname()[1]).render_as_string(hide_password=False)
        self.cut: Cut | None = None
        self.cuts = 0
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()
        for server in self._kept:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._carry, args=(client, socket.create_connection(self._server)), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        """Bytes to the server here, its answers in a thread of their own."""
        deaf, answered = threading.Event(), threading.Event()
        threading.Thread(target=_answers, args=(client, server, deaf, answered), daemon=True).start()
        with client, contextlib.suppress(OSError):
            while told := client.recv(65536):
                cut = self.cut if COMMIT in told else None
                if cut is not None:
                    self.cut, self.cuts = None, self.cuts + 1
                    deaf.set()
                if cut in {None, "after"}:
                    server.sendall(told)
                if cut == "after":
                    # The server has it. Nobody hears that it is done.
                    assert answered.wait(5)
                if cut == "silence":
                    self._kept.append(server)
                    return
                if cut is not None:
                    break
            # Whoever waits for an answer in another thread holds a socket open that is only closed.
            server.shutdown(socket.SHUT_RDWR)


def _answers(client: socket.socket, server: socket.socket, deaf: threading.Event, answered: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while said := server.recv(65536):
            if deaf.is_set():
                answered.set()
                return
            client.sendall(said)


@contextmanager
def a_wire(url: str) -> Iterator[Wire]:
    """A wire for one test."""
    wire = Wire(url)
    try:
        yield wire
    finally:
        wire.close()
