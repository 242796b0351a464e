"""A user with a connection on this node, and what the node knows of the user."""

from msgspec.structs import replace

from chat.core.ports.rosters import FriendRow, Roster, RosterChange
from chat.protocol.messages import Friend, Group, PresenceState, User


class LocalUser:
    """What the connections of one user on this node share.

    `sessions` holds the connections that are READY. `friends`, `groups` and `requests` are the
    user's roster of version `version`, by number; heads and read marks in it are as of the last
    time that they were read. `states` is what the friends' states were last said to be; `receipts`
    the highest read mark that was passed on, by conversation and reader.
    """

    __slots__ = (
        "announced",
        "authenticating",
        "friends",
        "gone_at_ms",
        "groups",
        "heard_version",
        "id",
        "keeps_channel",
        "receipts",
        "refreshing",
        "requests",
        "sessions",
        "states",
        "user",
        "version",
    )

    def __init__(self, roster: Roster) -> None:
        self.id = roster.user.id
        self.user = roster.user
        self.take(roster)
        self.sessions: dict[int, None] = {}
        self.states: dict[int, PresenceState] = {}
        self.receipts: dict[tuple[int, int], int] = {}
        self.authenticating = 0
        """Connections that have read the roster and are about to be READY."""
        self.gone_at_ms = 0
        """When a user without sessions is given up."""
        self.keeps_channel = False
        """The channel is needed for the user as such, since the last session first ended."""
        self.heard_version = 0
        """The highest version that this node has heard of."""
        self.refreshing = False
        """A read of the roster is under way."""
        self.announced = False
        """The presence directory lists the user under this node."""

    @property
    def name(self) -> str:
        return self.user.name

    # ------------------------------------------------------------------ the roster

    def take(self, roster: Roster) -> None:
        """Makes this the newest roster."""
        self.version = roster.version
        self.friends: dict[int, FriendRow] = {friend.id: friend for friend in roster.friends}
        self.groups: dict[int, Group] = {group.id: group for group in roster.groups}
        self.requests: dict[int, User] = {asking.id: asking for asking in roster.requests}

    def take_change(self, change: RosterChange) -> None:
        """Makes the newest roster of the present one and the change that comes next after it."""
        assert change.version == self.version + 1
        self.version = change.version
        if change.friend is not None:
            self.requests.pop(change.friend.id, None)
            self.friends[change.friend.id] = change.friend
        if change.friend_removed is not None:
            self.requests.pop(change.friend_removed, None)
            self.friends.pop(change.friend_removed, None)
            self.states.pop(change.friend_removed, None)
        if change.request is not None:
            self.requests[change.request.id] = change.request
        if change.group is not None:
            self.groups[change.group.id] = change.group
        if change.group_removed is not None:
            self.groups.pop(change.group_removed, None)

    def learn_heads(self, roster: Roster) -> None:
        """Takes the heads and read marks of an older roster, as far as it has the same friends and
        memberships: it may have been read after they were read last."""
        for friend in roster.friends:
            row = self.friends.get(friend.id)
            if row is not None:
                seq, read = max(row.seq, friend.seq), max(row.read, friend.read)
                self.friends[row.id] = replace(row, seq=seq, read=read)
        for group in roster.groups:
            mine = self.groups.get(group.id)
            if mine is not None and mine.since == group.since:
                seq, read = max(mine.seq, group.seq), max(mine.read, group.read)
                self.groups[mine.id] = replace(mine, seq=seq, read=read)

    # ------------------------------------------------------------------ as it is told

    def friend(self, row: FriendRow) -> Friend:
        """A friend with the state as it was last heard."""
        return Friend(
            id=row.id,
            name=row.name,
            state=self.states.get(row.id, PresenceState.OFFLINE),
            conversation=row.conversation,
            seq=row.seq,
            read=row.read,
        )

    def friends_in_order(self) -> tuple[Friend, ...]:
        """All friends, by number."""
        return tuple(self.friend(self.friends[id]) for id in sorted(self.friends))

    def groups_in_order(self) -> tuple[Group, ...]:
        """All groups, by number."""
        return tuple(self.groups[id] for id in sorted(self.groups))
