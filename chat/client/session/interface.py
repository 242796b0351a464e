"""What can happen to a client session, what it wants done, and what it tells the person.

Plain data, as in the core. A connection has a number that the session gives when it dials; what
comes of an older connection is ignored, so a session that has hung up need not wait for it.
`ref` is a number of the caller's choosing that comes back with the outcome.
"""

import enum

from msgspec import Struct

from chat.protocol.errors import ErrorCode
from chat.protocol.messages import (
    AddFriendRequest,
    BlockRequest,
    CreateGroupRequest,
    DeleteGroupRequest,
    DoneReply,
    EntriesReply,
    Entry,
    Friend,
    Group,
    GroupCreatedReply,
    HistoryRequest,
    JoinedReply,
    JoinGroupRequest,
    LeaveGroupRequest,
    MembersReply,
    MembersRequest,
    ProfileReply,
    ProfileRequest,
    RemoveFriendRequest,
    SnapshotReply,
    SnapshotRequest,
    UnblockRequest,
    User,
)

Question = (
    ProfileRequest
    | SnapshotRequest
    | MembersRequest
    | HistoryRequest
    | AddFriendRequest
    | RemoveFriendRequest
    | BlockRequest
    | UnblockRequest
    | CreateGroupRequest
    | JoinGroupRequest
    | LeaveGroupRequest
    | DeleteGroupRequest
)
"""The requests a person makes that are neither sends nor ways in or out. Their `id` is given by
the session; whatever stands there is overwritten."""

QuestionReply = (
    ProfileReply
    | SnapshotReply
    | MembersReply
    | EntriesReply
    | DoneReply
    | GroupCreatedReply
    | JoinedReply
)


# --------------------------------------------------------------------------------- events


class Event(Struct, frozen=True, gc=False, tag_field="event"):
    """Base of all events."""


class Connected(Event, frozen=True):
    """The Dial with this number succeeded."""

    connection: int


class BytesReceived(Event, frozen=True):
    connection: int
    data: bytes


class Disconnected(Event, frozen=True):
    """The connection is gone, or could not be had. `reason` is for a person."""

    connection: int
    reason: str = ""


class Tick(Event, frozen=True):
    """It is now_ms; whatever is due is done."""


class LogIn(Event, frozen=True):
    user: int | str
    password: str


class Register(Event, frozen=True):
    name: str
    password: str


class SendChat(Event, frozen=True):
    ref: int
    to: int | str
    text: str


class SendGroupChat(Event, frozen=True):
    ref: int
    group: int
    text: str


class Ask(Event, frozen=True):
    ref: int
    request: Question


class Shown(Event, frozen=True):
    """The person has been shown a conversation up to here."""

    conversation: int
    seq: int


class LogOut(Event, frozen=True):
    """Ends the device. What is not settled yet is given back as failed."""


AnyEvent = (
    Connected
    | BytesReceived
    | Disconnected
    | Tick
    | LogIn
    | Register
    | SendChat
    | SendGroupChat
    | Ask
    | Shown
    | LogOut
)


# -------------------------------------------------------------------------------- effects


class Effect(Struct, frozen=True, gc=False, tag_field="effect"):
    """Base of all effects and notices."""


class Dial(Effect, frozen=True):
    """Connect; Connected or Disconnected comes back."""

    connection: int


class Transmit(Effect, frozen=True):
    """Whole lines, newlines included."""

    connection: int
    data: bytes


class HangUp(Effect, frozen=True):
    """Send what is buffered, then end the connection; nothing needs to come back."""

    connection: int


# -------------------------------------------------------------------------------- notices


class Link(enum.StrEnum):
    """How the connection is."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    """Connected, not logged in."""
    ONLINE = "online"
    """Logged in."""
    WAITING = "waiting"
    """Not connected; it is tried again after `retry_in_ms`."""
    IDLE = "idle"
    """Not connected, and nobody needs it."""


class ConnectionState(Effect, frozen=True):
    state: Link
    reason: str = ""
    retry_in_ms: int = 0


class Registered(Effect, frozen=True):
    user: User


class RegisterFailed(Effect, frozen=True):
    """No code: nobody knows whether it was done."""

    code: ErrorCode | None
    message: str


class LoggedIn(Effect, frozen=True):
    """`backlog`: the head of each conversation that has entries to come. `again`: the person did
    nothing; the connection was lost and is back."""

    user: User
    again: bool
    backlog: dict[int, int]


class LoginFailed(Effect, frozen=True):
    """The person has to log in (again)."""

    code: ErrorCode | None
    message: str


class CaughtUp(Effect, frozen=True):
    """All that was there at the login has been applied."""


class LoggedOut(Effect, frozen=True):
    pass


class EntryApplied(Effect, frozen=True):
    """The next entry of a conversation: each comes once, in order. `backlog`: it was there before
    the login."""

    conversation: int
    entry: Entry
    own: bool
    backlog: bool


class SendSettled(Effect, frozen=True):
    """It is in the log."""

    ref: int
    key: str
    conversation: int
    seq: int


class SendFailed(Effect, frozen=True):
    """It was not stored, and will not be sent again; here is the text back. No code: the session
    ended before an answer came, and if `unknown` it may have been stored."""

    ref: int
    key: str
    text: str
    code: ErrorCode | None
    message: str
    unknown: bool = False


class SendDelayed(Effect, frozen=True):
    """It is kept and sent again by itself after this time."""

    ref: int
    key: str
    code: ErrorCode
    retry_after_ms: int


class RequestDone(Effect, frozen=True):
    ref: int
    request: Question
    reply: QuestionReply


class RequestFailed(Effect, frozen=True):
    """No code: the connection broke before the answer came, and nobody knows whether it was
    done."""

    ref: int
    request: Question
    code: ErrorCode | None
    message: str


class FriendRequested(Effect, frozen=True):
    user: User


class RequestWithdrawn(Effect, frozen=True):
    user: User


class FriendAdded(Effect, frozen=True):
    friend: Friend


class FriendRemoved(Effect, frozen=True):
    friend: Friend


class PresenceChanged(Effect, frozen=True):
    friend: Friend


class GroupAdded(Effect, frozen=True):
    group: Group


class GroupChanged(Effect, frozen=True):
    group: Group


class GroupRemoved(Effect, frozen=True):
    group: Group


class ReadBy(Effect, frozen=True):
    """Somebody (perhaps oneself, elsewhere) has read the conversation up to here."""

    conversation: int
    user: int
    seq: int


Notice = (
    ConnectionState
    | Registered
    | RegisterFailed
    | LoggedIn
    | LoginFailed
    | CaughtUp
    | LoggedOut
    | EntryApplied
    | SendSettled
    | SendFailed
    | SendDelayed
    | RequestDone
    | RequestFailed
    | FriendRequested
    | RequestWithdrawn
    | FriendAdded
    | FriendRemoved
    | PresenceChanged
    | GroupAdded
    | GroupChanged
    | GroupRemoved
    | ReadBy
)
RosterNotice = (
    FriendRequested
    | RequestWithdrawn
    | FriendAdded
    | FriendRemoved
    | PresenceChanged
    | GroupAdded
    | GroupChanged
    | GroupRemoved
)
AnyEffect = Dial | Transmit | HangUp | Notice
