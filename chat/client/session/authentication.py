"""How the session authenticates on each new connection: by register, login or resume.

A user who has logged in once stays logged in over any number of connections: each new one is
resumed with the token of the one before. A token that the node refuses is forgotten, and the
session logs in with the password once more; if that fails too, the user has to log in anew.
"""

from collections.abc import Callable

from chat.client.session.ports.events import LogIn, Register
from chat.client.session.ports.notices import (
    AnyNotice,
    ConnectionChanged,
    ConnectionStatus,
    LoginFailed,
    Registered,
    RegisterFailed,
)
from chat.protocol.errors import ERRORS, ErrorCode
from chat.protocol.messages import ErrorReply, LoginRequest, RegisterRequest, ResumeRequest, User

RESUME_OVERHEAD_BYTES = 160
"""What the line of a resume needs besides its cursors."""

AuthenticationRequest = RegisterRequest | LoginRequest | ResumeRequest


class Authentication:
    """`_token` is set exactly while the user is logged in, connected or not, but for the time in
    which the password stands in for a token that was refused."""

    def __init__(self, tell: Callable[[AnyNotice], None]) -> None:
        self._tell = tell
        self._register: Register | None = None
        """A registration that is wanted and not answered."""
        self._login: LogIn | None = None
        """A login that is wanted, or by which the user is logged in."""
        self._token = ""
        self._token_refused = False
        self.retry_at_ms = 0
        """No request before this time."""

    @property
    def needs_connection(self) -> bool:
        return self._register is not None or self._login is not None

    @property
    def logged_in(self) -> bool:
        """Whether the user is logged in, as the user sees it: a lost connection, or a token that
        was refused, does not change it."""
        return bool(self._token) or self._token_refused

    def want(self, event: LogIn | Register, *, under_way: bool) -> None:
        """The user wants to log in or register. `under_way`: an earlier request is not answered."""
        if self.logged_in or under_way:
            code = ErrorCode.ALREADY_LOGGED_IN
            failed = LoginFailed if isinstance(event, LogIn) else RegisterFailed
            self._tell(failed(code, ERRORS[code].message))
        elif isinstance(event, LogIn):
            self._login, self._register = event, None
        else:
            self._login, self._register = None, event

    def next_request(self, cursors: dict[int, int]) -> AuthenticationRequest:
        """The request to send now, without its id. A connection must be needed."""
        if self._token:
            return ResumeRequest(id=0, token=self._token, cursors=cursors)
        if self._login is not None:
            return LoginRequest(id=0, user=self._login.user, password=self._login.password)
        assert self._register is not None
        return RegisterRequest(id=0, name=self._register.name, password=self._register.password)

    # ------------------------------------------------------------------ outcomes

    def registered(self, user: User) -> None:
        self._register = None
        self._tell(Registered(user))

    def login_accepted(self, token: str) -> None:
        self._token = token
        self._token_refused = False

    def refused(
        self, request: AuthenticationRequest, error: ErrorReply, retry_at_ms: int | None
    ) -> bool:
        """The node refused the request. Another one follows if waiting helps, except that a user
        who is not logged in yet is told of a rate limit; and after a resume, by the password. False
        if none follows."""
        rate_limited = error.code is ErrorCode.RATE_LIMITED
        if retry_at_ms is not None and (self.logged_in or not rate_limited):
            self.retry_at_ms = retry_at_ms
        elif isinstance(request, ResumeRequest):
            self._token = ""
            self._token_refused = True
        else:
            return False
        return True

    def reply_lost(self, request: AuthenticationRequest) -> None:
        """The connection broke before the reply came. A login or a resume is simply repeated; a
        registration is not, since its name may be taken by now, by this very user."""
        if isinstance(request, RegisterRequest):
            self._register = None
            message = "The connection broke before the answer came; try to log in."
            self._tell(RegisterFailed(None, message))

    def failure(self, code: ErrorCode | None, message: str) -> AnyNotice:
        """The notice for the user that what is wanted now has failed."""
        if self._register is not None:
            return RegisterFailed(code, message)
        if self._login is not None:
            return LoginFailed(code, message)
        return ConnectionChanged(ConnectionStatus.IDLE, message)

    def clear(self) -> None:
        """The user is logged out, and nothing is wanted any more."""
        self._register = None
        self._login = None
        self._token = ""
        self._token_refused = False
