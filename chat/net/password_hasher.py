"""The password hasher: password hashes and session tokens, on threads of its own.

The core may neither burn CPU nor draw random numbers, so it asks for both here. Passwords are
hashed with argon2id: 19 MiB, two passes, one lane (the OWASP password storage recommendation). A
hash takes a core for some 20 ms, and so the threads have a lower priority than the others of the
node. The queue is bounded; an operation that finds it full is refused with `busy`. For a user that
does not exist a dummy hash is checked, so that the refusal takes as long.
"""

import contextlib
import logging
import os
import secrets
import sys
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

TakeAnswers = Callable[[Sequence[tuple[int, PasswordOutcome]]], None]
"""Takes outcomes, each with the ticket of its operation."""

_BUSY = Refused(ErrorCode.BUSY)
_log = logging.getLogger(__name__)


NICENESS = 5
"""The priority of the threads (see setpriority(2))."""


def _lower_priority() -> None:
    """Of the calling thread; only Linux has priorities of threads."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


class PasswordHasher:
    """`submit` never blocks. `answer` is called from the hasher's threads, or from within `submit`
    if the queue is full. At most `max_waiting` operations wait for a thread."""

    def __init__(
        self, answer: TakeAnswers, *, threads: int | None = None, max_waiting: int = 64
    ) -> None:
        self._answer = answer
        threads = threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(
            threads, thread_name_prefix="password-hasher", initializer=_lower_priority
        )
        self._slots = threading.Semaphore(threads + max_waiting)
        self._hasher = argon2.PasswordHasher(
            time_cost=2, memory_cost=19 * 1024, parallelism=1, type=argon2.Type.ID
        )
        self._dummy_hash = self._hasher.hash(secrets.token_hex(16))

    def submit(self, ticket: int, operation: PasswordOperation) -> None:
        if self._slots.acquire(blocking=False):
            self._pool.submit(self._work, ticket, operation)
        else:
            self._answer([(ticket, _BUSY)])

    def close(self) -> None:
        """Waits for the operations that are being worked on; the queue is never answered."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _work(self, ticket: int, operation: PasswordOperation) -> None:
        try:
            outcome = self._carry_out(operation)
        except Exception:
            _log.exception("internal error in the password hasher")
            outcome = Refused(ErrorCode.UNAVAILABLE)
        finally:
            self._slots.release()
        self._answer([(ticket, outcome)])

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
