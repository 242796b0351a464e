"""A user with a connection on this node, and what the node knows of the user."""

from chat.core.ports.operations import FriendRow, Roster
from chat.protocol.messages import Friend, Group, PresenceState


class LocalUser:
    """What the connections of one user on this node share.

    `sessions` holds the connections that are READY. `roster` is the newest that was
    read; `states` what the friends' states were last said to be; `receipts` the
    highest read mark that was passed on, by conversation and reader.
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
        "roster",
        "sessions",
        "states",
    )

    def __init__(self, roster: Roster) -> None:
        self.id = roster.user.id
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
        return self.roster.user.name

    def take(self, roster: Roster) -> None:
        """Makes this the newest roster."""
        self.roster = roster
        self.friends: dict[int, FriendRow] = {friend.id: friend for friend in roster.friends}
        self.groups: dict[int, Group] = {group.id: group for group in roster.groups}

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
