"""What a node asks of the world outside, and what comes back.

An operation travels in a `Query(ticket, operation)` effect and its outcome in an
`Answer(ticket, outcome)` event. One operation is one transaction: whatever has to be
decided together is decided there, under the locks that make it final.

Three parties answer operations:

- the *store* (`StoreOperation`), transactions over the tables of chat/storage;
- the *password hasher* (`PasswordOperation`), which hashes and checks passwords and makes tokens,
  since the core may neither burn CPU nor draw random numbers;
- the *presence directory* (`PresenceOperation`), which knows who is online anywhere.

Any operation may be answered by `Refused(code)`, which means that nothing was stored, and a
write also by `CommitUnknown()`, which means that the commit's reply was lost.
Everything here is plain data.
"""

from enum import StrEnum
from typing import Generic, TypeVar

from msgspec import Struct

from chat.core.ports.rosters import Roster, RosterChange
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import EntryKind, Role, User
from chat.protocol.rules import LIMITS


class Outcome(Struct, frozen=True, gc=False, tag_field="outcome"):
    """Base of all outcomes."""


OutcomeT_co = TypeVar("OutcomeT_co", bound=Outcome, covariant=True)


class Operation(Struct, Generic[OutcomeT_co], frozen=True, gc=False, tag_field="op"):
    """Base of all operations; the parameter is the outcome of one that succeeded."""


# ---------------------------------------------------------------- rows that outcomes carry


class LogEntry(Struct, frozen=True, gc=False):
    """One entry of a conversation's log, with the sender's name as it is now."""

    conversation: int
    seq: int
    kind: EntryKind
    sender: int
    sender_name: str
    text: str
    at_ms: int
    key: str | None = None


class MemberRow(Struct, frozen=True, gc=False):
    """A member of a group, without presence."""

    id: int
    name: str
    role: Role


class AccountRow(Struct, frozen=True, gc=False):
    """Who a name or number belongs to, and the hash to check a password against."""

    user: User
    password_hash: str


# ------------------------------------------------------------------------------ any of them


class UserLimit(StrEnum):
    """How much one user may have, by the names of the limits in the spec."""

    OPEN_REQUESTS_MADE = "open_requests_made"
    OPEN_REQUESTS_RECEIVED = "open_requests_received"
    GROUPS_OWNED = "groups_owned"
    GROUPS_JOINED = "groups_joined"


class LimitReached(Struct, frozen=True, gc=False):
    """A user has `most` of them, or more, already."""

    limit: UserLimit
    most: int


class Refused(Outcome, frozen=True):
    """Nothing was stored. `reached` goes with the code limit_reached of a store operation."""

    code: ErrorCode
    reached: LimitReached | None = None


class CommitUnknown(Outcome, frozen=True):
    """The commit's reply was lost: it may be stored and it may not."""


Failure = Refused | CommitUnknown
"""What any operation may be answered by instead of its own outcome."""

# ------------------------------------------------------------------------------ the store


class UserCreated(Outcome, frozen=True):
    user: User


class CreateUser(Operation[UserCreated], frozen=True):
    """Refused: name_taken."""

    name: str
    password_hash: str
    at_ms: int


class AccountFound(Outcome, frozen=True):
    account: AccountRow | None


class FindAccount(Operation[AccountFound], frozen=True):
    """By number or by name, whatever its case. `account` is None if there is none."""

    user: int | str


class Done(Outcome, frozen=True):
    """Carried out; there is nothing more to say of it."""


class OpenDevice(Operation[Done], frozen=True):
    """Stores a device under the hash of its token. Refused: no_such_user."""

    user: int
    token_sha256: bytes
    at_ms: int


class DeviceFound(Outcome, frozen=True):
    user: int


class FindDevice(Operation[DeviceFound], frozen=True):
    """Finds the user of the device with this token. Refused: bad_credentials."""

    token_sha256: bytes
    at_ms: int


class CloseDevice(Operation[Done], frozen=True):
    """Forgets the device. It is no mistake if there is none."""

    token_sha256: bytes


class RosterRead(Outcome, frozen=True):
    roster: Roster


class ReadRoster(Operation[RosterRead], frozen=True):
    """Refused: no_such_user."""

    user: int


class ProfileRead(Outcome, frozen=True):
    """`devices`, `friends` and `groups` are how many the user has."""

    user: User
    registered_at_ms: int
    devices: int
    friends: int
    groups: int


class ReadProfile(Operation[ProfileRead], frozen=True):
    """Refused: no_such_user."""

    user: int


class HeadsRead(Outcome, frozen=True):
    """Heads by conversation, versions by user."""

    conversations: dict[int, int]
    versions: dict[int, int]


class ReadHeads(Operation[HeadsRead], frozen=True):
    """The heads of conversations and the versions of rosters.

    What does not exist is left out.
    """

    conversations: tuple[int, ...]
    users: tuple[int, ...]


class LogRead(Outcome, frozen=True):
    """`head` is the conversation's head as of this read."""

    entries: tuple[LogEntry, ...]
    head: int


class ReadLog(Operation[LogRead], frozen=True):
    """The entries with seq > after, at most `limit`, in order. For the node itself, which
    decides from the log's own membership entries who may see them."""

    conversation: int
    after: int
    limit: int


class HistoryRead(Outcome, frozen=True):
    """`more`: there are more entries for this user in the direction of the read."""

    entries: tuple[LogEntry, ...]
    more: bool


class ReadHistory(Operation[HistoryRead], frozen=True):
    """A page for a user, who must be a member and sees nothing before `since`.

    With `after`: the first `limit` entries with seq > after. Else the last `limit` with
    seq < before (no `before`: up to the head). In order. Refused: not_member.
    """

    user: int
    conversation: int
    before: int | None
    after: int | None
    limit: int


class MembersRead(Outcome, frozen=True):
    members: tuple[MemberRow, ...]


class ReadMembers(Operation[MembersRead], frozen=True):
    """Refused: no_such_group, not_member."""

    user: int
    group: int


class Appended(Outcome, frozen=True):
    """`recipient` is the friend's number for a direct text, None for a group."""

    conversation: int
    seq: int
    at_ms: int
    recipient: int | None = None
    repeated: bool = False


class Append(Operation[Appended], frozen=True):
    """A text for a friend (`to`: number or name) or for a group: exactly one of the two is set.

    The same (sender, key) again with the same target and text is answered by the first
    seq and time, with `repeated`; with others by Refused(key_conflict). The key is looked up
    before membership: what was stored once stays sent.
    Refused: no_such_user, not_friends, blocked, forbidden, no_such_group, not_member, key_conflict.
    """

    sender: int
    to: int | str | None
    group: int | None
    text: str
    key: str
    at_ms: int


class FriendshipChanged(Outcome, frozen=True):
    """`changes`: one of each user, the asking one among them, whose roster changed. None if nothing
    was changed."""

    changes: tuple[RosterChange, ...]


class AddFriend(Operation[FriendshipChanged], frozen=True):
    """`most_made` and `most_received` limit the open requests of the user and to the other.
    Refused: no_such_user, blocked, forbidden, limit_reached."""

    user: int
    other: int | str
    at_ms: int
    most_made: int = LIMITS.open_requests_made
    most_received: int = LIMITS.open_requests_received


class RemoveFriend(Operation[FriendshipChanged], frozen=True):
    """Refused: no_such_user, not_friends, forbidden."""

    user: int
    other: int | str


class Block(Operation[FriendshipChanged], frozen=True):
    """Touches no roster. Refused: no_such_user, forbidden."""

    user: int
    other: int | str


class Unblock(Operation[FriendshipChanged], frozen=True):
    """Touches no roster. Refused: no_such_user, forbidden."""

    user: int
    other: int | str


class GroupChanged(Outcome, frozen=True):
    """`entries` are those that were appended. `changes`: one of each user, the asking one among
    them, whose roster changed: who gained or lost membership or role, or has a group renamed."""

    group: int
    entries: tuple[LogEntry, ...]
    changes: tuple[RosterChange, ...]


class CreateGroup(Operation[GroupChanged], frozen=True):
    """The owner's `joined` is entry 1. `most_owned` and `most_joined` limit the user's groups, this
    one included. Refused: limit_reached."""

    user: int
    name: str
    description: str
    at_ms: int
    most_owned: int = LIMITS.groups_owned
    most_joined: int = LIMITS.groups_joined


class JoinGroup(Operation[GroupChanged], frozen=True):
    """Appends `joined`; the member's `since` is that entry. `most_joined` limits the user's groups,
    this one included. Refused: no_such_group, already_member, limit_reached."""

    user: int
    group: int
    at_ms: int
    most_joined: int = LIMITS.groups_joined


class LeaveGroup(Operation[GroupChanged], frozen=True):
    """Appends `left`, and `promoted` when the owner left others behind. The last to leave closes
    the group. Refused: no_such_group, not_member."""

    user: int
    group: int
    at_ms: int


class DeleteGroup(Operation[GroupChanged], frozen=True):
    """Appends `deleted`, ends all memberships and closes the group.
    Refused: no_such_group, not_member, forbidden."""

    user: int
    group: int
    at_ms: int


class RenameGroup(Operation[GroupChanged], frozen=True):
    """Appends `renamed`, and changes every member's roster. `description` None: it stays. If both
    are as they were, nothing is appended. Refused: no_such_group, not_member, forbidden."""

    user: int
    group: int
    name: str
    description: str | None
    at_ms: int


class ReadMarked(Outcome, frozen=True):
    """`other` is the friend who is told, None in a group; `seq` the mark as it is now."""

    seq: int
    other: int | None


class MarkRead(Operation[ReadMarked], frozen=True):
    """`seq` is clamped to the head; the mark never goes back.
    Refused: not_member."""

    user: int
    conversation: int
    seq: int


# ------------------------------------------------------------------- the password hasher


class PasswordHashed(Outcome, frozen=True):
    password_hash: str


class HashPassword(Operation[PasswordHashed], frozen=True):
    """Refused: busy."""

    password: str


class PasswordChecked(Outcome, frozen=True):
    """`token` is fresh: 64 hexadecimal digits of 256 random bits. Empty if it did not match."""

    matches: bool
    token: str


class CheckPassword(Operation[PasswordChecked], frozen=True):
    """With no hash, a dummy one is checked, so that an unknown user takes as long.
    Refused: busy."""

    password: str
    password_hash: str | None


# ------------------------------------------------------------------ the presence directory


class PresenceFound(Outcome, frozen=True):
    online: tuple[int, ...]


class FindPresence(Operation[PresenceFound], frozen=True):
    """Finds out which of these users are online, on any node whose lease is good."""

    users: tuple[int, ...]


StoreOperation = (
    CreateUser
    | FindAccount
    | OpenDevice
    | FindDevice
    | CloseDevice
    | ReadRoster
    | ReadProfile
    | ReadHeads
    | ReadLog
    | ReadHistory
    | ReadMembers
    | Append
    | AddFriend
    | RemoveFriend
    | Block
    | Unblock
    | CreateGroup
    | JoinGroup
    | LeaveGroup
    | DeleteGroup
    | RenameGroup
    | MarkRead
)
PasswordOperation = HashPassword | CheckPassword
PresenceOperation = FindPresence
AnyOperation = StoreOperation | PasswordOperation | PresenceOperation

StoreOutcome = (
    UserCreated
    | AccountFound
    | DeviceFound
    | RosterRead
    | ProfileRead
    | HeadsRead
    | LogRead
    | HistoryRead
    | MembersRead
    | Appended
    | FriendshipChanged
    | GroupChanged
    | ReadMarked
    | Done
    | Refused
    | CommitUnknown
)
PasswordOutcome = PasswordHashed | PasswordChecked | Refused
PresenceOutcome = PresenceFound | Refused
AnyOutcome = StoreOutcome | PasswordHashed | PasswordChecked | PresenceFound
