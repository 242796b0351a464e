"""One run of the client: its exit codes, and waits that end with it.

Whatever ends a run before its time calls `Run.interrupt`: a signal, a node that is gone for too
long, a login that is not valid any more. Every wait of the run then raises End.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

EXIT_OK, EXIT_INTERNAL_ERROR, EXIT_USAGE, EXIT_NO_NODE, EXIT_REFUSED, EXIT_FAILED = range(6)
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

T = TypeVar("T")


class End(Exception):
    """The run ends before its time, with this exit code; without a code only the login ends, and
    the user may log in anew. The text, if there is one, is a sentence for the user."""

    def __init__(self, code: int | None, sentence: str = "") -> None:
        super().__init__(sentence)
        self.code = code


class Run:
    """Whether the run goes on, and the waits that its end breaks off."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[End] = self._loop.create_future()
        self._changed = asyncio.Event()

    def interrupt(self, code: int | None, sentence: str = "") -> None:
        """Ends the run; without a code, the login. The first call counts."""
        if not self._end.done():
            self._end.set_result(End(code, sentence))

    def begin_again(self) -> None:
        """Only the login has ended; waits go on to work."""
        self._end = self._loop.create_future()

    def changed(self) -> None:
        """Has the conditions of `when` looked at again."""
        self._changed.set()

    async def until(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for the work, which is cancelled if the run ends before. Raises End."""
        task = asyncio.create_task(work)
        both: set[asyncio.Future[Any]] = {task, self._end}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise self._end.result()

    async def when(self, holds: Callable[[], bool], limit_s: float | None = None) -> bool:
        """Waits until the condition holds; False if it does not within the limit. Raises End."""

        async def wait() -> None:
            while not holds():
                self._changed.clear()
                await self._changed.wait()

        try:
            await self.until(asyncio.wait_for(wait(), limit_s))
        except TimeoutError:
            return False
        return True
