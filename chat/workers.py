"""Several nodes on one port: the parent process of `chat-node --workers N`.

Theory of operation
-------------------

Each worker is a whole node in a process of its own, as if it ran on another machine. All workers
listen on the port (SO_REUSEPORT), and the kernel distributes the connections among them. The parent
accepts no connection; it starts the workers, replaces a worker that dies, and stops them.

The first worker is started alone, so that an error which the operator must fix is printed once; the
exit code of a worker that cannot start is the parent's. Once all workers are ready, one that dies
is replaced after a pause, which doubles while workers do not live long.

A worker's standard input is a pipe whose other end the parent holds. Nothing is ever written to it.
It ends when the parent does, for whatever reason, and a worker whose input has ended stops as if it
were asked to. So no worker outlives its parent.

Workers are in sessions of their own: a Ctrl-C at a terminal reaches all processes of a session, and
the second signal that a worker gets stops it at once. The parent passes on the signals it gets.
"""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from time import monotonic

STABLE_S = 10.0
"""After a life this long the pause before the next worker is short again."""
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 10.0
PATIENCE_S = 12.0
"""How long workers are waited for beyond `stop_s`. A call to a silent database takes 10 s."""
READY, WAITING = "ready:", "waiting:"
"""How the lines begin that a worker prints when it serves, and when it waits for store or bus."""

_log = logging.getLogger("chat")


class Workers:
    """`arguments` gives the command line of a worker by its number, from 1. `tell` gets the lines
    in which the first worker says what it waits for. `ready` is called with the process ids once
    all workers are ready."""

    def __init__(
        self,
        count: int,
        arguments: Callable[[int], Sequence[str]],
        *,
        tell: Callable[[str], None],
        ready: Callable[[Sequence[int]], None],
    ) -> None:
        self._numbers = range(1, count + 1)
        self._arguments = arguments
        self._tell = tell
        self._ready = ready
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._up = {number: asyncio.Event() for number in self._numbers}
        """By number: set once a worker of that number was ready."""
        self._over = asyncio.Event()
        """The workers are to stop, or one could not start."""
        self._code = 0

    async def run(self, *, stop_s: float) -> int:
        """Runs the workers until a signal comes or a worker cannot start; gives the exit code.
        `stop_s` is how long a worker may take to stop."""
        loop = asyncio.get_running_loop()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signal_number, self._ask)
        first, *others = self._numbers
        keepers = [loop.create_task(self._keep(first))]
        await self._ready_or_over([first])
        if not self._over.is_set():
            keepers += [loop.create_task(self._keep(number)) for number in others]
            await self._ready_or_over(others)
        if not self._over.is_set():
            self._ready([process.pid for process in self._processes.values()])
        await self._over.wait()
        self._end_all()
        _, late = await asyncio.wait(keepers, timeout=stop_s + PATIENCE_S)
        if late:
            _log.error("workers did not stop in time and are killed")
            self._end_all(kill=True)
        await asyncio.gather(*keepers)
        return self._code

    def _ask(self) -> None:
        """The first signal stops the workers; the next one, at once."""
        if self._over.is_set():
            self._end_all()
        self._over.set()

    def _end_all(self, *, kill: bool = False) -> None:
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.kill() if kill else process.terminate()

    async def _ready_or_over(self, numbers: Iterable[int]) -> None:
        ready = asyncio.gather(*[self._up[number].wait() for number in numbers])
        over = asyncio.ensure_future(self._over.wait())
        await asyncio.wait((ready, over), return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        ready.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ready

    # ------------------------------------------------------------------ one worker

    async def _keep(self, number: int) -> None:
        """Keeps a worker of that number running until all are to stop."""
        pause_s = FIRST_PAUSE_S
        while not self._over.is_set():
            started_s = monotonic()
            code = await self._run_one(number)
            if self._over.is_set():
                return
            if not self._up[number].is_set():
                self._code = code if code > 0 else 1
                self._over.set()
                return
            if monotonic() - started_s > STABLE_S:
                pause_s = FIRST_PAUSE_S
            _log.error(
                "worker %d ended with code %d; it is started again in %g s", number, code, pause_s
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), pause_s)
            pause_s = min(2 * pause_s, MAX_PAUSE_S)

    async def _run_one(self, number: int) -> int:
        """Runs one process of a worker; gives its exit code, or minus the signal that ended it."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "chat.cli", *self._arguments(number)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self._processes[number] = process
        if self._over.is_set():
            process.terminate()
        assert process.stdout is not None
        async for line in process.stdout:
            text = line.decode(errors="replace").rstrip("\n")
            if text.startswith(READY):
                self._up[number].set()
            elif number == 1 and text.startswith(WAITING):
                self._tell(text)
        return await process.wait()
