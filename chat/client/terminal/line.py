"""The line mode: the menu, the screen, the prompt.

At a terminal nobody waits: what a command brings about is shown when it comes, above the line that
is being typed. With a pipe one thing is done after the other: a request is asked when all that was
said before it is settled, and the next line is taken when it is answered; only texts follow each
other at once, since the session keeps their order.

After a login, what was missed is gathered until the session has caught up, and shown by
conversation. From then on entries are shown as they come.

Whatever ends the run before its time (the node is gone for too long, the login is not good any
more, a signal) goes through `interrupt`, and every wait ends there (`_until`)."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from chat.client.session.client_session import ClientSession
from chat.client.session.ports import events as ev
from chat.client.session.ports import notices
from chat.client.terminal import outcomes, screen
from chat.client.terminal.commands import Mistake, Parsed, help_text, parse, resolve
from chat.client.terminal.console import COMMAND_PROMPT, Console, Tone
from chat.client.terminal.screen import Clock
from chat.protocol.errors import ERRORS, ErrorCode
from chat.protocol.messages import Entry, EntryKind, RegisterRequest, UserName
from chat.protocol.rules import BYTE_LIMITS

EXIT_OK, EXIT_BUG, EXIT_USAGE, EXIT_NO_NODE, EXIT_REFUSED, EXIT_FAILED = range(6)
MENU: Final = "1. login\n2. register\n3. quit"
GATHER_S: Final = 3.0
"""How long what was missed is gathered at most."""
QUIT_S: Final = 3.0
"""How long a person who quits waits for what is not sent yet."""
REMIND_S: Final = 5.0
"""How often it is said that there is still no connection."""

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """`wait_s`, `until_messages`: how long a script stays after its last line."""

    where: str
    user: str | None = None
    password: str | None = None
    connect_timeout_s: float = 10.0
    wait_s: float | None = None
    until_messages: int | None = None


@dataclass
class _Errand:
    """A command under way."""

    parsed: Parsed
    event: ev.SendChat | ev.SendGroupChat | ev.SubmitRequest
    line: int


class End(Exception):
    """The run is over before its time. `code`: None if only the login is, and one may log in
    anew."""

    def __init__(self, code: int | None, sentence: str = "") -> None:
        super().__init__(sentence)
        self.code = code


class LineMode:
    """One person's, or one script's, run of the client. `feed` hands an event to the session."""

    def __init__(
        self,
        console: Console,
        session: ClientSession,
        feed: Callable[[ev.AnyEvent], None],
        options: Options,
        clock: Clock | None = None,
    ) -> None:
        self._console = console
        self._session = session
        self._feed = feed
        self._options = options
        self._user = options.user
        self._clock = clock or Clock()
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[End] = self._loop.create_future()
        self._progress = asyncio.Event()
        self._entered: notices.AnyNotice | None = None
        self._entering = False
        self._open: dict[int, _Errand] = {}
        self._refs = 0
        self._line = 0
        self._failed = False
        self._missed: dict[int, list[Entry]] | None = None
        self._caught_up = False
        self._gone = False
        self._messages = 0
        self._delayed: set[int] = set()
        self._patience: asyncio.TimerHandle | None = None
        self._trouble = ""
        self._reminded_at_s = 0.0

    # ------------------------------------------------------------------ the run

    async def run(self) -> int:
        """From the start to the end; the exit code."""
        while True:
            try:
                return await self._run()
            except End as end:
                if str(end):
                    self._console.show(str(end), Tone.TROUBLE)
                if end.code is not None:
                    return end.code
                self._end = self._loop.create_future()

    def interrupt(self, code: int | None, sentence: str = "") -> None:
        """Ends the run; or, without a code, the login."""
        if not self._end.done():
            self._end.set_result(End(code, sentence))

    async def _run(self) -> int:
        logged_in = False
        if self._user is not None:
            user, self._user = self._user, None
            password = self._options.password
            if password is None:
                password = await self._ask("password: ", secret=True)
            logged_in = password is not None and await self._log_in(user, password)
            logged_in = logged_in or self._refuse()
        while not logged_in:
            choice = await self._menu()
            if choice is None:
                return EXIT_OK
            logged_in = choice
        return await self._commands()

    async def _menu(self) -> bool | None:
        """Whether somebody is logged in now; None to end."""
        self._console.show(MENU)
        choice = await self._ask("choice: ")
        match "3" if choice is None else choice.strip():
            case "1" | "login":
                who = await self._ask_who("user: ")
                return bool(who and await self._log_in(*who)) or self._refuse()
            case "2" | "register":
                who = await self._ask_who("name: ")
                return not (who and await self._register(*who)) and self._refuse()
            case "3" | "quit":
                return None
            case _:
                self._console.show("Choose 1, 2 or 3.", Tone.TROUBLE)
                return self._refuse(EXIT_USAGE)

    async def _ask_who(self, prompt: str) -> tuple[str, str] | None:
        """A name and a password; None if the person does not want to after all."""
        name = await self._ask(prompt)
        password = None if name is None else await self._ask("password: ", secret=True)
        if name is not None and password is not None and _is_text(name + password):
            return name.strip(), password
        if not self._console.interactive:
            raise End(EXIT_USAGE, "The script has to say who is there, in UTF-8.")
        return None

    def _refuse(self, code: int = EXIT_REFUSED) -> bool:
        """A person may try again; a script cannot know that it has to."""
        if not self._console.interactive:
            raise End(code)
        return False

    async def _ask(self, prompt: str, *, secret: bool = False) -> str | None:
        self._line += 1
        return await self._until(self._console.ask(prompt, secret=secret))

    async def _until(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for the work, or for the end. Raises End."""
        task = asyncio.create_task(work)
        both: set[asyncio.Future[Any]] = {task, self._end}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise self._end.result()

    async def _when(self, is_so: Callable[[], bool], limit_s: float | None = None) -> bool:
        """Waits until it is so, which news of the session may bring about; False at the limit."""

        async def wait() -> None:
            while not is_so():
                self._progress.clear()
                await self._progress.wait()

        try:
            await self._until(asyncio.wait_for(wait(), limit_s))
        except TimeoutError:
            return False
        return True

    # ------------------------------------------------------------------ the way in

    async def _log_in(self, user: str, password: str) -> bool:
        number = user.isascii() and user.isdecimal() and len(user) <= 16
        notice = await self._enter(ev.LogIn(int(user) if number else user, password))
        if isinstance(notice, notices.LoginFailed):
            message = notice.message
            if notice.code is ErrorCode.BAD_MESSAGE:  # nobody has such a name or such a password
                message = ERRORS[ErrorCode.BAD_CREDENTIALS].message
            self._console.show(f"Cannot log in: {screen.clean(message)}", Tone.TROUBLE)
            return False
        await self._when(lambda: self._caught_up, GATHER_S)
        self._show_missed()
        return True

    async def _register(self, name: str, password: str) -> bool:
        reason = _why_not(name, password)
        if reason:
            self._console.show(f"Cannot register: {reason}", Tone.TROUBLE)
            return False
        notice = await self._enter(ev.Register(name, password))
        if isinstance(notice, notices.Registered):
            who = screen.person(notice.user)
            self._console.show(f"Registered {who}: log in with the name or the number.")
            return True
        assert isinstance(notice, notices.RegisterFailed)
        self._console.show(f"Cannot register: {screen.clean(notice.message)}", Tone.TROUBLE)
        return False

    async def _enter(self, event: ev.LogIn | ev.Register) -> notices.AnyNotice:
        self._entered, self._entering = None, True
        self._feed(event)
        try:
            await self._when(lambda: self._entered is not None)
        finally:
            self._entering = False
        assert self._entered is not None
        return self._entered

    # ------------------------------------------------------------------ commands

    async def _commands(self) -> int:
        """From the login to the logout."""
        while True:
            line = await self._ask(COMMAND_PROMPT)
            if line is None:
                break
            is_comment = not self._console.interactive and line.startswith("#")
            if not line.strip() or is_comment:
                continue
            try:
                parsed = parse(line)
                if parsed.command.name == "quit":
                    break
                await self._carry_out(parsed)
            except Mistake as mistake:
                self._fail(str(mistake), self._line)
        await self._stay()
        self._feed(ev.LogOut())
        await self._when(lambda: self._gone)
        return EXIT_FAILED if self._failed else EXIT_OK

    async def _carry_out(self, parsed: Parsed) -> None:
        """Raises Mistake."""
        name, roster = parsed.command.name, self._session.roster
        if name == "help":
            self._console.show(help_text(*map(str, parsed.values)))
        elif name == "requests":
            self._console.show(screen.requests(roster))
        else:
            values = resolve(parsed, roster)
            if not _is_text("".join(map(str, values))):
                raise Mistake("That line is not UTF-8, so it cannot be sent.")
            ask = parsed.command.ask
            if ask is None:
                send = ev.SendChat if name == "chat" else ev.SendGroupChat
                self._start(parsed, send(self._refs + 1, values[0], str(values[1])))  # type: ignore[arg-type]
                return
            if not self._console.interactive:
                await self._when(lambda: not self._open)
            ref = self._start(parsed, ev.SubmitRequest(self._refs + 1, ask(*values)))
            if not self._console.interactive:
                await self._when(lambda: ref not in self._open)

    def _start(
        self, parsed: Parsed, event: ev.SendChat | ev.SendGroupChat | ev.SubmitRequest
    ) -> int:
        self._refs = event.ref
        self._open[event.ref] = _Errand(parsed, event, self._line)
        self._feed(event)
        return event.ref

    async def _stay(self) -> None:
        """What has to happen before the logout."""
        if self._console.interactive:
            if self._open and self._session.unsettled:
                self._console.show(f"{self._session.unsettled} not sent yet; waiting a little.")
                await self._when(lambda: not self._open, QUIT_S)
            return
        await self._when(lambda: not self._open)
        most, wait_s = self._options.until_messages, self._options.wait_s
        if most is not None:
            limit_s = 30.0 if wait_s is None else wait_s
            if not await self._when(lambda: self._messages >= most, limit_s):
                self._fail(f"{self._messages} of {most} messages came in {limit_s:g} s.")
        elif wait_s:
            await self._until(asyncio.sleep(wait_s))

    def _fail(self, sentence: str, line: int = 0) -> None:
        """To a person it is said, and that is all; a script has failed."""
        self._failed = self._failed or not self._console.interactive
        where = f"line {line}: " if line and not self._console.interactive else ""
        self._console.show(f"{where}{sentence}", Tone.TROUBLE)

    # ------------------------------------------------------------------ what the session tells

    def take(self, notice: notices.AnyNotice) -> None:
        match notice:
            case notices.EntryApplied():
                self._take_entry(notice)
            case (
                notices.SendSettled()
                | notices.SendFailed()
                | notices.RequestDone()
                | notices.RequestFailed()
            ):
                self._take_outcome(notice)
            case notices.SendDelayed():
                self._take_delay(notice)
            case notices.LoggedIn():
                self._take_login(notice)
            case notices.Registered() | notices.RegisterFailed() | notices.LoginFailed():
                self._take_entrance(notice)
            case notices.ConnectionChanged():
                self._take_link(notice)
            case notices.CaughtUp():
                self._caught_up = True
            case notices.LoggedOut():
                self._gone = True
            case notices.ReadBy():
                pass
            case _:
                self._take_news(notice)
        self._progress.set()

    def _take_login(self, notice: notices.LoggedIn) -> None:
        self._trouble = ""
        if notice.reconnected:
            self._console.show("Connected again.", Tone.NEWS)
            return
        self._missed, self._caught_up = {}, False
        self._console.show(screen.login_screen(notice.user, self._session.roster))
        if self._console.interactive:
            self._console.show("\nhelp shows the commands.")
        self._take_entrance(notice)

    def _take_entrance(self, notice: notices.AnyNotice) -> None:
        if self._entering:
            self._entered = notice
        elif isinstance(notice, notices.LoginFailed):
            code = None if self._console.interactive else EXIT_REFUSED
            self.interrupt(code, f"You are logged out: {screen.clean(notice.message)}")

    def _take_outcome(
        self,
        notice: notices.SendSettled
        | notices.SendFailed
        | notices.RequestDone
        | notices.RequestFailed,
    ) -> None:
        errand = self._open.pop(notice.ref, None)
        if errand is None:
            return
        if isinstance(notice, notices.RequestDone):
            roster = self._session.roster
            text = outcomes.outcome(
                errand.parsed, notice.request, notice.reply, roster, self._clock
            )
            self._console.show(text)
        elif isinstance(notice, notices.RequestFailed):
            self._fail(f"{errand.parsed.command.name}: {screen.clean(notice.message)}", errand.line)
        elif isinstance(notice, notices.SendFailed):
            message, text = screen.clean(notice.message), screen.clean(notice.text)
            self._fail(f"Not sent: {message} The text was: {text}", errand.line)
            self._failed = self._failed or notice.code is None

    def _take_delay(self, notice: notices.SendDelayed) -> None:
        """Said once of each, and only if it takes long enough for a person to wonder."""
        if notice.retry_after_ms >= 1_000 and notice.ref not in self._delayed:
            self._delayed.add(notice.ref)
            wait_s = notice.retry_after_ms / 1_000
            self._console.show(f"The node is busy; sent again in {wait_s:.0f} s.", Tone.NEWS)

    def _take_news(self, notice: notices.RosterNotice) -> None:
        asked = [errand.event for errand in self._open.values()]
        if any(
            isinstance(one, ev.SubmitRequest) and outcomes.is_outcome(notice, one.request)
            for one in asked
        ):
            return
        if self._missed is None or not isinstance(notice, notices.PresenceChanged):
            self._console.show(f"* {screen.news(notice)}", Tone.NEWS)

    # ------------------------------------------------------------------ entries

    def _take_entry(self, notice: notices.EntryApplied) -> None:
        if notice.entry.kind is EntryKind.TEXT and not notice.own:
            self._messages += 1
        if self._missed is not None:
            self._missed.setdefault(notice.conversation, []).append(notice.entry)
            return
        line = screen.entry_line(
            notice.conversation, notice.entry, self._session.roster, self._clock
        )
        self._console.show(line)
        self._feed(ev.MarkRead(notice.conversation, notice.entry.seq))

    def _show_missed(self) -> None:
        missed, self._missed = self._missed, None
        if missed:
            self._console.show("\n" + screen.away(missed, self._session.roster, self._clock))
            for conversation, entries in missed.items():
                self._feed(ev.MarkRead(conversation, entries[-1].seq))

    # ------------------------------------------------------------------ the connection

    def _take_link(self, notice: notices.ConnectionChanged) -> None:
        match notice.status:
            case notices.ConnectionStatus.CONNECTING:
                self._be_patient()
            case notices.ConnectionStatus.CONNECTED | notices.ConnectionStatus.ONLINE:
                self._stop_waiting()
            case notices.ConnectionStatus.WAITING:
                self._be_patient()
                self._take_loss(notice)
            case notices.ConnectionStatus.IDLE:
                self._stop_waiting()

    def _take_loss(self, notice: notices.ConnectionChanged) -> None:
        reason = screen.clean(notice.reason) or "no answer"
        now_s = self._loop.time()
        if reason != self._trouble or now_s - self._reminded_at_s >= REMIND_S:
            self._trouble, self._reminded_at_s = reason, now_s
            where = self._options.where
            sentence = f"No connection to {where} ({reason}); trying again."
            self._console.show(sentence, Tone.TROUBLE)

    def _be_patient(self) -> None:
        """A script does not wait for ever."""
        if self._patience is None and not self._console.interactive:
            limit_s = self._options.connect_timeout_s
            self._patience = self._loop.call_later(limit_s, self._lose_patience)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _lose_patience(self) -> None:
        options = self._options
        sends = sum(
            not isinstance(errand.event, ev.SubmitRequest) for errand in self._open.values()
        )
        rest = f" {sends} texts are not known to be sent." if sends else ""
        self.interrupt(
            EXIT_NO_NODE,
            f"Gave up: no connection to {options.where} ({self._trouble or 'no answer'}) for "
            f"{options.connect_timeout_s:g} s; check host and port, and that the node runs.{rest}",
        )


def _why_not(name: str, password: str) -> str:
    """What is wrong with a name or a password before a node is asked; empty if nothing is."""
    try:
        msgspec.convert(name, UserName)
    except msgspec.ValidationError:
        return "a name has 1 to 32 letters, digits, “_”, “-” and “.”, and not digits alone."
    least, most = next(sizes for field, *sizes in BYTE_LIMITS[RegisterRequest])
    if not least <= len(password.encode()) <= most:
        return f"a password has {least} to {most} bytes."
    return ""


def _is_text(text: str) -> bool:
    """Whether it was UTF-8 when it was read."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
