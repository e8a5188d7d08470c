"""This is the refusal: a request that is not done, with the code and the sentence of the real service.

The sentences were recorded against real Cloud Tasks by the conformance suite of aertje/cloud-tasks-emulator.
"""

from __future__ import annotations

import grpc


class Refused(Exception):
    """A request that is not done."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        """Take the gRPC code and the sentence for the caller."""
        super().__init__(text)
        self.code = code
        self.text = text

    @classmethod
    def invalid(cls, text: str) -> Refused:
        """Refuse what can never be done."""
        return cls(grpc.StatusCode.INVALID_ARGUMENT, text)

    @classmethod
    def unsupported(cls, what: str) -> Refused:
        """Refuse what the real service has and this one has not."""
        return cls(grpc.StatusCode.UNIMPLEMENTED, f"{what} are not available on this server.")

    @classmethod
    def no_queue(cls) -> Refused:
        """Refuse because the queue is not there."""
        return cls(
            grpc.StatusCode.NOT_FOUND,
            "Queue does not exist. If you just created the queue, wait at least a minute for the queue to initialize.",
        )

    @classmethod
    def not_found(cls) -> Refused:
        """Refuse because there is no such thing, and was not lately."""
        return cls(grpc.StatusCode.NOT_FOUND, "Requested entity was not found.")

    @classmethod
    def over(cls) -> Refused:
        """Refuse because the task is over."""
        return cls(
            grpc.StatusCode.NOT_FOUND,
            "The task no longer exists, though a task with this name existed recently. The task either successfully completed or was deleted.",
        )

    @classmethod
    def task_exists(cls) -> Refused:
        """Refuse a name that is taken, or was lately."""
        return cls(grpc.StatusCode.ALREADY_EXISTS, "Requested entity already exists")

    @classmethod
    def queue_exists(cls) -> Refused:
        """Refuse a second queue of the same name."""
        return cls(grpc.StatusCode.ALREADY_EXISTS, "Queue already exists")

    @classmethod
    def unavailable(cls) -> Refused:
        """Refuse because the database cannot be written now; whether a create was written is not known."""
        return cls(grpc.StatusCode.UNAVAILABLE, "The queue's database cannot be reached. Try again later.")
