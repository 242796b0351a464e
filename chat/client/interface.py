"""What goes into a client session and what comes out of it. Plain data.

*Links* are attempts at a connection, numbered by the session; what is heard of an old link is
ignored. A `number` is the user interface's own, to know the outcome of what it asked for.
"""

from msgspec import Struct

from chat.core._generated.errors import ErrorCode
from chat.core._generated.messages import Entry, Request, ServerMessage, User


class Event(Struct, frozen=True, gc=False, tag_field="event"):
    """Base of all events."""


class Connected(Event, frozen=True):
    link: int


class BytesReceived(Event, frozen=True):
    link: int
    data: bytes


class Disconnected(Event, frozen=True):
    """The link is gone, or could not be had: `reason` says why in a few words."""

    link: int
    reason: str


class Tick(Event, frozen=True):
    """It is now_ms; due at next_deadline_ms()."""


class LogIn(Event, frozen=True):
    """Be that user's device from now on, through reconnects, until LogOut."""

    user: int | str
    password: str


class Register(Event, frozen=True):
    name: str
    password: str


class LogOut(Event, frozen=True):
    """Ends the device. LoggedOut follows in any case."""


class Say(Event, frozen=True):
    """A text to a friend (`to`) or a group, exactly one of them. It is kept, and sent until it is settled:
    Sent or NotSent follows, however often the link breaks."""

    number: int
    text: str
    to: int | None = None
    group: int | None = None


class Ask(Event, frozen=True):
    """A request (its id is given by the session) that is not a send. Replied, Refused or Unclear
    follows."""

    number: int
    request: Request


class Shown(Event, frozen=True):
    """The person has seen the conversation up to this entry."""

    conversation: int
    seq: int


AnyEvent = (
    Connected | BytesReceived | Disconnected | Tick | LogIn | Register | LogOut | Say | Ask | Shown
)


class Effect(Struct, frozen=True, gc=False, tag_field="effect"):
    """Base of all effects."""


class Dial(Effect, frozen=True):
    """Open a connection; Connected(link) or Disconnected(link) follows."""

    link: int


class Transmit(Effect, frozen=True):
    link: int
    data: bytes


class HangUp(Effect, frozen=True):
    """Close the connection; nothing more of this link is needed."""

    link: int


class LinkLost(Effect, frozen=True):
    """There is no connection; the next attempt is `retry_in_ms` from now."""

    reason: str
    retry_in_ms: int


class LoggedIn(Effect, frozen=True):
    """The session is a device of `user` (again, if `resumed`); its roster is up to date."""

    user: User
    resumed: bool


class LoginRefused(Effect, frozen=True):
    """Nobody is logged in, and the session no longer tries."""

    code: ErrorCode
    message: str


class LoggedOut(Effect, frozen=True):
    pass


class Registered(Effect, frozen=True):
    user: User


class RegisterRefused(Effect, frozen=True):
    code: ErrorCode
    message: str


class Applied(Effect, frozen=True):
    """The next entry of a conversation; each comes once, in order. `own` is one of this device."""

    conversation: int
    entry: Entry
    own: bool


class Sent(Effect, frozen=True):
    number: int
    conversation: int
    seq: int


class NotSent(Effect, frozen=True):
    """It was not stored, and is not tried again."""

    number: int
    text: str
    code: ErrorCode
    message: str


class Waiting(Effect, frozen=True):
    """A send was put off by the node, not refused: it is tried again by itself."""

    number: int
    message: str
    retry_in_ms: int


class Replied(Effect, frozen=True):
    number: int
    reply: ServerMessage


class Refused(Effect, frozen=True):
    number: int
    code: ErrorCode
    message: str


class Unclear(Effect, frozen=True):
    """The link broke before the reply; it may have been done, and may not."""

    number: int


class Heard(Effect, frozen=True):
    """News, already taken into the roster: a friend, a request, a group, presence, a receipt."""

    push: ServerMessage


AnyEffect = (
    Dial
    | Transmit
    | HangUp
    | LinkLost
    | LoggedIn
    | LoginRefused
    | LoggedOut
    | Registered
    | RegisterRefused
    | Applied
    | Sent
    | NotSent
    | Waiting
    | Replied
    | Refused
    | Unclear
    | Heard
)
