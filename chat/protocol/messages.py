# Generated from spec/messages.yaml by spec/generate.py; do not edit; run `make spec`.
"""The messages of the cluster chat protocol, version 1."""

import enum
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta, Struct

from chat.protocol.errors import ErrorCode

RequestId: TypeAlias = Annotated[int, Meta(ge=0, le=9007199254740992)]
"""A number of the client's choosing that its reply repeats."""

UserId: TypeAlias = Annotated[int, Meta(ge=1, le=9007199254740992)]
"""A user's number."""

ConversationId: TypeAlias = Annotated[int, Meta(ge=1, le=9007199254740992)]
"""A conversation's number. A group's id is its conversation's id."""

Seq: TypeAlias = Annotated[int, Meta(ge=1, le=9007199254740992)]
"""An entry's place in its conversation: 1, 2, 3 … without gaps."""

Cursor: TypeAlias = Annotated[int, Meta(ge=0, le=9007199254740992)]
"""The last seq that was applied; 0 before the first."""

Count: TypeAlias = Annotated[int, Meta(ge=0, le=9007199254740992)]
"""How many there are."""

TimeMs: TypeAlias = Annotated[int, Meta(ge=0, le=9007199254740992)]
"""Milliseconds since 1970-01-01 UTC."""

DurationMs: TypeAlias = Annotated[int, Meta(ge=0, le=9007199254740992)]
"""A span of time in milliseconds."""

PageLimit: TypeAlias = Annotated[int, Meta(ge=1, le=200)]
"""How many entries at most."""

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
"""A device's secret, 256 random bits in hexadecimal. It stands for the password until `logout`."""

Key: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[!-~]+\Z")]
"""The sender's own name for one send, printable ASCII. The same key again is the same send."""

KeyShape: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
"""Key before its pattern is looked at: rules.PATTERNS."""

Text: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=4000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]+\Z")
]
"""1–4,000 code points; of the control characters only newline and tab."""

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
"""What the node calls itself."""

Sentence: TypeAlias = Annotated[str, Meta(min_length=1, max_length=400)]
"""One sentence for a person that says what to do."""


class PresenceState(enum.StrEnum):
    """Whether a user is there."""

    ONLINE = "online"
    """A node has the user connected."""
    OFFLINE = "offline"
    """No live node has the user connected."""


class Role(enum.StrEnum):
    """What a user is in a group."""

    OWNER = "owner"
    """May rename and delete the group."""
    MEMBER = "member"
    """May read and write."""


class EntryKind(enum.StrEnum):
    """What an entry records."""

    TEXT = "text"
    """Somebody said something."""
    JOINED = "joined"
    """The user in `from` became a member with this entry."""
    LEFT = "left"
    """The user in `from` was a member up to this entry."""
    PROMOTED = "promoted"
    """The user in `from` became the owner."""
    RENAMED = "renamed"
    """The owner in `from` renamed the group; `text` is the new name."""
    DELETED = "deleted"
    """The owner in `from` ended the group; the last entry there is."""


class User(Struct, frozen=True, kw_only=True, gc=False):
    """A user, as others see one."""

    id: UserId
    name: UserName


class Friend(Struct, frozen=True, kw_only=True, gc=False):
    """A friend and the conversation with that friend."""

    id: UserId
    name: UserName
    state: PresenceState
    """As far as is known now."""
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
    """The first entry this member may see."""


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
    """Only on an entry of one's own that was sent with one."""


class Limits(Struct, frozen=True, kw_only=True, gc=False):
    """The limits of this node, by their names in this file."""

    login_line_bytes: Count
    line_bytes: Count
    in_flight: Count
    sends_per_second: Count
    send_burst: Count
    ping_ms: DurationMs
    dead_ms: DurationMs


class RegisterRequest(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="register"
):
    """Makes an account. The connection is not logged in by it. -> registered"""

    id: RequestId
    name: UserName
    password: Password


class LoginRequest(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="login"):
    """Proves who is there and makes this connection a device of that user. -> logged_in"""

    id: RequestId
    user: UserRef
    password: Password


class ResumeRequest(Struct, frozen=True, kw_only=True, tag_field="type", tag="resume"):
    """Takes a device up again after its connection was lost; its backlog starts after the given
    cursors. -> logged_in"""

    id: RequestId
    token: Token
    cursors: dict[ConversationId, Cursor] = msgspec.field(default_factory=dict)
    """The last seq applied, by conversation; one that is not named starts at what was read."""


class LogoutRequest(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="logout"):
    """Ends the device; its token is worth nothing from now on. The connection lives and may log in
    again. -> done"""

    id: RequestId


class ProfileRequest(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="profile"):
    """Asks who one is. -> profile"""

    id: RequestId


class SnapshotRequest(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="snapshot"
):
    """Asks for friends, groups and open friend requests as they are now. -> snapshot"""

    id: RequestId


class AddFriendRequest(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="add_friend"
):
    """Asks a user to be friends, or says yes to one who asked. Once mutual, both get `friend`. ->
    done"""

    id: RequestId
    user: UserRef


class RemoveFriendRequest(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="remove_friend"
):
    """Ends a friendship: both get `friend_removed`. Or takes back or declines a request: the one
    who was asked gets it. -> done"""

    id: RequestId
    user: UserRef


class BlockRequest(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="block"):
    """Neither of the two can chat to the other or ask to be friends until `unblock`. -> done"""

    id: RequestId
    user: UserRef


class UnblockRequest(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="unblock"):
    """Takes one's own block back. -> done"""

    id: RequestId
    user: UserRef


class ChatRequest(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="chat"):
    """Says something to a friend. -> sent"""

    id: RequestId
    to: UserRef
    text: TextShape
    key: KeyShape


class CreateGroupRequest(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="create_group"
):
    """Makes a group with oneself as owner and only member. -> group_created"""

    id: RequestId
    name: GroupName
    description: Description = ""


class JoinGroupRequest(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="join_group"
):
    """Becomes a member. Entries are seen from the joining on. -> joined"""

    id: RequestId
    group: ConversationId


class LeaveGroupRequest(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="leave_group"
):
    """Ends one's membership. An owner hands the group to the longest-standing member; the last to
    leave closes it. -> done"""

    id: RequestId
    group: ConversationId


class DeleteGroupRequest(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="delete_group"
):
    """Ends the group for all its members. -> done"""

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
    """Gives the group another name, or another description. If both are as they were, nothing is
    recorded. -> done"""

    id: RequestId
    group: ConversationId
    name: GroupName
    description: Description | None = None
    """Without it the description stays."""


class MembersRequest(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="members"):
    """Asks who is in a group. -> members"""

    id: RequestId
    group: ConversationId


class GroupChatRequest(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="group_chat"
):
    """Says something to a group. -> sent"""

    id: RequestId
    group: ConversationId
    text: TextShape
    key: KeyShape


class HistoryRequest(
    Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag_field="type", tag="history"
):
    """Reads a page of a conversation, oldest first. With `after`, the entries that follow it; else
    those before `before`, or the newest. Both together are a `bad_message`. -> entries"""

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
    """Says that the user has read a conversation up to an entry. It never goes back. -> done"""

    id: RequestId
    conversation: ConversationId
    seq: Seq


class PingRequest(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="ping"):
    """Shows the node that the peer is there, and the other way round. -> pong"""

    id: RequestId


class RegisteredReply(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="registered"
):
    """The account is stored."""

    re: RequestId
    user: User


class LoggedInReply(Struct, frozen=True, kw_only=True, tag_field="type", tag="logged_in"):
    """The connection is a device of `user`. Every entry past its cursors follows, in order."""

    re: RequestId
    user: User
    token: Token
    friends: tuple[Friend, ...]
    groups: tuple[Group, ...]
    requests: tuple[User, ...]
    """Users who wait for an answer to their friend request."""


class DoneReply(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="done"):
    """It is stored; there is nothing more to say of it."""

    re: RequestId


class ProfileReply(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="profile"):
    """Who one is."""

    re: RequestId
    user: User
    registered_at: TimeMs
    """When the account was made."""
    devices: Count
    """Devices that hold a token."""
    friends: Count
    groups: Count


class SnapshotReply(Struct, frozen=True, kw_only=True, tag_field="type", tag="snapshot"):
    """Friends, groups and open requests as they are now."""

    re: RequestId
    friends: tuple[Friend, ...]
    groups: tuple[Group, ...]
    requests: tuple[User, ...]


class SentReply(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="sent"):
    """The entry is committed. On the sending device it stands in the entry's place in the stream:
    the entry itself is not pushed there."""

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
    """Who is in the group, longest-standing first."""

    re: RequestId
    group: ConversationId
    members: tuple[Member, ...]


class EntriesReply(Struct, frozen=True, kw_only=True, tag_field="type", tag="entries"):
    """A page of a conversation, oldest first."""

    re: RequestId
    conversation: ConversationId
    entries: tuple[Entry, ...]
    more: bool
    """Whether there are more on the far side of the page."""


class PongReply(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="pong"):
    """The node is there."""

    re: RequestId


class ErrorReply(
    Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag_field="type", tag="error"
):
    """The request was not carried out and nothing of it was stored. Without `re`: the line could
    not be told apart well enough to answer it, or the connection is about to be closed."""

    re: RequestId | None = None
    code: ErrorCode
    message: Sentence
    retry_after_ms: DurationMs | None = None
    """Waiting this long helps."""


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
    """Only on an entry of one's own that was sent with one."""


class FriendRequestPush(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="friend_request"
):
    """A user would like to be friends; `add_friend` says yes, `remove_friend` no."""

    user: User


class FriendPush(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="friend"):
    """A new friend."""

    friend: Friend


class FriendRemovedPush(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="friend_removed"
):
    """A friendship ended, or a request for one was taken back or declined."""

    user: User


class PresencePush(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="presence"):
    """A friend came or went."""

    user: UserId
    state: PresenceState


class GroupPush(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="group"):
    """A group that is new to the user, or that changed."""

    group: Group


class GroupDeletedPush(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="group_deleted"
):
    """The user is no longer in the group, because it ended or because the user left it."""

    group: ConversationId


class ReceiptPush(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="receipt"):
    """A user has read a conversation up to an entry. Friends are told of their own conversation; a
    user's other devices of every one."""

    conversation: ConversationId
    user: UserId
    seq: Seq


class DrainingPush(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="draining"):
    """The node is about to stop; connect again, to another one if there is one."""

    retry_after_ms: DurationMs
    """When to connect again."""


class PingPush(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="ping"):
    """The node has heard nothing for a while; any line answers it, best an empty one."""


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
