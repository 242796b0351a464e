# Generated from spec/messages.yaml by spec/generate.py; do not edit; run `make spec`.
"""The action of a session for each input, the permissions, and the default limits."""

import enum
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from chat.protocol.errors import ErrorCode
from chat.protocol.messages import (
    AddFriendRequest,
    BlockRequest,
    ChatRequest,
    CreateGroupRequest,
    DeleteGroupRequest,
    GroupChatRequest,
    HistoryRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    LoginRequest,
    LogoutRequest,
    MarkReadRequest,
    MembersRequest,
    PingRequest,
    ProfileRequest,
    RegisterRequest,
    RemoveFriendRequest,
    RenameGroupRequest,
    Request,
    ResumeRequest,
    SnapshotRequest,
    UnblockRequest,
)

PROTOCOL: Final = 1


class State(enum.IntEnum):
    """The states of a session."""

    ANONYMOUS = 0
    """Connected and not logged in."""
    AUTHENTICATING = 1
    """A register, login or resume is in progress; later lines wait."""
    READY = 2
    """The connection is a device of a user."""
    CLOSING = 3
    """The connection is being closed; bytes received are dropped."""


class Input(enum.IntEnum):
    """The inputs of a session: requests first."""

    REGISTER = 0
    """Creates an account. It does not log the connection in."""
    LOGIN = 1
    """Authenticates the user by password and makes this connection a device of that user."""
    RESUME = 2
    """Logs a device in by its token after its connection was lost; the backlog starts after the
    given cursors."""
    LOGOUT = 3
    """Ends the device and revokes its token. The connection stays open and may log in again."""
    PROFILE = 4
    """Asks for the profile of the user."""
    SNAPSHOT = 5
    """Asks for the current friends, groups and open friend requests."""
    ADD_FRIEND = 6
    """Sends a friend request, or accepts the request of the other user. Once mutual, both get
    `friend`."""
    REMOVE_FRIEND = 7
    """Ends a friendship: both users get `friend_removed`. Or withdraws or declines a friend
    request: the user who got the request gets `friend_removed`."""
    BLOCK = 8
    """Blocks a user. Until `unblock` neither user can chat to the other or send a friend
    request."""
    UNBLOCK = 9
    """Removes the user's own block of another user."""
    CHAT = 10
    """Sends a text to a friend."""
    CREATE_GROUP = 11
    """Creates a group with the user as owner and only member."""
    JOIN_GROUP = 12
    """Makes the user a member, who sees the entries from the joining on."""
    LEAVE_GROUP = 13
    """Ends the user's membership. When the owner leaves, the longest-standing member becomes owner;
    when the last member leaves, the group is closed."""
    DELETE_GROUP = 14
    """Deletes the group for all its members."""
    RENAME_GROUP = 15
    """Changes the name or the description of a group. If neither differs, no entry is stored."""
    MEMBERS = 16
    """Asks for the members of a group."""
    GROUP_CHAT = 17
    """Sends a text to a group."""
    HISTORY = 18
    """Reads a page of a conversation, oldest entry first: the entries after `after`, the entries
    before `before`, or else the newest. Both fields together are a `bad_message`."""
    MARK_READ = 19
    """Marks a conversation as read up to an entry. The mark never goes back."""
    PING = 20
    """Checks that the connection works; the node answers with `pong`."""
    BYTES = 21
    """Bytes have come on the connection."""
    BAD_FRAME = 22
    """A line is not one JSON object in UTF-8."""
    BAD_MESSAGE = 23
    """A field of a request is missing or wrong."""
    UNKNOWN_TYPE = 24
    """The type is none of the requests."""
    TOO_LONG = 25
    """A line is over the limit."""
    WRONG_PROTOCOL = 26
    """A line begins as HTTP or TLS does."""
    IDENTIFIED = 27
    """The user is authenticated and the roster is read."""
    UNIDENTIFIED = 28
    """The connection is no device: after register, a refused login or resume, or logout."""
    ANSWER = 29
    """The store has answered a request that is under way."""
    ANSWER_UNKNOWN = 30
    """The commit's reply was lost, so it is not known whether the request was carried out."""
    ENTRY = 31
    """The connection is to get the entries of a conversation."""
    NEWS = 32
    """Friends, groups, presence or receipts of the user changed."""
    WRITE_FULL = 33
    """The outbound buffer is over its limit."""
    WRITE_DRAINED = 34
    """The outbound buffer got smaller."""
    LOGIN_TIMEOUT = 35
    """No user logged in for login_ms."""
    LINE_TIMEOUT = 36
    """A started line was not finished for line_ms."""
    SILENCE = 37
    """Nothing was heard for ping_ms."""
    DEAD_TIMEOUT = 38
    """Nothing was heard for dead_ms."""
    REPLY_DELAYED = 39
    """A reply has been under way for a while, and the peer is to hear that the node lives."""
    STALL_TIMEOUT = 40
    """The outbound buffer made no progress for stall_ms."""
    FINISH_TIMEOUT = 41
    """The peer ended its input, and its requests were not answered within finish_ms."""
    NOT_ADMITTED = 42
    """The address or the node has too many connections, and this one is not logged in."""
    REPLACED = 43
    """The user or the device has too many connections, and this one was silent longest."""
    END_OF_INPUT = 44
    """The peer has shut its side of the connection down; its requests are still answered."""
    DRAIN = 45
    """The node is about to stop."""
    FINISHED = 46
    """No further request will be taken, after drain or end_of_input, and none is under way."""
    CONNECTION_LOST = 47
    """The connection is gone."""


class Verdict(enum.IntEnum):
    """The action for an input."""

    ACCEPT = 0
    """Handled."""
    ERROR = 1
    """Answered with an error."""
    HOLD = 2
    """Kept unread until the state changes."""
    IGNORE = 3
    """Dropped."""
    CLOSE = 4
    """Closed, with an error first if there is a code."""
    NEVER = 5
    """Cannot occur; if it does, the program has a bug."""


class Rule(NamedTuple):
    """One cell of the table."""

    verdict: Verdict
    next: State | None
    """The state after it; None where the state stays."""
    code: ErrorCode | None
    """The error sent to the peer, if any."""


_ACCEPT: Final = Rule(Verdict.ACCEPT, None, None)
_ACCEPT_TO_ANONYMOUS: Final = Rule(Verdict.ACCEPT, State.ANONYMOUS, None)
_ACCEPT_TO_AUTHENTICATING: Final = Rule(Verdict.ACCEPT, State.AUTHENTICATING, None)
_ACCEPT_TO_CLOSING: Final = Rule(Verdict.ACCEPT, State.CLOSING, None)
_ACCEPT_TO_READY: Final = Rule(Verdict.ACCEPT, State.READY, None)
_CLOSE: Final = Rule(Verdict.CLOSE, State.CLOSING, None)
_CLOSE_BUSY: Final = Rule(Verdict.CLOSE, State.CLOSING, ErrorCode.BUSY)
_CLOSE_REPLACED: Final = Rule(Verdict.CLOSE, State.CLOSING, ErrorCode.REPLACED)
_CLOSE_TOO_LONG: Final = Rule(Verdict.CLOSE, State.CLOSING, ErrorCode.TOO_LONG)
_CLOSE_TOO_SLOW: Final = Rule(Verdict.CLOSE, State.CLOSING, ErrorCode.TOO_SLOW)
_CLOSE_WRONG_PROTOCOL: Final = Rule(Verdict.CLOSE, State.CLOSING, ErrorCode.WRONG_PROTOCOL)
_ERROR_ALREADY_LOGGED_IN: Final = Rule(Verdict.ERROR, None, ErrorCode.ALREADY_LOGGED_IN)
_ERROR_BAD_FRAME: Final = Rule(Verdict.ERROR, None, ErrorCode.BAD_FRAME)
_ERROR_BAD_MESSAGE: Final = Rule(Verdict.ERROR, None, ErrorCode.BAD_MESSAGE)
_ERROR_NOT_LOGGED_IN: Final = Rule(Verdict.ERROR, None, ErrorCode.NOT_LOGGED_IN)
_ERROR_UNKNOWN_TYPE: Final = Rule(Verdict.ERROR, None, ErrorCode.UNKNOWN_TYPE)
_HOLD: Final = Rule(Verdict.HOLD, None, None)
_IGNORE: Final = Rule(Verdict.IGNORE, None, None)
_NEVER: Final = Rule(Verdict.NEVER, None, None)

_CELLS: Final = (
    # ANONYMOUS, AUTHENTICATING, READY, CLOSING
    (_ACCEPT_TO_AUTHENTICATING, _HOLD, _ERROR_ALREADY_LOGGED_IN, _IGNORE),  # REGISTER
    (_ACCEPT_TO_AUTHENTICATING, _HOLD, _ERROR_ALREADY_LOGGED_IN, _IGNORE),  # LOGIN
    (_ACCEPT_TO_AUTHENTICATING, _HOLD, _ERROR_ALREADY_LOGGED_IN, _IGNORE),  # RESUME
    (_ERROR_NOT_LOGGED_IN, _HOLD, _ACCEPT, _IGNORE),  # LOGOUT
    (_ERROR_NOT_LOGGED_IN, _HOLD, _ACCEPT, _IGNORE),  # PROFILE
    (_ERROR_NOT_LOGGED_IN, _HOLD, _ACCEPT, _IGNORE),  # SNAPSHOT
    (_ERROR_NOT_LOGGED_IN, _HOLD, _ACCEPT, _IGNORE),  # ADD_FRIEND
    (_ERROR_NOT_LOGGED_IN, _HOLD, _ACCEPT, _IGNORE),  # REMOVE_FRIEND
    (_ERROR_NOT_LOGGED_IN, _HOLD, _ACCEPT, _IGNORE),  # BLOCK
    (_ERROR_NOT_LOGGED_IN, _HOLD, _ACCEPT, _IGNORE),  # UNBLOCK
    (_ERROR_NOT_LOGGED_IN, _HOLD, _ACCEPT, _IGNORE),  # CHAT
    (_ERROR_NOT_LOGGED_IN, _HOLD, _ACCEPT, _IGNORE),  # CREATE_GROUP
    (_ERROR_NOT_LOGGED_IN, _HOLD, _ACCEPT, _IGNORE),  # JOIN_GROUP
    (_ERROR_NOT_LOGGED_IN, _HOLD, _ACCEPT, _IGNORE),  # LEAVE_GROUP
    (_ERROR_NOT_LOGGED_IN, _HOLD, _ACCEPT, _IGNORE),  # DELETE_GROUP
    (_ERROR_NOT_LOGGED_IN, _HOLD, _ACCEPT, _IGNORE),  # RENAME_GROUP
    (_ERROR_NOT_LOGGED_IN, _HOLD, _ACCEPT, _IGNORE),  # MEMBERS
    (_ERROR_NOT_LOGGED_IN, _HOLD, _ACCEPT, _IGNORE),  # GROUP_CHAT
    (_ERROR_NOT_LOGGED_IN, _HOLD, _ACCEPT, _IGNORE),  # HISTORY
    (_ERROR_NOT_LOGGED_IN, _HOLD, _ACCEPT, _IGNORE),  # MARK_READ
    (_ACCEPT, _HOLD, _ACCEPT, _IGNORE),  # PING
    (_ACCEPT, _ACCEPT, _ACCEPT, _IGNORE),  # BYTES
    (_ERROR_BAD_FRAME, _HOLD, _ERROR_BAD_FRAME, _IGNORE),  # BAD_FRAME
    (_ERROR_BAD_MESSAGE, _HOLD, _ERROR_BAD_MESSAGE, _IGNORE),  # BAD_MESSAGE
    (_ERROR_UNKNOWN_TYPE, _HOLD, _ERROR_UNKNOWN_TYPE, _IGNORE),  # UNKNOWN_TYPE
    (_CLOSE_TOO_LONG, _HOLD, _CLOSE_TOO_LONG, _IGNORE),  # TOO_LONG
    (_CLOSE_WRONG_PROTOCOL, _HOLD, _CLOSE_WRONG_PROTOCOL, _IGNORE),  # WRONG_PROTOCOL
    (_NEVER, _ACCEPT_TO_READY, _NEVER, _NEVER),  # IDENTIFIED
    (_NEVER, _ACCEPT_TO_ANONYMOUS, _ACCEPT_TO_ANONYMOUS, _NEVER),  # UNIDENTIFIED
    (_NEVER, _ACCEPT, _ACCEPT, _IGNORE),  # ANSWER
    (_NEVER, _CLOSE, _CLOSE, _NEVER),  # ANSWER_UNKNOWN
    (_NEVER, _NEVER, _ACCEPT, _NEVER),  # ENTRY
    (_NEVER, _NEVER, _ACCEPT, _NEVER),  # NEWS
    (_ACCEPT, _ACCEPT, _ACCEPT, _IGNORE),  # WRITE_FULL
    (_ACCEPT, _ACCEPT, _ACCEPT, _IGNORE),  # WRITE_DRAINED
    (_CLOSE_TOO_SLOW, _NEVER, _NEVER, _NEVER),  # LOGIN_TIMEOUT
    (_CLOSE_TOO_SLOW, _NEVER, _CLOSE_TOO_SLOW, _NEVER),  # LINE_TIMEOUT
    (_NEVER, _NEVER, _ACCEPT, _NEVER),  # SILENCE
    (_NEVER, _NEVER, _CLOSE, _NEVER),  # DEAD_TIMEOUT
    (_NEVER, _NEVER, _ACCEPT, _NEVER),  # REPLY_DELAYED
    (_CLOSE, _CLOSE, _CLOSE, _NEVER),  # STALL_TIMEOUT
    (_CLOSE, _CLOSE, _CLOSE, _NEVER),  # FINISH_TIMEOUT
    (_CLOSE_BUSY, _CLOSE_BUSY, _NEVER, _NEVER),  # NOT_ADMITTED
    (_NEVER, _NEVER, _CLOSE_REPLACED, _NEVER),  # REPLACED
    (_ACCEPT, _ACCEPT, _ACCEPT, _IGNORE),  # END_OF_INPUT
    (_ACCEPT, _ACCEPT, _ACCEPT, _IGNORE),  # DRAIN
    (_CLOSE, _NEVER, _CLOSE, _NEVER),  # FINISHED
    (_ACCEPT_TO_CLOSING, _ACCEPT_TO_CLOSING, _ACCEPT_TO_CLOSING, _ACCEPT),  # CONNECTION_LOST
)

RULES: Final[list[Sequence[Rule]]] = list(zip(*_CELLS, strict=True))
"""Indexed by State, then by Input. Every decision of a session is a look-up here, so a simulation
that puts rows in place that count sees all of them."""

REQUEST_INPUT: Final[dict[type[Request], Input]] = {
    RegisterRequest: Input.REGISTER,
    LoginRequest: Input.LOGIN,
    ResumeRequest: Input.RESUME,
    LogoutRequest: Input.LOGOUT,
    ProfileRequest: Input.PROFILE,
    SnapshotRequest: Input.SNAPSHOT,
    AddFriendRequest: Input.ADD_FRIEND,
    RemoveFriendRequest: Input.REMOVE_FRIEND,
    BlockRequest: Input.BLOCK,
    UnblockRequest: Input.UNBLOCK,
    ChatRequest: Input.CHAT,
    CreateGroupRequest: Input.CREATE_GROUP,
    JoinGroupRequest: Input.JOIN_GROUP,
    LeaveGroupRequest: Input.LEAVE_GROUP,
    DeleteGroupRequest: Input.DELETE_GROUP,
    RenameGroupRequest: Input.RENAME_GROUP,
    MembersRequest: Input.MEMBERS,
    GroupChatRequest: Input.GROUP_CHAT,
    HistoryRequest: Input.HISTORY,
    MarkReadRequest: Input.MARK_READ,
    PingRequest: Input.PING,
}
"""The input that a request is."""

COST: Final[dict[type[Request], int]] = {
    LoginRequest: 10,
    ResumeRequest: 10,
    LogoutRequest: 5,
    ProfileRequest: 2,
    SnapshotRequest: 5,
    AddFriendRequest: 10,
    RemoveFriendRequest: 10,
    BlockRequest: 5,
    UnblockRequest: 5,
    CreateGroupRequest: 20,
    JoinGroupRequest: 20,
    LeaveGroupRequest: 20,
    DeleteGroupRequest: 20,
    RenameGroupRequest: 20,
    MembersRequest: 5,
    HistoryRequest: 2,
    MarkReadRequest: 1,
}
"""What a request takes from its user's budget; those left out take nothing."""


class GroupRole(enum.IntEnum):
    """A user and a group."""

    OWNER = 0
    """Created the group, or became owner when the last one left."""
    MEMBER = 1
    """Joined the group."""
    OUTSIDER = 2
    """Is not a member."""


class GroupAction(enum.IntEnum):
    """What may be asked for."""

    JOIN_GROUP = 0
    """The request `join_group`."""
    GROUP_CHAT = 1
    """The request `group_chat`."""
    MEMBERS = 2
    """The request `members`."""
    HISTORY = 3
    """The request `history`."""
    MARK_READ = 4
    """The request `mark_read`."""
    LEAVE_GROUP = 5
    """The request `leave_group`."""
    DELETE_GROUP = 6
    """The request `delete_group`."""
    RENAME_GROUP = 7
    """The request `rename_group`."""


GROUP_ACCESS: Final[tuple[tuple[ErrorCode | None, ...], ...]] = (
    (  # OWNER
        ErrorCode.ALREADY_MEMBER,  # JOIN_GROUP
        None,  # GROUP_CHAT
        None,  # MEMBERS
        None,  # HISTORY
        None,  # MARK_READ
        None,  # LEAVE_GROUP
        None,  # DELETE_GROUP
        None,  # RENAME_GROUP
    ),
    (  # MEMBER
        ErrorCode.ALREADY_MEMBER,  # JOIN_GROUP
        None,  # GROUP_CHAT
        None,  # MEMBERS
        None,  # HISTORY
        None,  # MARK_READ
        None,  # LEAVE_GROUP
        ErrorCode.FORBIDDEN,  # DELETE_GROUP
        ErrorCode.FORBIDDEN,  # RENAME_GROUP
    ),
    (  # OUTSIDER
        None,  # JOIN_GROUP
        ErrorCode.NOT_MEMBER,  # GROUP_CHAT
        ErrorCode.NOT_MEMBER,  # MEMBERS
        ErrorCode.NOT_MEMBER,  # HISTORY
        ErrorCode.NOT_MEMBER,  # MARK_READ
        ErrorCode.NOT_MEMBER,  # LEAVE_GROUP
        ErrorCode.NOT_MEMBER,  # DELETE_GROUP
        ErrorCode.NOT_MEMBER,  # RENAME_GROUP
    ),
)
"""The refusal, or None. Indexed by GroupRole, then by GroupAction."""


class DirectRole(enum.IntEnum):
    """A user and another user."""

    FRIEND = 0
    """Each has added the other."""
    BLOCKED_FRIEND = 1
    """Friends, but one of them blocks the other."""
    BLOCKED = 2
    """Not friends, and one of them blocks the other."""
    ASKED = 3
    """Not friends, but one of them has sent a friend request."""
    UNRELATED = 4
    """None of the above."""
    SELF = 5
    """The same user."""


class DirectAction(enum.IntEnum):
    """What may be asked for."""

    CHAT = 0
    """The request `chat`."""
    ADD_FRIEND = 1
    """The request `add_friend`."""
    REMOVE_FRIEND = 2
    """The request `remove_friend`."""
    BLOCK = 3
    """The request `block`."""
    UNBLOCK = 4
    """The request `unblock`."""
    HISTORY = 5
    """The request `history`."""
    MARK_READ = 6
    """The request `mark_read`."""


DIRECT_ACCESS: Final[tuple[tuple[ErrorCode | None, ...], ...]] = (
    (  # FRIEND
        None,  # CHAT
        None,  # ADD_FRIEND
        None,  # REMOVE_FRIEND
        None,  # BLOCK
        None,  # UNBLOCK
        None,  # HISTORY
        None,  # MARK_READ
    ),
    (  # BLOCKED_FRIEND
        ErrorCode.BLOCKED,  # CHAT
        ErrorCode.BLOCKED,  # ADD_FRIEND
        None,  # REMOVE_FRIEND
        None,  # BLOCK
        None,  # UNBLOCK
        None,  # HISTORY
        None,  # MARK_READ
    ),
    (  # BLOCKED
        ErrorCode.BLOCKED,  # CHAT
        ErrorCode.BLOCKED,  # ADD_FRIEND
        ErrorCode.NOT_FRIENDS,  # REMOVE_FRIEND
        None,  # BLOCK
        None,  # UNBLOCK
        ErrorCode.NOT_MEMBER,  # HISTORY
        ErrorCode.NOT_MEMBER,  # MARK_READ
    ),
    (  # ASKED
        ErrorCode.NOT_FRIENDS,  # CHAT
        None,  # ADD_FRIEND
        None,  # REMOVE_FRIEND
        None,  # BLOCK
        None,  # UNBLOCK
        ErrorCode.NOT_MEMBER,  # HISTORY
        ErrorCode.NOT_MEMBER,  # MARK_READ
    ),
    (  # UNRELATED
        ErrorCode.NOT_FRIENDS,  # CHAT
        None,  # ADD_FRIEND
        ErrorCode.NOT_FRIENDS,  # REMOVE_FRIEND
        None,  # BLOCK
        None,  # UNBLOCK
        ErrorCode.NOT_MEMBER,  # HISTORY
        ErrorCode.NOT_MEMBER,  # MARK_READ
    ),
    (  # SELF
        ErrorCode.FORBIDDEN,  # CHAT
        ErrorCode.FORBIDDEN,  # ADD_FRIEND
        ErrorCode.FORBIDDEN,  # REMOVE_FRIEND
        ErrorCode.FORBIDDEN,  # BLOCK
        ErrorCode.FORBIDDEN,  # UNBLOCK
        ErrorCode.NOT_MEMBER,  # HISTORY
        ErrorCode.NOT_MEMBER,  # MARK_READ
    ),
)
"""The refusal, or None. Indexed by DirectRole, then by DirectAction."""


class DefaultLimits(NamedTuple):
    """The limits of the spec."""

    login_line_bytes: int = 4096
    """Longest line before login, newline not counted."""
    line_bytes: int = 65536
    """Longest line after login, newline not counted."""
    nesting: int = 16
    """Deepest nesting of objects and arrays in one line."""
    in_flight: int = 64
    """Sends of one connection that may be unanswered at once; further ones are read later."""
    page_entries: int = 200
    """Most entries in one `entries` reply."""
    sends_per_second: int = 20
    """Sends a user may make each second on average."""
    send_burst: int = 40
    """Sends a user may make at once after a pause."""
    cost_per_second: int = 20
    """What a user's other requests may cost each second on average; each request has its `cost`."""
    cost_burst: int = 400
    """What a user's other requests may cost at once after a pause."""
    rows_per_cost: int = 20
    """Entries, members, friends or groups in a reply that cost 1 more. Each 200 code points of an
    entry's text count as an entry more."""
    lines_per_second: int = 100
    """Lines that are read from a connection each second on average. Each KiB counts as a line more.
    An error for the form of a line, the state of the connection, a wrong secret or a budget counts
    as twenty. What comes faster is read later."""
    line_burst: int = 400
    """Lines that are read from a connection at once after a pause."""
    registrations_per_minute: int = 60
    """Accounts that may be registered from one address each minute. An address is one of IPv4, or
    the first 64 bits of one of IPv6."""
    registration_burst: int = 10
    """Accounts that may be registered from one address at once after a pause."""
    failed_logins_per_minute: int = 5
    """Logins of one account from one address that may fail each minute."""
    failed_resumes_per_minute: int = 60
    """Resumes from one address with a wrong token each minute."""
    logins_per_second: int = 20
    """Passwords from one address that are checked each second on average. What comes faster is
    answered later."""
    login_burst: int = 100
    """Passwords from one address that are checked at once after a pause."""
    connections_per_address: int = 20000
    """Connections of one address; never more than three in four of what the node can have."""
    unauthenticated_per_address: int = 20
    """Connections of one address that are not logged in."""
    connections_per_user: int = 50
    """Connections of one user to one node, never more than one in four of what the node can have.
    One more takes the place of the one that was silent longest."""
    connections_per_device: int = 8
    """Connections with one token to one node. One more takes the place of the one that was silent
    longest."""
    open_requests_made: int = 100
    """Friend requests of a user that may be unanswered at once."""
    open_requests_received: int = 200
    """Friend requests to a user that may be unanswered at once."""
    groups_owned: int = 100
    """Groups that a user who creates one may own, the new one included; a user who inherits a group
    may own more."""
    groups_joined: int = 500
    """Groups that a user may be a member of, those owned included."""
    login_ms: int = 10000
    """Time from connecting to a login or register request."""
    line_ms: int = 10000
    """Time from the first byte of a line to its newline."""
    ping_ms: int = 20000
    """Silence of the peer after which it is sent `ping`."""
    dead_ms: int = 45000
    """Silence of the peer after which the connection is closed."""
    reply_ping_ms: int = 1000
    """A peer that is logged in and waits for a reply gets it, or `ping`, within this time, and
    again each time."""
    finish_ms: int = 5000
    """Time in which a peer that has ended its input gets its last replies."""
    stall_ms: int = 60000
    """Time that a full outbound buffer may make no progress."""


LIMITS: Final = DefaultLimits()

BYTE_LIMITS: Final[dict[type[Request], tuple[tuple[str, int, int], ...]]] = {
    RegisterRequest: (("password", 8, 128),),
    LoginRequest: (("password", 8, 128),),
}
"""Fields whose length in UTF-8 is limited: attribute, fewest and most bytes."""

PATTERNS: Final[dict[type[Request], tuple[tuple[str, re.Pattern[str]], ...]]] = {
    ChatRequest: (
        ("text", re.compile(r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]+\Z")),
        ("key", re.compile(r"^[!-~]+\Z")),
    ),
    GroupChatRequest: (
        ("text", re.compile(r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]+\Z")),
        ("key", re.compile(r"^[!-~]+\Z")),
    ),
}
"""Fields whose pattern is looked at after decoding: attribute and pattern."""
