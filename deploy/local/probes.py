"""How one sees from outside that a program is ready."""

from __future__ import annotations

import contextlib
import http.client
import socket
from urllib.parse import urlsplit

from deploy.local import ports

TIMEOUT_S = 2.0


def listens(port: int) -> bool:
    """Whether somebody takes connections on this loopback port."""
    with contextlib.suppress(OSError), socket.create_connection((ports.HOST, port), timeout=TIMEOUT_S):
        return True
    return False


def answers(url: str) -> bool:
    """Whether GET gives 200. No proxy of this machine is asked: the address is our own."""
    return status(url) == http.client.OK


def status(url: str) -> int:
    """The status that GET gives; 0 when there is no answer within two seconds."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or ports.HOST, place.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", place.path or "/")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def speaks(port: int, word: bytes, reply: bytes) -> bool:
    """Whether the server on this loopback port answers `word` with something that begins with `reply`."""
    with contextlib.suppress(OSError), socket.create_connection((ports.HOST, port), timeout=TIMEOUT_S) as line:
        line.sendall(word)
        return line.recv(len(reply)) == reply
    return False
