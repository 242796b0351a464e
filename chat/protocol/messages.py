# Generated from spec/messages.yaml by spec/generate.py; do not edit; run `make spec`.
"""The messages of the cluster chat protocol, version 1."""

import enum
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta, Struct

from chat.protocol.errors import ErrorCode

RequestId: TypeAlias = Annotated[int, Meta(ge=0, le=9007199254740992)]
"""A number chosen by the client; the reply repeats it."""

UserId: TypeAlias = Annotated[int, Meta(ge=1, le=9007199254740992)]
"""A user's number."""

ConversationId: TypeAlias = Annotated[int, Meta(ge=1, le=9007199254740992)]
"""A conversation's number. A group's id is its conversation's id."""

Seq: TypeAlias = Annotated[int, Meta(ge=1, le=9007199254740992)]
"""An entry's place in its conversation: 1, 2, 3 … without gaps."""

Cursor: TypeAlias = Annotated[int, Meta(ge=0, le=9007199254740992)]
"""The last seq that was applied; 0 before the first."""

Count: TypeAlias = Annotated[int, Meta(ge=0, le=9007199254740992)]
"""A number of things."""

TimeMs: TypeAlias = Annotated[int, Meta(ge=0, le=9007199254740992)]
"""Milliseconds since 1970-01-01 UTC."""

DurationMs: TypeAlias = Annotated[int, Meta(ge=0, le=9007199254740992)]
"""A span of time in milliseconds."""

PageLimit: TypeAlias = Annotated[int, Meta(ge=1, le=200)]
"""The largest number of entries wanted."""

UserName: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=32, pattern=r"^(?![0-9]+\Z)[A-Za-z0-9_.-]+\Z")
]
"""1–32 letters, digits, `_`, `-`, `.`; not digits alone, which would read as a number. Names that
differ only in case are the same name."""

UserRef: TypeAlias = UserId | UserName
"""A user by number (a JSON number) or by name (a JSON string)."""

Password: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128)]
"""8–128 bytes of UTF-8."""

Token: TypeAlias = Annotated[str, Meta(min_length=64, max_length=64, pattern=r"^[0-9a-f]{64}\Z")]
"""A device's secret, 256 random bits in hexadecimal. It replaces the password until `logout`."""

Key: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[!-~]+\Z")]
"""The sender's unique name for one send, printable ASCII. A repeated key repeats the same send."""

KeyShape: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
"""Key before its pattern is looked at: rules.PATTERNS."""

Text: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=4000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]+\Z")
]
"""1–4,000 code points; no control characters but newline and tab."""

TextShape: TypeAlias = Annotated[str, Meta(min_length=1, max_length=4000)]
"""Text before its pattern is looked at: rules.PATTERNS."""

EntryText: TypeAlias = Annotated[str, Meta(min_length=0, max_length=4000)]
"""The text of an entry; empty for all kinds but `text` and `renamed`."""

GroupName: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f-\x9f]+\Z")
]
"""1–64 code points without control characters."""

Description: TypeAlias = Annotated[
    str, Meta(min_length=0, max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")
]
"""At most 256 code points without control characters."""

NodeName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
"""The name of the node."""

Sentence: TypeAlias = Annotated[str, Meta(min_length=1, max_length=400)]
"""One sentence for the user on what to do."""


class PresenceState(enum.StrEnum):
    """Whether a user is connected."""

    ONLINE = "online"
    """A node has the user connected."""
    OFFLINE = "offline"
    """No live node has the user connected."""


class Role(enum.StrEnum):
    """The role of a member in a group."""

    OWNER = "owner"
    """May rename and delete the group."""
    MEMBER = "member"
    """May read and write."""


class EntryKind(enum.StrEnum):
    """The kind of event that an entry records."""

    TEXT = "text"
    """The user in `from` sent a text."""
    JOINED = "joined"
    """The user in `from` became a member with this entry."""
    LEFT = "left"
    """The user in `from` was a member up to this entry."""
    PROMOTED = "promoted"
    """The user in `from` became the owner."""
    RENAMED = "renamed"
    """The owner in `from` renamed the group; `text` is the new name."""
    DELETED = "deleted"
    """The owner in `from` deleted the group; this is the last entry."""


class User(Struct, frozen=True, kw_only=True, gc=False):
    """A user, as other users see it."""

    id: UserId
    name: UserName


class Friend(Struct, frozen=True, kw_only=True, gc=False):
    """A friend and the conversation with that friend."""

    id: UserId
    name: UserName
    state: PresenceState
    """As far as the node knows."""
    conversation: ConversationId
    seq: Cursor
    """The head of the conversation; 0 when it is empty."""
    read: Cursor
    """The user has read up to here."""


class Group(Struct, frozen=True, kw_only=True, gc=False):
    """A group that the user is a member of."""

    id: ConversationId
    name: GroupName
    description: Description
    role: Role
    seq: Cursor
    """The head of the conversation."""
    read: Cursor
    """The user has read up to here."""
    since: Seq
    """The first entry that this member may see."""


class Member(Struct, frozen=True, kw_only=True, gc=False):
    """A member of a group."""

    id: UserId
    name: UserName
    role: Role
    state: PresenceState


class Entry(
    Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, rename={"from_": "from"}
):
    """One entry of a conversation."""

    seq: Seq
    kind: EntryKind
    from_: User
    text: EntryText
    at: TimeMs
    """When it was stored."""
    key: Key | None = None
    """Only in the sender's own entries that carried a key."""


class Limits(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The limits of this node, by their names in this file."""

    login_line_bytes: Count
    line_bytes: Count
    in_flight: Count
    sends_per_second: Count
    send_burst: Count
    cost_per_second: Count | None = None
    cost_burst: Count | None = None
    lines_per_second: Count | None = None
    line_burst: Count | None = None
    ping_ms: DurationMs
    dead_ms: DurationMs
    reply_ping_ms: DurationMs | None = None
    """A node that leaves it out does not send such a `ping`."""


class RegisterRequest(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="register"
):
    """Creates an account. It does not log the connection in. -> registered"""

    id: RequestId
    name: UserName
    password: Password


class LoginRequest(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="login"):
    """Authenticates the user by password and makes this connection a device of that user. ->
    logged_in"""

    id: RequestId
    user: UserRef
    password: Password


class ResumeRequest(Struct, frozen=True, kw_only=True, tag_field="type", tag="resume"):
    """Logs a device in by its token after its connection was lost; the backlog starts after the
    given cursors. -> logged_in"""

    id: RequestId
    token: Token
    cursors: dict[ConversationId, Cursor] = msgspec.field(default_factory=dict)
    """The last seq applied, by conversation; a conversation not named here starts at the last entry
    read."""


class LogoutRequest(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="logout"):
    """Ends the device and revokes its token. The connection stays open and may log in again. ->
    done"""

    id: RequestId


class ProfileRequest(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="profile"):
    """Asks for the profile of the user. -> profile"""

    id: RequestId


class SnapshotRequest(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="snapshot"
):
    """Asks for the current friends, groups and open friend requests. -> snapshot"""

    id: RequestId


class AddFriendRequest(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="add_friend"
):
    """Sends a friend request, or accepts the request of the other user. Once mutual, both get
    `friend`. -> done"""

    id: RequestId
    user: UserRef


class RemoveFriendRequest(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="remove_friend"
):
    """Ends a friendship: both users get `friend_removed`. Or withdraws or declines a friend
    request: the user who got the request gets `friend_removed`. -> done"""

    id: RequestId
    user: UserRef


class BlockRequest(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="block"):
    """Blocks a user. Until `unblock` neither user can chat to the other or send a friend request.
    -> done"""

    id: RequestId
    user: UserRef


class UnblockRequest(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="unblock"):
    """Removes the user's own block of another user. -> done"""

    id: RequestId
    user: UserRef


class ChatRequest(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="chat"):
    """Sends a text to a friend. -> sent"""

    id: RequestId
    to: UserRef
    text: TextShape
    key: KeyShape


class CreateGroupRequest(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="create_group"
):
    """Creates a group with the user as owner and only member. -> group_created"""

    id: RequestId
    name: GroupName
    description: Description = ""


class JoinGroupRequest(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="join_group"
):
    """Makes the user a member, who sees the entries from the joining on. -> joined"""

    id: RequestId
    group: ConversationId


class LeaveGroupRequest(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="leave_group"
):
    """Ends the user's membership. When the owner leaves, the longest-standing member becomes owner;
    when the last member leaves, the group is closed. -> done"""

    id: RequestId
    group: ConversationId


class DeleteGroupRequest(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="delete_group"
):
    """Deletes the group for all its members. -> done"""

    id: RequestId
    group: ConversationId


class RenameGroupRequest(
    Struct,
    frozen=True,
    kw_only=True,
    gc=False,
    omit_defaults=True,
    tag_field="type",
    tag="rename_group",
):
    """Changes the name or the description of a group. If neither differs, no entry is stored. ->
    done"""

    id: RequestId
    group: ConversationId
    name: GroupName
    description: Description | None = None
    """If it is left out, the description stays."""


class MembersRequest(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="members"):
    """Asks for the members of a group. -> members"""

    id: RequestId
    group: ConversationId


class GroupChatRequest(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="group_chat"
):
    """Sends a text to a group. -> sent"""

    id: RequestId
    group: ConversationId
    text: TextShape
    key: KeyShape


class HistoryRequest(
    Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag_field="type", tag="history"
):
    """Reads a page of a conversation, oldest entry first: the entries after `after`, the entries
    before `before`, or else the newest. Both fields together are a `bad_message`. -> entries"""

    id: RequestId
    conversation: ConversationId
    before: Seq | None = None
    """Entries with a lower seq; not together with `after`."""
    after: Cursor | None = None
    """Entries with a higher seq."""
    limit: PageLimit = 50


class MarkReadRequest(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="mark_read"
):
    """Marks a conversation as read up to an entry. The mark never goes back. -> done"""

    id: RequestId
    conversation: ConversationId
    seq: Seq


class PingRequest(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="ping"):
    """Checks that the connection works; the node answers with `pong`. -> pong"""

    id: RequestId


class RegisteredReply(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="registered"
):
    """The account is stored."""

    re: RequestId
    user: User


class LoggedInReply(Struct, frozen=True, kw_only=True, tag_field="type", tag="logged_in"):
    """The connection is a device of `user`. Every entry after its cursors follows, in order."""

    re: RequestId
    user: User
    token: Token
    friends: tuple[Friend, ...]
    groups: tuple[Group, ...]
    requests: tuple[User, ...]
    """The users whose friend requests await an answer."""


class DoneReply(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="done"):
    """The request was carried out and is stored; the reply carries no data."""

    re: RequestId


class ProfileReply(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="profile"):
    """The profile of the user."""

    re: RequestId
    user: User
    registered_at: TimeMs
    """When the account was created."""
    devices: Count
    """The number of devices with a valid token."""
    friends: Count
    groups: Count


class SnapshotReply(Struct, frozen=True, kw_only=True, tag_field="type", tag="snapshot"):
    """The current friends, groups and open friend requests."""

    re: RequestId
    friends: tuple[Friend, ...]
    groups: tuple[Group, ...]
    requests: tuple[User, ...]


class SentReply(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="sent"):
    """The entry is committed. On the sending device `sent` takes the place of the entry in the
    stream: the entry itself is not pushed there."""

    re: RequestId
    conversation: ConversationId
    seq: Seq
    at: TimeMs
    """When it was stored."""


class GroupCreatedReply(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="group_created"
):
    """The group is stored."""

    re: RequestId
    group: Group


class JoinedReply(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="joined"):
    """The membership is stored."""

    re: RequestId
    group: Group


class MembersReply(Struct, frozen=True, kw_only=True, tag_field="type", tag="members"):
    """The members of the group, longest-standing first."""

    re: RequestId
    group: ConversationId
    members: tuple[Member, ...]


class EntriesReply(Struct, frozen=True, kw_only=True, tag_field="type", tag="entries"):
    """A page of a conversation, oldest first."""

    re: RequestId
    conversation: ConversationId
    entries: tuple[Entry, ...]
    more: bool
    """Whether there are more entries in the direction of the page."""


class PongReply(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="pong"):
    """The answer to `ping`."""

    re: RequestId


class ErrorReply(
    Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag_field="type", tag="error"
):
    """The request was not carried out and nothing of it was stored. Without `re`: the line had no
    readable `id`, or the connection is about to be closed."""

    re: RequestId | None = None
    code: ErrorCode
    message: Sentence
    retry_after_ms: DurationMs | None = None
    """How long to wait before a repeated attempt."""


class WelcomePush(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="welcome"):
    """The first line on every connection."""

    protocol: Count
    """The version of the protocol that the node speaks."""
    node: NodeName
    now: TimeMs
    """The node's time."""
    limits: Limits


class MessagePush(
    Struct,
    frozen=True,
    kw_only=True,
    gc=False,
    omit_defaults=True,
    tag_field="type",
    tag="message",
    rename={"from_": "from"},
):
    """The next entry of a conversation."""

    conversation: ConversationId
    seq: Seq
    kind: EntryKind
    from_: User
    text: EntryText
    at: TimeMs
    """When it was stored."""
    key: Key | None = None
    """Only in the sender's own entries that carried a key."""


class FriendRequestPush(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="friend_request"
):
    """A user has sent a friend request; `add_friend` accepts it, `remove_friend` declines it."""

    user: User


class FriendPush(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="friend"):
    """A new friend."""

    friend: Friend


class FriendRemovedPush(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="friend_removed"
):
    """A friendship ended, or a friend request was withdrawn or declined."""

    user: User


class PresencePush(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="presence"):
    """A friend came online or went offline."""

    user: UserId
    state: PresenceState


class GroupPush(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="group"):
    """A group that the user joined, or that changed."""

    group: Group


class GroupDeletedPush(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="group_deleted"
):
    """The user is no longer a member of the group, because it was deleted or the user left it."""

    group: ConversationId


class ReceiptPush(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="receipt"):
    """A user has read a conversation up to an entry. It goes to the friend, for the conversation of
    the two, and to the user's other devices, for every conversation."""

    conversation: ConversationId
    user: UserId
    seq: Seq


class DrainingPush(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="draining"):
    """The node is about to stop; connect again, to another node if there is one."""

    retry_after_ms: DurationMs
    """When to connect again."""


class PingPush(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="ping"):
    """The node has received nothing for `ping_ms`, or has not replied for `reply_ping_ms`. Any line
    answers it, best an empty line."""


Request: TypeAlias = (
    RegisterRequest
    | LoginRequest
    | ResumeRequest
    | LogoutRequest
    | ProfileRequest
    | SnapshotRequest
    | AddFriendRequest
    | RemoveFriendRequest
    | BlockRequest
    | UnblockRequest
    | ChatRequest
    | CreateGroupRequest
    | JoinGroupRequest
    | LeaveGroupRequest
    | DeleteGroupRequest
    | RenameGroupRequest
    | MembersRequest
    | GroupChatRequest
    | HistoryRequest
    | MarkReadRequest
    | PingRequest
)
"""Everything a client may send."""

ServerMessage: TypeAlias = (
    RegisteredReply
    | LoggedInReply
    | DoneReply
    | ProfileReply
    | SnapshotReply
    | SentReply
    | GroupCreatedReply
    | JoinedReply
    | MembersReply
    | EntriesReply
    | PongReply
    | ErrorReply
    | WelcomePush
    | MessagePush
    | FriendRequestPush
    | FriendPush
    | FriendRemovedPush
    | PresencePush
    | GroupPush
    | GroupDeletedPush
    | ReceiptPush
    | DrainingPush
    | PingPush
)
"""Everything a node may send: replies, `error` and pushes."""
