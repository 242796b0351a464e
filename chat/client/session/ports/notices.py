"""What a client session tells the user interface. Plain data, part of the session's effects.

`ref` is the number that came with the event (SendChat, SendGroupChat, SubmitRequest). Messages are
sentences for the user.
"""

import enum

from msgspec import Struct

from chat.client.session.ports.requests import QueuedReply, QueuedRequest
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import Entry, Friend, Group, User


class Notice(Struct, frozen=True, gc=False, tag_field="effect"):
    """Base of all notices."""


# ----------------------------------------------------------------- connection and login


class ConnectionStatus(enum.StrEnum):
    """What the user is told of the connection; the session's own phases are finer."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    """Connected, not logged in."""
    ONLINE = "online"
    """Logged in."""
    WAITING = "waiting"
    """Not connected; the next Dial follows in `retry_in_ms`."""
    IDLE = "idle"
    """Not connected, and no connection is needed."""


class ConnectionChanged(Notice, frozen=True):
    """`reason`: why there is no connection, for WAITING and IDLE."""

    status: ConnectionStatus
    reason: str = ""
    retry_in_ms: int = 0


class Registered(Notice, frozen=True):
    user: User


class RegisterFailed(Notice, frozen=True):
    """Without a `code` it is not known whether the account was made, or the node speaks another
    version of the protocol."""

    code: ErrorCode | None
    message: str


class LoggedIn(Notice, frozen=True):
    """`reconnected`: the user was logged in already; the connection was lost and is back.
    `backlog`: the head of each conversation that has entries to come, by conversation."""

    user: User
    reconnected: bool
    backlog: dict[int, int]


class LoginFailed(Notice, frozen=True):
    """The user is not logged in, or not any more. Without a `code` the node speaks another version
    of the protocol."""

    code: ErrorCode | None
    message: str


class CaughtUp(Notice, frozen=True):
    """The backlog of the last LoggedIn has been applied."""


class LoggedOut(Notice, frozen=True):
    """The answer to LogOut; the session may be used again."""


# ----------------------------------------------------------------- entries and requests


class EntryApplied(Notice, frozen=True):
    """The next entry of a conversation: each comes once, in order, without a gap. `own`: this user
    is its author, on this device or another. `backlog`: it was stored before the login."""

    conversation: int
    entry: Entry
    own: bool
    backlog: bool


class SendSettled(Notice, frozen=True):
    """The text is in the log, as this entry."""

    ref: int
    key: str
    conversation: int
    seq: int


class SendFailed(Notice, frozen=True):
    """The text was not stored and will not be sent again. Without a `code` the user logged out
    before the answer came; if then `unknown` is set, the text may have been stored. `key` is empty
    if the text was never accepted for sending."""

    ref: int
    key: str
    text: str
    code: ErrorCode | None
    message: str
    unknown: bool = False


class SendDelayed(Notice, frozen=True):
    """The node refused the text for now; the session sends it again by itself in
    `retry_after_ms`."""

    ref: int
    key: str
    code: ErrorCode
    retry_after_ms: int


class RequestDone(Notice, frozen=True):
    ref: int
    request: QueuedRequest
    reply: QueuedReply


class RequestFailed(Notice, frozen=True):
    """Without a `code` the connection broke, or the user logged out, before the answer came, and it
    is not known whether the request was carried out."""

    ref: int
    request: QueuedRequest
    code: ErrorCode | None
    message: str


# ---------------------------------------------------------------------------- the roster


class FriendRequested(Notice, frozen=True):
    """This user asks to be a friend."""

    user: User


class RequestWithdrawn(Notice, frozen=True):
    """The friend request of this user is gone: withdrawn, or refused on another device."""

    user: User


class FriendAdded(Notice, frozen=True):
    friend: Friend


class FriendRemoved(Notice, frozen=True):
    friend: Friend


class PresenceChanged(Notice, frozen=True):
    friend: Friend


class GroupAdded(Notice, frozen=True):
    group: Group


class GroupChanged(Notice, frozen=True):
    group: Group


class GroupRemoved(Notice, frozen=True):
    group: Group


class ReadBy(Notice, frozen=True):
    """A member, perhaps this user on another device, has read the conversation up to `seq`."""

    conversation: int
    user: int
    seq: int


AnyNotice = (
    ConnectionChanged
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
