"""A worker thread and its queue.

Waking a thread is a system call, so it is done only when the worker sleeps. The worker says that it
sleeps before it looks at the queue for the last time. A job that is put in before that look is seen
by it, and a job that is put in after it wakes the worker.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from chat.storage.group_commit import Job


class WorkerThread:
    """Calls `work` with its queue whenever there are jobs in it; `work` takes at least one off the
    front. Jobs may be put in from any thread."""

    def __init__(self, name: str, work: Callable[[deque[Job]], None]) -> None:
        self._queue: deque[Job] = deque()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._work = work
        self._sleeps = False
        self._wake_at = 1
        """How many jobs must be there for a sleeping worker to be woken."""
        self._is_open = True
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def waiting(self) -> int:
        """How many jobs are in the queue."""
        return len(self._queue)

    def put(self, jobs: Sequence[Job]) -> None:
        self._queue.extend(jobs)
        if self._sleeps and len(self._queue) >= self._wake_at:
            self._sleeps = False
            self._wake.put(None)

    def wait_for(self, count: int, limit_s: float) -> None:
        """From its own thread: waits until `count` jobs are in the queue, or for that time."""
        self._wake_at = count
        self._sleeps = True
        if len(self._queue) < count and self._is_open:
            with contextlib.suppress(Empty):
                self._wake.get(timeout=limit_s)
        self._sleeps = False
        self._wake_at = 1

    def finish(self) -> None:
        """Lets the thread work off its queue, and waits for its end."""
        self._is_open = False
        self._wake.put(None)
        self._thread.join()

    def _run(self) -> None:
        while self._is_open or self._queue:
            self._sleeps = True
            if not self._queue and self._is_open:
                self._wake.get()
            self._sleeps = False
            if self._queue:
                self._work(self._queue)
