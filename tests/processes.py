"""Nodes and clients as processes, on free ports, in temporary folders."""

import contextlib
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

READY_S = 20.0
WAIT_S = 30.0


class Process:
    """A program whose output is read line by line, and whose input stays open."""

    def __init__(
        self, *command: str, env: dict[str, str] | None = None, folder: Path | None = None
    ) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._news: queue.Queue[None] = queue.Queue()
        self._threads = [
            threading.Thread(target=self._read, args=(self._process.stdout, self.out)),
            threading.Thread(target=self._read, args=(self._process.stderr, self.err)),
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream: Iterator[str], lines: list[str]) -> None:
        for line in stream:
            lines.append(line.rstrip("\n"))
            self._news.put(None)
        self._news.put(None)

    def write(self, *lines: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("".join(line + "\n" for line in lines))
        self._process.stdin.flush()

    def wait_for(self, pattern: str, count: int = 1, *, seconds: float = WAIT_S) -> list[str]:
        """The first `count` lines of the output that match, as soon as they are there."""
        wanted = re.compile(pattern)
        deadline = time.monotonic() + seconds
        while True:
            found = [line for line in self.out if wanted.search(line)]
            if len(found) >= count:
                return found[:count]
            left_s = deadline - time.monotonic()
            if left_s <= 0 or self._over():
                raise AssertionError(f"no {count} × {pattern!r} in:\n{self}")
            with contextlib.suppress(queue.Empty):
                self._news.get(timeout=min(left_s, 1.0))

    def _over(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads) and self._news.empty()

    def end_input(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def exit_code(self, seconds: float = WAIT_S) -> int:
        code = self._process.wait(seconds)
        for thread in self._threads:
            thread.join(seconds)
        return code

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def close(self) -> None:
        """Ends the process if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()

    def __str__(self) -> str:
        return "\n".join(["--- out", *self.out[-60:], "--- err", *self.err[-60:]])


class NodeProcess(Process):
    """A `chat-node`, ready when this returns."""

    def __init__(self, port: int, store: Path, *flags: str) -> None:
        self.port = port
        super().__init__(
            sys.executable,
            "-m",
            "chat.cli",
            "127.0.0.1",
            str(port),
            "--store",
            f"sqlite:{store}",
            *flags,
        )
        try:
            self.wait_for("^ready", seconds=READY_S)
        except AssertionError:
            self.close()
            raise


class ClientProcess(Process):
    """A `chat-client` that reads commands from a pipe."""

    def __init__(self, port: int, *flags: str) -> None:
        super().__init__(sys.executable, "-m", "chat.client.main", "127.0.0.1", str(port), *flags)
