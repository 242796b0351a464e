"""Shows the notices of the session on the console.

After a login the backlog is gathered until the session has caught up, and then shown by
conversation; from then on entries are shown as they come. Every entry that is shown is marked as
read.

The outcome of a command is shown as a sentence of its own, and a change of the roster as a line
with a star, unless a running command is what made the change: then its outcome tells of it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from chat.client.session.client_session import ClientSession
from chat.client.session.ports import events as ev
from chat.client.session.ports import notices
from chat.client.terminal import outcomes, rendering
from chat.client.terminal.commands import Parsed
from chat.client.terminal.console import Console, Tone
from chat.client.terminal.rendering import Clock
from chat.protocol.messages import Entry, EntryKind

REMIND_S: Final = 5.0
"""How often the view repeats that there is no connection, while the reason is the same."""

Outcome = notices.SendSettled | notices.SendFailed | notices.RequestDone | notices.RequestFailed


@dataclass
class RunningCommand:
    """A command whose outcome has not come. `line`: its number among the lines that were read."""

    parsed: Parsed
    event: ev.SendChat | ev.SendGroupChat | ev.SubmitRequest
    line: int

    @property
    def is_send(self) -> bool:
        return not isinstance(self.event, ev.SubmitRequest)


class Fail(Protocol):
    def __call__(self, sentence: str, line: int, *, text_lost: bool = False) -> None:
        """Tells that a command failed. `text_lost`: the text was given up without an answer."""


class NoticeView:
    """`feed` hands an event to the session, `fail` a failure to the mode."""

    def __init__(
        self,
        console: Console,
        session: ClientSession,
        feed: Callable[[ev.AnyEvent], None],
        fail: Fail,
        clock: Clock,
    ) -> None:
        self._console = console
        self._session = session
        self._feed = feed
        self._fail = fail
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self.running: dict[int, RunningCommand] = {}
        """By ref."""
        self.texts_received = 0
        """Texts of other users."""
        self.caught_up = False
        """The backlog of the last login is complete."""
        self.loss_reason = ""
        """Why the connection was lost last; empty after a login."""
        self._backlog: dict[int, list[Entry]] | None = None
        """The entries gathered since the login, by conversation; None when they are shown."""
        self._delayed: set[int] = set()
        self._reminded_at_s = 0.0

    def take(self, notice: notices.AnyNotice) -> None:
        match notice:
            case notices.EntryApplied():
                self._entry(notice)
            case _ if isinstance(notice, Outcome):
                self._outcome(notice)
            case notices.SendDelayed():
                self._delay(notice)
            case notices.CaughtUp():
                self.caught_up = True
            case _ if isinstance(notice, notices.RosterNotice):
                self._roster_change(notice)
            case _:
                pass  # read marks are not shown; the rest is the mode's

    # ------------------------------------------------------------------ entries

    def logged_in(self, notice: notices.LoggedIn) -> None:
        self.loss_reason = ""
        if notice.reconnected:
            self._console.show("Connected again.", Tone.NOTICE)
            return
        self._backlog, self.caught_up = {}, False
        self._console.show(rendering.login_screen(notice.user, self._session.roster))

    def show_backlog(self) -> None:
        """Shows the entries that were gathered since the login."""
        backlog, self._backlog = self._backlog, None
        if backlog:
            text = rendering.backlog(backlog, self._session.roster, self._clock)
            self._console.show("\n" + text)
            for conversation, entries in backlog.items():
                self._feed(ev.MarkRead(conversation, entries[-1].seq))

    def _entry(self, notice: notices.EntryApplied) -> None:
        if notice.entry.kind is EntryKind.TEXT and not notice.own:
            self.texts_received += 1
        if self._backlog is not None:
            self._backlog.setdefault(notice.conversation, []).append(notice.entry)
            return
        line = rendering.entry_line(
            notice.conversation, notice.entry, self._session.roster, self._clock
        )
        self._console.show(line)
        self._feed(ev.MarkRead(notice.conversation, notice.entry.seq))

    # ------------------------------------------------------------------ commands

    def _outcome(self, notice: Outcome) -> None:
        command = self.running.pop(notice.ref, None)
        if command is None:
            return
        if isinstance(notice, notices.RequestDone):
            text = outcomes.outcome(
                command.parsed, notice.request, notice.reply, self._session.roster, self._clock
            )
            self._console.show(text)
        elif isinstance(notice, notices.RequestFailed):
            message = rendering.clean(notice.message)
            self._fail(f"{command.parsed.command.name}: {message}", command.line)
        elif isinstance(notice, notices.SendFailed):
            message, text = rendering.clean(notice.message), rendering.clean(notice.text)
            sentence = f"Not sent: {message} The text was: {text}"
            self._fail(sentence, command.line, text_lost=notice.code is None)

    def _delay(self, notice: notices.SendDelayed) -> None:
        """Tells of a delay once for each send, and only if it is long enough to be noticed."""
        if notice.retry_after_ms >= 1_000 and notice.ref not in self._delayed:
            self._delayed.add(notice.ref)
            wait_s = notice.retry_after_ms / 1_000
            self._console.show(f"The node is busy; sent again in {wait_s:.0f} s.", Tone.NOTICE)

    # ------------------------------------------------------------------ roster, connection

    def _roster_change(self, notice: notices.RosterNotice) -> None:
        events = [command.event for command in self.running.values()]
        if any(
            isinstance(event, ev.SubmitRequest) and outcomes.is_outcome(notice, event.request)
            for event in events
        ):
            return
        if self._backlog is None or not isinstance(notice, notices.PresenceChanged):
            self._console.show(f"* {rendering.roster_change(notice)}", Tone.NOTICE)

    def connection_lost(self, reason: str, where: str) -> None:
        """Tells that there is no connection: at once when the reason is new, else now and then."""
        reason = rendering.clean(reason) or "no answer"
        now_s = self._loop.time()
        if reason != self.loss_reason or now_s - self._reminded_at_s >= REMIND_S:
            self.loss_reason, self._reminded_at_s = reason, now_s
            sentence = f"No connection to {where} ({reason}); trying again."
            self._console.show(sentence, Tone.ERROR)
