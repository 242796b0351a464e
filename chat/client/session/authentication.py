"""Who the person is, and how to tell the node: register, login, or resume.

A token that the node does not take any more is forgotten, and the password the person gave stands
in for it once; if that does not help either, the person has to say who is there.
"""

from chat.client.session.interface import LogIn, Register
from chat.protocol.messages import LoginRequest, RegisterRequest, ResumeRequest

ENVELOPE_BYTES = 160
"""Room that a resume needs besides its cursors."""


class Entrance:
    """`token` is there exactly while the person is logged in, connected or not, but for the time
    in which the password stands in for it (`again`)."""

    def __init__(self) -> None:
        self.register: Register | None = None
        self.login: LogIn | None = None
        self.token = ""
        self.again = False
        self.retry_at_ms = 0

    @property
    def wanted(self) -> bool:
        """Whether there is something to say, for which a connection is needed."""
        return self.register is not None or self.login is not None

    @property
    def inside(self) -> bool:
        """The person is logged in, as far as the person can tell."""
        return bool(self.token) or self.again

    def request(self, cursors: dict[int, int]) -> ResumeRequest | LoginRequest | RegisterRequest:
        """What to say next, but for its number; something must be wanted."""
        if self.token:
            return ResumeRequest(id=0, token=self.token, cursors=cursors)
        if self.login is not None:
            return LoginRequest(id=0, user=self.login.user, password=self.login.password)
        assert self.register is not None
        return RegisterRequest(id=0, name=self.register.name, password=self.register.password)

    def entered(self, token: str) -> None:
        self.token = token
        self.again = False

    def token_refused(self) -> None:
        self.token = ""
        self.again = True

    def forget(self) -> None:
        """Nobody is there."""
        self.register = None
        self.login = None
        self.token = ""
        self.again = False
