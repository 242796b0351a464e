"""A user at a terminal.

Nothing is waited for: the outcome of a command is shown when it comes, above the line that is being
typed. A user may try again after every failure, and gets the menu when the login is lost.
"""

from typing import Final

from chat.client.session.ports import notices
from chat.client.terminal.console import Tone
from chat.client.terminal.line_mode import AuthenticationOutcome, LineMode
from chat.client.terminal.notice_view import RunningCommand
from chat.client.terminal.run import EXIT_REFUSED

QUIT_S: Final = 3.0
"""How long `quit` waits for commands that have no outcome yet."""


class InteractiveMode(LineMode):
    """The line mode of a terminal."""

    def _after_refusal(self, code: int = EXIT_REFUSED) -> None:
        pass

    def _no_credentials(self) -> None:
        pass

    def _login_lost(self, sentence: str) -> None:
        self.interrupt(None, sentence)

    def _take_authentication(self, notice: AuthenticationOutcome) -> None:
        if isinstance(notice, notices.LoggedIn):
            self._console.show("\nhelp shows the commands.")
        super()._take_authentication(notice)

    def _is_comment(self, line: str) -> bool:
        return False

    async def _submit(self, command: RunningCommand) -> None:
        self._start(command)

    async def _before_logout(self) -> None:
        if self._view.running and self._session.unsettled:
            self._console.show(f"{self._session.unsettled} not sent yet; waiting a little.")
            await self._run.when(lambda: not self._view.running, QUIT_S)

    def _fail(self, sentence: str, line: int = 0, *, text_lost: bool = False) -> None:
        """The exit code tells only of texts that were lost: the user has seen the rest."""
        self._failed = self._failed or text_lost
        self._console.show(sentence, Tone.ERROR)
