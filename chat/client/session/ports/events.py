"""What can happen to a client session: news of its connection, and what the user wants.

Plain data. `connection` is the number that the session gave in its Dial; an event of an older
connection is ignored, so a driver need not hold back what comes after a HangUp. `ref` is a number
of the caller's choosing that comes back with the outcome. Times are not in the events; they come
beside them, as `now_ms`.
"""

from msgspec import Struct

from chat.client.session.ports.requests import QueuedRequest


class Event(Struct, frozen=True, gc=False, tag_field="event"):
    """Base of all events."""


# ------------------------------------------------------------------------- from the driver


class Connected(Event, frozen=True):
    """The Dial with this number succeeded."""

    connection: int


class BytesReceived(Event, frozen=True):
    connection: int
    data: bytes


class Disconnected(Event, frozen=True):
    """The connection ended, or the Dial failed. `reason` is for the user, in a few words."""

    connection: int
    reason: str = ""


class Tick(Event, frozen=True):
    """It is now_ms; what is due is done. The driver sends it at next_deadline_ms()."""


# --------------------------------------------------------------------------- from the user


class LogIn(Event, frozen=True):
    """LoggedIn or LoginFailed comes back. Until LogOut the session keeps the user logged in, and
    connects again after every loss."""

    user: int | str
    password: str


class Register(Event, frozen=True):
    """Registered or RegisterFailed comes back. The user is not logged in by it."""

    name: str
    password: str


class SendChat(Event, frozen=True):
    """SendSettled or SendFailed comes back. `to` is a user's number or name."""

    ref: int
    to: int | str
    text: str


class SendGroupChat(Event, frozen=True):
    """SendSettled or SendFailed comes back."""

    ref: int
    group: int
    text: str


class SubmitRequest(Event, frozen=True):
    """RequestDone or RequestFailed comes back."""

    ref: int
    request: QueuedRequest


class MarkRead(Event, frozen=True):
    """The user has seen the conversation up to this seq."""

    conversation: int
    seq: int


class LogOut(Event, frozen=True):
    """Ends the device; LoggedOut comes back. Sends and requests that are not settled by then
    fail."""


AnyEvent = (
    Connected
    | BytesReceived
    | Disconnected
    | Tick
    | LogIn
    | Register
    | SendChat
    | SendGroupChat
    | SubmitRequest
    | MarkRead
    | LogOut
)
