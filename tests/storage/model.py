"""A model of the store in dicts: small, slow, and nothing like SQL.

Every method does one operation and says how it should be answered; ids of conversations are
the store's to choose, so those are told.
"""

from dataclasses import dataclass, field

from chat.core.ports.operations import (
    Append,
    Appended,
    LimitReached,
    LogEntry,
    Refused,
    UserLimit,
)
from chat.core.ports.rosters import FriendRow, Roster
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import EntryKind, Group, Role, User
from chat.protocol.rules import (
    DIRECT_ACCESS,
    GROUP_ACCESS,
    DirectAction,
    DirectRole,
    GroupAction,
    GroupRole,
)

GROUP_ROLE = {Role.OWNER: GroupRole.OWNER, Role.MEMBER: GroupRole.MEMBER}


@dataclass
class Membership:
    role: Role
    since: int
    read: int


@dataclass
class Conversation:
    """`pair` of a direct one; name and description of a group."""

    pair: tuple[int, int] | None = None
    name: str = ""
    description: str = ""
    closed: bool = False
    log: list[LogEntry] = field(default_factory=list)
    members: dict[int, Membership] = field(default_factory=dict)


class Model:
    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.versions: dict[int, int] = {}
        self.asked: dict[tuple[int, int], int] = {}
        self.blocks: set[tuple[int, int]] = set()
        self.conversations: dict[int, Conversation] = {}
        self.keys: dict[tuple[int, str], LogEntry] = {}

    # ----------------------------------------------------------------- what it is like

    def find(self, ref: int | str) -> int | None:
        if isinstance(ref, int):
            return ref if ref in self.names else None
        return next((id for id, name in self.names.items() if name.lower() == ref.lower()), None)

    def pair(self, user: int, other: int) -> int | None:
        wanted = (min(user, other), max(user, other))
        return next((id for id, c in self.conversations.items() if c.pair == wanted), None)

    def direct_role(self, user: int, other: int) -> DirectRole:
        asked = ((user, other) in self.asked) + ((other, user) in self.asked)
        blocked = (user, other) in self.blocks or (other, user) in self.blocks
        if user == other:
            return DirectRole.SELF
        if asked == 2:
            return DirectRole.BLOCKED_FRIEND if blocked else DirectRole.FRIEND
        if blocked:
            return DirectRole.BLOCKED
        return DirectRole.ASKED if asked else DirectRole.UNRELATED

    def direct_refusal(self, user: int, ref: int | str, action: DirectAction) -> Refused | None:
        other = self.find(ref)
        if other is None:
            return Refused(ErrorCode.NO_SUCH_USER)
        code = DIRECT_ACCESS[self.direct_role(user, other)][action]
        return None if code is None else Refused(code)

    def group_refusal(self, user: int, group: int, action: GroupAction) -> Refused | None:
        conversation = self.conversations.get(group)
        if conversation is None or conversation.pair is not None or conversation.closed:
            return Refused(ErrorCode.NO_SUCH_GROUP)
        member = conversation.members.get(user)
        role = GroupRole.OUTSIDER if member is None else GROUP_ROLE[member.role]
        code = GROUP_ACCESS[role][action]
        return None if code is None else Refused(code)

    def reached(self, user: int, limit: UserLimit, most: int) -> Refused | None:
        """The refusal of one more, if the user has as many as that."""
        groups = [
            conversation.members[user].role
            for conversation in self.conversations.values()
            if user in conversation.members and conversation.pair is None
        ]
        open_requests = [pair for pair in self.asked if pair[::-1] not in self.asked]
        has = {
            UserLimit.OPEN_REQUESTS_MADE: sum(asker == user for asker, _ in open_requests),
            UserLimit.OPEN_REQUESTS_RECEIVED: sum(asked == user for _, asked in open_requests),
            UserLimit.GROUPS_OWNED: groups.count(Role.OWNER),
            UserLimit.GROUPS_JOINED: len(groups),
        }
        if has[limit] < most:
            return None
        return Refused(ErrorCode.LIMIT_REACHED, LimitReached(limit, most))

    def read_refusal(self, user: int, conversation: int) -> Refused | None:
        """History and mark_read: a user who is no member gets the same answer."""
        there = self.conversations.get(conversation)
        if there is None or user not in there.members:
            return Refused(ErrorCode.NOT_MEMBER)
        return None

    def roster(self, user: int) -> Roster:
        friends, groups = [], []
        for id, conversation in sorted(self.conversations.items()):
            member = conversation.members.get(user)
            if member is None:
                continue
            head = len(conversation.log)
            if conversation.pair is not None:
                (other,) = set(conversation.pair) - {user}
                friends.append(FriendRow(other, self.names[other], id, head, member.read))
            else:
                groups.append(
                    Group(
                        id=id,
                        name=conversation.name,
                        description=conversation.description,
                        role=member.role,
                        seq=head,
                        read=member.read,
                        since=member.since,
                    )
                )
        asking = sorted(
            (at_ms, asker)
            for (asker, asked), at_ms in self.asked.items()
            if asked == user and (user, asker) not in self.asked
        )
        return Roster(
            user=self.user(user),
            version=self.versions[user],
            friends=tuple(sorted(friends, key=lambda row: row.id)),
            groups=tuple(groups),
            requests=tuple(self.user(asker) for _, asker in asking),
        )

    def user(self, id: int) -> User:
        return User(id=id, name=self.names[id])

    # --------------------------------------------------------------------- what is done

    def touch(self, *users: int) -> None:
        """The rosters of these users have changed."""
        for user in users:
            self.versions[user] += 1

    def register(self, id: int, name: str) -> None:
        self.names[id] = name
        self.versions[id] = 1

    def add_friend(self, user: int, other: int, at_ms: int) -> tuple[int, ...]:
        """The users whose rosters change; `meet` has to follow if those are both."""
        if (user, other) in self.asked:
            return ()
        self.asked[user, other] = at_ms
        return (user, other) if (other, user) in self.asked else (other,)

    def meet(self, user: int, other: int, conversation: int) -> None:
        pair = (min(user, other), max(user, other))
        assert self.pair(user, other) in (None, conversation)
        there = self.conversations.setdefault(conversation, Conversation(pair=pair))
        for one in pair:
            there.members[one] = Membership(Role.MEMBER, 1, len(there.log))

    def remove_friend(self, user: int, other: int) -> tuple[int, ...]:
        changed = [b for a, b in ((user, other), (other, user)) if self.asked.pop((a, b), None)]
        conversation = self.pair(user, other)
        if conversation is not None:
            self.conversations[conversation].members.clear()
        return tuple(changed)

    def record(
        self, group: int, kind: EntryKind, user: int, at_ms: int, text: str = ""
    ) -> LogEntry:
        log = self.conversations[group].log
        entry = LogEntry(group, len(log) + 1, kind, user, self.names[user], text, at_ms)
        log.append(entry)
        return entry

    def create_group(self, user: int, group: int, name: str, at_ms: int) -> list[LogEntry]:
        assert group not in self.conversations
        self.conversations[group] = Conversation(name=name)
        self.conversations[group].members[user] = Membership(Role.OWNER, 1, 0)
        return [self.record(group, EntryKind.JOINED, user, at_ms)]

    def join_group(self, user: int, group: int, at_ms: int) -> list[LogEntry]:
        entry = self.record(group, EntryKind.JOINED, user, at_ms)
        membership = Membership(Role.MEMBER, entry.seq, entry.seq - 1)
        self.conversations[group].members[user] = membership
        return [entry]

    def leave_group(self, user: int, group: int, at_ms: int) -> tuple[list[LogEntry], list[int]]:
        """The entries that were recorded, and the users whose rosters changed."""
        conversation = self.conversations[group]
        left = conversation.members.pop(user)
        entries = [self.record(group, EntryKind.LEFT, user, at_ms)]
        if left.role is not Role.OWNER:
            return entries, [user]
        if not conversation.members:
            conversation.closed = True
            return entries, [user]
        heir = min(conversation.members, key=lambda id: conversation.members[id].since)
        conversation.members[heir].role = Role.OWNER
        entries.append(self.record(group, EntryKind.PROMOTED, heir, at_ms))
        return entries, [user, heir]

    def delete_group(self, user: int, group: int, at_ms: int) -> tuple[list[LogEntry], list[int]]:
        conversation = self.conversations[group]
        changed = sorted(conversation.members)
        conversation.members.clear()
        conversation.closed = True
        return [self.record(group, EntryKind.DELETED, user, at_ms)], changed

    def rename_group(
        self, user: int, group: int, name: str, description: str | None, at_ms: int
    ) -> tuple[list[LogEntry], list[int]]:
        """The entries that were recorded, and the users whose rosters changed."""
        conversation = self.conversations[group]
        new = name, conversation.description if description is None else description
        if new == (conversation.name, conversation.description):
            return [], []
        conversation.name, conversation.description = new
        changed = sorted(conversation.members)
        return [self.record(group, EntryKind.RENAMED, user, at_ms, name)], changed

    def append(self, append: Append) -> Appended | Refused:
        recipient = None
        conversation = append.group
        if append.to is not None:
            recipient = self.find(append.to)
            conversation = None if recipient is None else self.pair(append.sender, recipient)
        first = self.keys.get((append.sender, append.key))
        if first is not None:
            if (first.conversation, first.text) != (conversation, append.text):
                return Refused(ErrorCode.KEY_CONFLICT)
            return Appended(first.conversation, first.seq, first.at_ms, recipient, repeated=True)
        if append.to is not None:
            refusal = self.direct_refusal(append.sender, append.to, DirectAction.CHAT)
        else:
            assert append.group is not None
            refusal = self.group_refusal(append.sender, append.group, GroupAction.GROUP_CHAT)
        if refusal is not None:
            return refusal
        assert conversation is not None
        log = self.conversations[conversation].log
        entry = LogEntry(
            conversation,
            len(log) + 1,
            EntryKind.TEXT,
            append.sender,
            self.names[append.sender],
            append.text,
            append.at_ms,
            append.key,
        )
        log.append(entry)
        self.keys[append.sender, append.key] = entry
        return Appended(conversation, entry.seq, append.at_ms, recipient)

    def mark_read(self, user: int, conversation: int, seq: int) -> tuple[int, int | None]:
        """The read mark, and the friend who is told."""
        there = self.conversations[conversation]
        member = there.members[user]
        member.read = max(member.read, min(seq, len(there.log)))
        others = [] if there.pair is None else [one for one in there.pair if one != user]
        return member.read, (others[0] if others else None)
