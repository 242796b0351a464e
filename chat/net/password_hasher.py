"""Passwords and tokens: what costs CPU or needs chance, off the loop.

argon2id with 19 MiB, two passes and one lane (the OWASP password storage recommendation), on as
many threads as there are cores. What waits is bounded; past that a caller is told that the node
is busy. For a user that does not exist a dummy hash is checked, so that it takes as long to say
no.
"""

import logging
import os
import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import argon2

from chat.core.ports.operations import (
    CheckPassword,
    HashPassword,
    PasswordChecked,
    PasswordHashed,
    PasswordOperation,
    PasswordOutcome,
    Refused,
)
from chat.protocol.errors import ErrorCode

Answers = Callable[[Sequence[tuple[int, PasswordOutcome]]], None]

_BUSY = Refused(ErrorCode.BUSY)
_log = logging.getLogger(__name__)


class PasswordHasher:
    """`submit` never blocks; `answers` is called from the vault's threads, or, when the queue is
    full, from within `submit`."""

    def __init__(
        self, answers: Answers, *, threads: int | None = None, max_waiting: int = 64
    ) -> None:
        self._answers = answers
        threads = threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="vault")
        self._room = threading.Semaphore(threads + max_waiting)
        self._hasher = argon2.PasswordHasher(
            time_cost=2, memory_cost=19 * 1024, parallelism=1, type=argon2.Type.ID
        )
        self._dummy_hash = self._hasher.hash(secrets.token_hex(16))

    def submit(self, ticket: int, operation: PasswordOperation) -> None:
        if self._room.acquire(blocking=False):
            self._pool.submit(self._work, ticket, operation)
        else:
            self._answers([(ticket, _BUSY)])

    def close(self) -> None:
        """Waits for what is being worked on; what only waits is never answered."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _work(self, ticket: int, operation: PasswordOperation) -> None:
        try:
            outcome = self._carry_out(operation)
        except Exception:
            _log.exception("A bug in the vault")
            outcome = Refused(ErrorCode.UNAVAILABLE)
        finally:
            self._room.release()
        self._answers([(ticket, outcome)])

    def _carry_out(self, operation: PasswordOperation) -> PasswordOutcome:
        if isinstance(operation, HashPassword):
            return PasswordHashed(self._hasher.hash(operation.password))
        assert isinstance(operation, CheckPassword)
        matches = self._matches(operation.password_hash or self._dummy_hash, operation.password)
        if not matches or operation.password_hash is None:
            return PasswordChecked(False, "")
        return PasswordChecked(True, secrets.token_hex(32))

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False
