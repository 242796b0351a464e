"""A script from a pipe: the same menu and commands as at a terminal, one after the other.

A request is made when all commands before it are settled, and the next line is read when it is
answered; only texts follow each other at once, since the session keeps their order. A script does
not try again: its first refusal, or a node that is gone for too long, ends it with an exit code.
"""

import asyncio

from chat.client.session.ports import notices
from chat.client.session.ports.notices import ConnectionStatus
from chat.client.terminal.console import Tone
from chat.client.terminal.line_mode import LineMode
from chat.client.terminal.notice_view import RunningCommand
from chat.client.terminal.run import EXIT_NO_NODE, EXIT_REFUSED, EXIT_USAGE, End

UNTIL_MESSAGES_S = 30.0
"""How long a script waits for messages unless it says how long."""


class ScriptMode(LineMode):
    """The line mode of a pipe."""

    _timeout: asyncio.TimerHandle | None = None
    """Runs while there is no connection."""

    def _after_refusal(self, code: int = EXIT_REFUSED) -> None:
        raise End(code)

    def _no_credentials(self) -> None:
        raise End(EXIT_USAGE, "The script has to say who is there, in UTF-8.")

    def _login_lost(self, sentence: str) -> None:
        self.interrupt(EXIT_REFUSED, sentence)

    def _is_comment(self, line: str) -> bool:
        return line.startswith("#")

    async def _submit(self, command: RunningCommand) -> None:
        running = self._view.running
        if command.is_send:
            self._start(command)
            return
        await self._run.when(lambda: not running)
        self._start(command)
        await self._run.when(lambda: command.event.ref not in running)

    async def _before_logout(self) -> None:
        await self._run.when(lambda: not self._view.running)
        wanted, wait_s = self._options.until_messages, self._options.wait_s
        if wanted is not None:
            limit_s = UNTIL_MESSAGES_S if wait_s is None else wait_s
            if not await self._run.when(lambda: self._view.texts_received >= wanted, limit_s):
                received = self._view.texts_received
                self._fail(f"{received} of {wanted} messages came in {limit_s:g} s.")
        elif wait_s:
            await self._run.until(asyncio.sleep(wait_s))

    def _fail(self, sentence: str, line: int = 0, *, text_lost: bool = False) -> None:
        self._failed = True
        where = f"line {line}: " if line else ""
        self._console.show(f"{where}{sentence}", Tone.ERROR)

    # ------------------------------------------------------------------ no connection

    def _connection_changed(self, notice: notices.ConnectionChanged) -> None:
        if notice.status in (ConnectionStatus.CONNECTING, ConnectionStatus.WAITING):
            self._start_timeout()
        else:
            self._stop_timeout()
        super()._connection_changed(notice)

    def _start_timeout(self) -> None:
        if self._timeout is None:
            loop = asyncio.get_running_loop()
            self._timeout = loop.call_later(self._options.connect_timeout_s, self._give_up)

    def _stop_timeout(self) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None

    def _give_up(self) -> None:
        options, reason = self._options, self._view.loss_reason or "no answer"
        sends = sum(command.is_send for command in self._view.running.values())
        rest = f" {sends} texts are not known to be sent." if sends else ""
        self.interrupt(
            EXIT_NO_NODE,
            f"Gave up: no connection to {options.where} ({reason}) for "
            f"{options.connect_timeout_s:g} s; check host and port, and that the node runs.{rest}",
        )
