"""Where lines are read from and text is shown: a terminal, or pipes.

At a terminal text is printed above the line that is being typed. From a pipe lines are read as they
come; each is echoed after its prompt, so that the output reads like a session.
"""

import asyncio
import contextlib
import enum
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Protocol

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.patch_stdout import patch_stdout

from chat.client.session.roster import Roster
from chat.client.terminal.commands import BY_NAME, complete
from chat.client.terminal.rendering import clean

COMMAND_PROMPT = "-> "
LINES_AHEAD = 100
"""How many lines of a script are read before they are needed."""


class Tone(enum.Enum):
    """The kind of a text; at a terminal each has its colour, an SGR code."""

    PLAIN = ""
    NOTICE = "36"
    ERROR = "31"


class Console(Protocol):
    """`interactive`: a user types while text is shown."""

    interactive: bool

    async def ask(self, prompt: str, *, secret: bool = False) -> str | None:
        """The next line without its newline; None at the end of the input, or when the user leaves
        by Ctrl-C or Ctrl-D. A `secret` line is not shown."""

    def show(self, text: str, tone: Tone = Tone.PLAIN) -> None:
        """Shows whole lines."""


@contextlib.asynccontextmanager
async def open_console(roster: Callable[[], Roster]) -> AsyncIterator[Console]:
    """A terminal if stdin and stdout are one, else pipes. `roster` gives the names to complete."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        with patch_stdout(raw=True):
            yield Terminal(roster)
    else:
        pipe = Pipe(sys.stdin.fileno())
        pipe.start()
        yield pipe


# ---------------------------------------------------------------------------------- pipes


class Pipe:
    """Plain text; Tone.ERROR goes to stderr. A thread reads, since a script may be a file, for
    which no event loop can wait."""

    interactive = False

    def __init__(self, source: int) -> None:
        self._source = source
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._room = threading.Semaphore(LINES_AHEAD)
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended before the input
            for line in _lines_of(self._source):
                self._room.acquire()
                self._loop.call_soon_threadsafe(self._lines.put_nowait, line)
            self._loop.call_soon_threadsafe(self._lines.put_nowait, None)

    async def ask(self, prompt: str, *, secret: bool = False) -> str | None:
        line = await self._lines.get()
        self._room.release()
        if line is None:
            return None
        text = line.decode(errors="surrogateescape").removesuffix("\r")
        self.show(prompt.rstrip() if secret else f"{prompt}{clean(text)}".rstrip())
        return text

    def show(self, text: str, tone: Tone = Tone.PLAIN) -> None:
        if tone is Tone.ERROR:
            print(f"chat-client: {text}", file=sys.stderr, flush=True)
        else:
            print(text, flush=True)


def _lines_of(source: int) -> Iterator[bytes]:
    """The lines of a file descriptor, the last one also without a newline. The descriptor is read
    directly and not by sys.stdin, whose lock a waiting thread would hold when the program ends."""
    unfinished: list[bytes] = []
    while True:
        try:
            data = os.read(source, 65_536)
        except OSError:
            data = b""
        if not data:
            break
        first, *lines = data.split(b"\n")
        unfinished.append(first)
        if lines:
            yield b"".join(unfinished)
            unfinished = [lines.pop()]
            yield from lines
    if rest := b"".join(unfinished):
        yield rest


# ------------------------------------------------------------------------------- terminals


class Terminal:
    """A terminal with line editing, history and completion. Ctrl-C empties the line; on an empty
    line it ends the input, as Ctrl-D does."""

    interactive = True

    def __init__(self, roster: Callable[[], Roster]) -> None:
        keys = KeyBindings()
        keys.add("c-c")(_interrupt)
        self._commands: PromptSession[str] = PromptSession(
            completer=_Completer(roster), complete_while_typing=False, key_bindings=keys
        )
        self._answers: PromptSession[str] = PromptSession(key_bindings=keys)
        self._secrets: PromptSession[str] = PromptSession(key_bindings=keys, is_password=True)
        self._colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    async def ask(self, prompt: str, *, secret: bool = False) -> str | None:
        session = self._secrets if secret else self._answers
        if prompt == COMMAND_PROMPT:
            session = self._commands
        try:
            return await session.prompt_async(prompt, handle_sigint=False)
        except EOFError:
            return None

    def show(self, text: str, tone: Tone = Tone.PLAIN) -> None:
        if self._colour and tone is not Tone.PLAIN:
            text = f"\x1b[{tone.value}m{text}\x1b[0m"
        print(text, flush=True)


def _interrupt(event: KeyPressEvent) -> None:
    if event.current_buffer.text:
        event.current_buffer.reset()
    else:
        event.app.exit(exception=EOFError())


class _Completer(Completer):
    """Completes commands, friends and groups, from the table of commands."""

    def __init__(self, roster: Callable[[], Roster]) -> None:
        self._roster = roster

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        word, candidates = complete(document.text_before_cursor, self._roster())
        for candidate in candidates:
            command = BY_NAME.get(candidate.rstrip(": "))
            about = command.summary if command is not None else ""
            yield Completion(candidate, start_position=-len(word), display_meta=about)
