"""The line mode: the menu, the login, the commands, one line after the other.

This is what a user at a terminal (interactive.py) and a script (chat/client/scripts.py) have in
common. They differ in how they go on after a failure, and in which outcomes they wait for.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from chat.client.session.client_session import ClientSession
from chat.client.session.ports import events as ev
from chat.client.session.ports import notices
from chat.client.session.ports.notices import ConnectionStatus
from chat.client.terminal import rendering
from chat.client.terminal.commands import Mistake, Parsed, help_text, parse, resolve
from chat.client.terminal.console import COMMAND_PROMPT, Console, Tone
from chat.client.terminal.notice_view import NoticeView, RunningCommand
from chat.client.terminal.rendering import Clock
from chat.client.terminal.run import EXIT_FAILED, EXIT_OK, EXIT_REFUSED, EXIT_USAGE, End, Run
from chat.protocol.errors import ERRORS, ErrorCode
from chat.protocol.messages import RegisterRequest, UserName
from chat.protocol.rules import BYTE_LIMITS

MENU: Final = "1. login\n2. register\n3. quit"
GATHER_S: Final = 3.0
"""How long the backlog is gathered at most before it is shown."""

AuthenticationOutcome = (
    notices.LoggedIn | notices.LoginFailed | notices.Registered | notices.RegisterFailed
)


@dataclass(frozen=True)
class Options:
    """`where`: the node, as the user is told of it. `user`: who is to be logged in at once, without
    the menu. The rest is for scripts. `wait_s`, `until_messages`: how long a script stays after its
    last line."""

    where: str
    user: str | None = None
    password: str | None = None
    connect_timeout_s: float = 10.0
    wait_s: float | None = None
    until_messages: int | None = None


class LineMode(ABC):
    """One run of the client. `feed` hands an event to the session; its notices come by `take`."""

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
        self._run = Run()
        self._view = NoticeView(console, session, feed, self._fail, clock or Clock())
        self._authenticating = False
        self._authenticated: AuthenticationOutcome | None = None
        """The outcome of the last login or register that this mode asked for."""
        self._refs = 0
        self._line = 0
        """How many lines were read."""
        self._failed = False
        self._logged_out = False

    # ------------------------------------------------------------------ what modes differ in

    @abstractmethod
    def _after_refusal(self, code: int = EXIT_REFUSED) -> None:
        """The login, the registration or the choice was not accepted. Raises End, with this code,
        unless the user may try again."""

    @abstractmethod
    def _no_credentials(self) -> None:
        """No name or no password was given. Raises End unless the user may try again."""

    @abstractmethod
    def _login_lost(self, sentence: str) -> None:
        """The login is not valid any more."""

    @abstractmethod
    def _is_comment(self, line: str) -> bool:
        """Whether the line is not to be carried out."""

    @abstractmethod
    async def _submit(self, command: RunningCommand) -> None:
        """Hands a command to the session, and waits as long as the mode wants. Raises End."""

    @abstractmethod
    async def _before_logout(self) -> None:
        """Waits for what has to happen between the last command and the logout. Raises End."""

    @abstractmethod
    def _fail(self, sentence: str, line: int = 0, *, text_lost: bool = False) -> None:
        """A command failed. `line`: its number, if it has one. `text_lost`: it was a send that was
        given up without an answer."""

    # ------------------------------------------------------------------ the run

    async def run(self) -> int:
        """From the start to the end; the exit code."""
        while True:
            try:
                return await self._log_in_and_carry_out()
            except End as end:
                if str(end):
                    self._console.show(str(end), Tone.ERROR)
                if end.code is not None:
                    return end.code
                self._run.begin_again()

    def interrupt(self, code: int | None, sentence: str = "") -> None:
        """Ends the run; or, without a code, the login."""
        self._run.interrupt(code, sentence)

    async def _log_in_and_carry_out(self) -> int:
        logged_in = False
        if self._user is not None:
            user, self._user = self._user, None
            password = self._options.password
            if password is None:
                password = await self._ask("password: ", secret=True)
            logged_in = password is not None and await self._log_in(user, password)
            if not logged_in:
                self._after_refusal()
        while not logged_in:
            choice = await self._ask_choice()
            if choice == "3":
                return EXIT_OK
            logged_in = await self._choose(choice)
        return await self._commands()

    async def _ask(self, prompt: str, *, secret: bool = False) -> str | None:
        """The next line; None at the end of the input. Raises End."""
        self._line += 1
        return await self._run.until(self._console.ask(prompt, secret=secret))

    # ------------------------------------------------------------------ the menu

    async def _ask_choice(self) -> str:
        """The number of the menu's item, or what was typed in place of one."""
        self._console.show(MENU)
        choice = await self._ask("choice: ")
        words = {"login": "1", "register": "2", "quit": "3"}
        choice = "3" if choice is None else choice.strip()
        return words.get(choice, choice)

    async def _choose(self, choice: str) -> bool:
        """Whether the user is logged in now."""
        if choice == "1":
            credentials = await self._ask_credentials("user: ")
            if credentials is not None and await self._log_in(*credentials):
                return True
            self._after_refusal()
        elif choice == "2":
            credentials = await self._ask_credentials("name: ")
            if credentials is None or not await self._register(*credentials):
                self._after_refusal()
        else:
            self._console.show("Choose 1, 2 or 3.", Tone.ERROR)
            self._after_refusal(EXIT_USAGE)
        return False

    async def _ask_credentials(self, prompt: str) -> tuple[str, str] | None:
        """A name and a password; None if the user did not give them."""
        name = await self._ask(prompt)
        password = None if name is None else await self._ask("password: ", secret=True)
        if name is not None and password is not None and _is_text(name + password):
            return name.strip(), password
        self._no_credentials()
        return None

    async def _log_in(self, user: str, password: str) -> bool:
        is_number = user.isascii() and user.isdecimal() and len(user) <= 16
        outcome = await self._authenticate(ev.LogIn(int(user) if is_number else user, password))
        if isinstance(outcome, notices.LoginFailed):
            message = outcome.message
            if outcome.code is ErrorCode.BAD_MESSAGE:  # no user can have this name or password
                message = ERRORS[ErrorCode.BAD_CREDENTIALS].message
            self._console.show(f"Cannot log in: {rendering.clean(message)}", Tone.ERROR)
            return False
        await self._run.when(lambda: self._view.caught_up, GATHER_S)
        self._view.show_backlog()
        return True

    async def _register(self, name: str, password: str) -> bool:
        reason = _why_not(name, password)
        if reason:
            self._console.show(f"Cannot register: {reason}", Tone.ERROR)
            return False
        outcome = await self._authenticate(ev.Register(name, password))
        if isinstance(outcome, notices.Registered):
            user = rendering.user_title(outcome.user)
            self._console.show(f"Registered {user}: log in with the name or the number.")
            return True
        assert isinstance(outcome, notices.RegisterFailed)
        self._console.show(f"Cannot register: {rendering.clean(outcome.message)}", Tone.ERROR)
        return False

    async def _authenticate(self, event: ev.LogIn | ev.Register) -> AuthenticationOutcome:
        self._authenticated, self._authenticating = None, True
        self._feed(event)
        try:
            await self._run.when(lambda: self._authenticated is not None)
        finally:
            self._authenticating = False
        assert self._authenticated is not None
        return self._authenticated

    # ------------------------------------------------------------------ commands

    async def _commands(self) -> int:
        """From the login to the logout; the exit code."""
        while True:
            line = await self._ask(COMMAND_PROMPT)
            if line is None:
                break
            if not line.strip() or self._is_comment(line):
                continue
            try:
                parsed = parse(line)
                if parsed.command.name == "quit":
                    break
                await self._carry_out(parsed)
            except Mistake as mistake:
                self._fail(str(mistake), self._line)
        await self._before_logout()
        self._feed(ev.LogOut())
        await self._run.when(lambda: self._logged_out)
        return EXIT_FAILED if self._failed else EXIT_OK

    async def _carry_out(self, parsed: Parsed) -> None:
        """Raises Mistake and End."""
        name, roster = parsed.command.name, self._session.roster
        if name == "help":
            self._console.show(help_text(*map(str, parsed.values)))
        elif name == "requests":
            self._console.show(rendering.requests(roster))
        else:
            values = resolve(parsed, roster)
            if not _is_text("".join(map(str, values))):
                raise Mistake("That line is not UTF-8, so it cannot be sent.")
            self._refs += 1
            event: ev.SendChat | ev.SendGroupChat | ev.SubmitRequest
            if parsed.command.to_request is not None:
                event = ev.SubmitRequest(self._refs, parsed.command.to_request(*values))
            elif name == "chat":
                to, text = values
                event = ev.SendChat(self._refs, to, str(text))
            else:
                group, text = values
                assert isinstance(group, int), "resolve gives a group's number"
                event = ev.SendGroupChat(self._refs, group, str(text))
            await self._submit(RunningCommand(parsed, event, self._line))

    def _start(self, command: RunningCommand) -> None:
        """Hands a command to the session; the view shows its outcome."""
        self._view.running[command.event.ref] = command
        self._feed(command.event)

    # ------------------------------------------------------------------ what the session tells

    def take(self, notice: notices.AnyNotice) -> None:
        match notice:
            case notices.LoggedIn():
                self._view.logged_in(notice)
                if not notice.reconnected:
                    self._take_authentication(notice)
            case notices.Registered() | notices.RegisterFailed() | notices.LoginFailed():
                self._take_authentication(notice)
            case notices.ConnectionChanged():
                self._connection_changed(notice)
            case notices.LoggedOut():
                self._logged_out = True
            case _:
                self._view.take(notice)
        self._run.changed()

    def _take_authentication(self, notice: AuthenticationOutcome) -> None:
        if self._authenticating:
            self._authenticated = notice
        elif isinstance(notice, notices.LoginFailed):
            self._login_lost(f"You are logged out: {rendering.clean(notice.message)}")

    def _connection_changed(self, notice: notices.ConnectionChanged) -> None:
        if notice.status is ConnectionStatus.WAITING:
            self._view.connection_lost(notice.reason, self._options.where)


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
