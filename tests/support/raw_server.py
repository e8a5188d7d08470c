"""A server that answers with the bytes it is told to: what a vendor's worst day looks like from our side of the socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

Behaviour = Callable[[socket.socket], None]


def answering(data: bytes) -> Behaviour:
    """Read a request and answer with these bytes, then close."""

    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(data)

    return behave


def http_answer(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    """Write an HTTP answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


@contextlib.contextmanager
def raw_server(behave: Behaviour) -> Iterator[tuple[str, list[int]]]:
    """Serve one connection after the other; gives the address, and a list that grows with each connection."""
    seen: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, peer = listener.accept()
                except OSError:
                    return
                seen.append(peer[1])
                with connection, contextlib.suppress(OSError):
                    behave(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)
