"""Groups as their logs tell them: who is in them, who owns them, and who may end them."""

from chat.protocol.messages import EntryKind, Role
from chat.storage.backends.connection import Connection
from sim.checkers import Violation

AS_TOLD = "a group is as its log tells"


class _Told:
    """A group by the entries so far. `members` stand in the order of their joining."""

    def __init__(self, group: int) -> None:
        self.group = group
        self.members: list[int] = []
        self.owner: int | None = None
        self.heir: int | None = None
        """Who must be promoted by the next entry."""

    def take(self, seq: int, kind: str, user: int) -> None:
        place = f"{self.group}/{seq}"
        if (self.heir is not None) != (kind == EntryKind.PROMOTED):
            raise Violation(AS_TOLD, f"{kind} at {place}, but {self.heir} was to inherit")
        if kind == EntryKind.PROMOTED:
            if user != self.heir:
                raise Violation(AS_TOLD, f"{user} inherits at {place}, and not {self.heir}")
            self.owner, self.heir = user, None
        elif kind == EntryKind.JOINED:
            if user in self.members:
                raise Violation(AS_TOLD, f"{user} joins at {place}, and is in it")
            self.members.append(user)
            self.owner = self.owner or user
        elif user not in self.members:
            raise Violation(AS_TOLD, f"{kind} by {user} at {place}, who is not in it")
        elif kind == EntryKind.LEFT:
            self._left(user)
        elif kind == EntryKind.DELETED:
            if user != self.owner:
                raise Violation("only an owner ends a group", f"{user} at {place}")
            self.members, self.owner = [], None

    def _left(self, user: int) -> None:
        self.members.remove(user)
        if user == self.owner:
            self.owner = None
            self.heir = self.members[0] if self.members else None

    def roles(self) -> dict[int, str]:
        return {
            user: str((Role.OWNER if user == self.owner else Role.MEMBER).value)
            for user in self.members
        }


def check_groups(connection: Connection) -> None:
    """The members of each group, and their roles, follow from its log."""
    groups: dict[int, _Told] = {}
    for (group,) in connection.query("SELECT id FROM conversations WHERE kind = 'group'"):
        groups[group] = _Told(group)
    rows = connection.query(
        "SELECT e.conversation_id, e.seq, e.kind, e.sender_id FROM entries e"
        " JOIN conversations c ON c.id = e.conversation_id WHERE c.kind = 'group'"
        " ORDER BY e.conversation_id, e.seq"
    )
    for group, seq, kind, user in rows:
        groups[group].take(seq, kind, user)
    stored: dict[int, dict[int, str]] = {group: {} for group in groups}
    rows = connection.query("SELECT conversation_id, user_id, role FROM members")
    for group, user, role in rows:
        if group in stored:
            stored[group][user] = role
    for group, told in groups.items():
        if stored[group] != told.roles():
            raise Violation(AS_TOLD, f"{group} has {stored[group]}, told are {told.roles()}")
