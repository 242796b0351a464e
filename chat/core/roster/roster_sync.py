"""Roster sync: the rosters of the users connected here, and the differences told to their devices.

Theory of operation
-------------------

A roster (friends, groups, open friend requests) has a version, which every change raises in the
transaction that makes it. A node that hears of a higher version than it holds reads the roster
again and tells the user's devices the difference. Bus messages and anti-entropy bring versions; a
lost one costs time and nothing else. A version that is heard while a roster is being read for a
login is kept until the roster has come, because the roster may be older.

A conversation with a friend follows the roster: connections are attached and detached as the roster
says. A group is joined as the roster says, but left as its log says, entry by entry, so that no
connection sees what came after the membership.
"""

from collections.abc import Sequence
from functools import partial

from chat.core.delivery.catch_up import CatchUp
from chat.core.delivery.device_streams import DeviceStreams
from chat.core.ports.bus_messages import RosterBusMessage, user_channel
from chat.core.ports.operations import (
    Failure,
    FriendRow,
    LogEntry,
    ReadRoster,
    Roster,
    RosterRead,
    RosterVersion,
)
from chat.core.roster.presence import Presence
from chat.core.state.context import Context
from chat.core.state.session import Session
from chat.core.state.user import LocalUser
from chat.protocol.messages import (
    FriendPush,
    FriendRemovedPush,
    FriendRequestPush,
    Group,
    GroupPush,
    User,
)


class RosterSync:
    """Rosters of the users connected here."""

    def __init__(
        self, context: Context, streams: DeviceStreams, catch_up: CatchUp, presence: Presence
    ) -> None:
        self._context = context
        self._streams = streams
        self._catch_up = catch_up
        self._presence = presence
        self._awaited: dict[int, tuple[int, int]] = {}
        """By user: for how many connections the roster is being read, and the highest version that
        was heard meanwhile."""

    def __len__(self) -> int:
        """Users whose roster is being read for a login."""
        return len(self._awaited)

    # ------------------------------------------------------------------ a roster for a login

    def await_roster(self, session: Session, user_id: int) -> None:
        """The user's roster is going to be read for this session."""
        session.awaits_roster_of = user_id
        count, version = self._awaited.get(user_id, (0, 0))
        self._awaited[user_id] = count + 1, version

    def stop_awaiting_roster(self, session: Session) -> int:
        """The roster has been read, or will not be. Returns the highest version heard meanwhile, 0
        for none."""
        user_id, session.awaits_roster_of = session.awaits_roster_of, None
        if user_id is None:
            return 0
        count, version = self._awaited.pop(user_id)
        if count > 1:
            self._awaited[user_id] = count - 1, version
        return version

    def local_user(self, roster: Roster) -> LocalUser:
        """The local user of a roster that was just read."""
        user = self._context.users.get(roster.user.id)
        if user is None:
            user = self._context.users[roster.user.id] = LocalUser(roster)
        else:
            self.apply(user, roster)
        return user

    # ------------------------------------------------------------------ changes

    def changed(
        self,
        user_id: int,
        roster: Roster,
        touched: Sequence[RosterVersion],
        entries: Sequence[LogEntry] = (),
    ) -> None:
        """A transaction of this node changed rosters: the asking user's, and those of `touched`,
        whose nodes are told. `entries`, which it appended, have not been delivered yet: connections
        are attached before them, so that the entries need not be read from the log."""
        user = self._context.users.get(user_id)
        if user is not None:
            self.apply(user, roster, entries)
        for one in touched:
            message = RosterBusMessage(one.user, one.version)
            self._context.publish((user_channel(one.user),), message)
            self.heard(one.user, one.version)

    def heard(self, user_id: int, version: int) -> None:
        """A user's roster has at least this version."""
        if user_id in self._awaited:
            count, heard = self._awaited[user_id]
            self._awaited[user_id] = count, max(heard, version)
        user = self._context.users.get(user_id)
        if user is None:
            return
        user.heard_version = max(user.heard_version, version)
        if user.heard_version > user.roster.version and not user.refreshing:
            user.refreshing = True
            self._context.query(ReadRoster(user_id), partial(self._refreshed, user_id))

    def _refreshed(self, user_id: int, outcome: RosterRead | Failure) -> None:
        user = self._context.users.get(user_id)
        if user is None:
            return
        user.refreshing = False
        if isinstance(outcome, RosterRead):
            self.apply(user, outcome.roster)
            if outcome.roster.version < user.heard_version:
                self.heard(user.id, user.heard_version)

    # ------------------------------------------------------------------ differences

    def apply(self, user: LocalUser, roster: Roster, entries: Sequence[LogEntry] = ()) -> None:
        """Takes a roster, unless a newer one is known, and tells the difference. For `entries` see
        `changed`."""
        if roster.version < user.roster.version:
            return
        before = user.roster
        friends, groups = user.friends, user.groups
        user.take(roster)
        if user.sessions:
            self._tell_friends(user, friends)
            self._tell_requests(user, before.requests)
            self._tell_groups(user, groups, entries)

    def _tell_friends(self, user: LocalUser, before: dict[int, FriendRow]) -> None:
        new = [friend for friend in user.friends.values() if friend.id not in before]
        for friend in new:
            self._presence.assume(user, friend.id)
            self._context.push(user, FriendPush(friend=user.friend(friend)))
            for connection in user.sessions:
                session = self._context.sessions[connection]
                self._catch_up.attach(
                    session, friend.conversation, friend.read, friend.seq, group=False
                )
        if new:
            self._presence.compare([user])
        for friend in before.values():
            if friend.id not in user.friends:
                user.states.pop(friend.id, None)
                removed = FriendRemovedPush(user=User(id=friend.id, name=friend.name))
                self._context.push(user, removed)
                for connection in user.sessions:
                    self._streams.detach(self._context.sessions[connection], friend.conversation)

    def _tell_requests(self, user: LocalUser, before: tuple[User, ...]) -> None:
        known = {asking.id for asking in before}
        for asking in user.roster.requests:
            if asking.id not in known:
                self._context.push(user, FriendRequestPush(user=asking))
        still = {asking.id for asking in user.roster.requests}
        for asking in before:
            if asking.id not in still and asking.id not in user.friends:
                self._context.push(user, FriendRemovedPush(user=asking))

    def _tell_groups(
        self, user: LocalUser, before: dict[int, Group], entries: Sequence[LogEntry]
    ) -> None:
        """New groups and changed ones. A user who left and came back before a connection has seen
        the leaving is told of the new membership when the log gets there. A connection that has
        seen the leaving before the roster did is not brought back to what has ended."""
        heads = {entry.conversation: entry.seq - 1 for entry in reversed(entries)}
        for group in user.groups.values():
            old = before.get(group.id)
            again = old is None or old.since != group.since
            changed = old is None or _description(old) != _description(group)
            for connection in user.sessions:
                session = self._context.sessions[connection]
                attached = group.id in session.conversations
                if not attached and not again:
                    continue
                if not attached or (changed and not again):
                    self._context.send(connection, GroupPush(group=group))
                head = heads.get(group.id, group.seq)
                self._catch_up.attach(session, group.id, group.since - 1, head, group=True)

    # ------------------------------------------------------------------ coming and going

    def enter(self, session: Session, user: LocalUser, cursors: dict[int, int] | None) -> None:
        """A session that has become READY takes its place in all conversations, each from the
        given cursor on; None: from where the user has read to."""
        session.user = user
        user.sessions[session.connection] = None
        attach = self._catch_up.attach
        for friend in user.friends.values():
            start = friend.read
            if cursors is not None:
                start = min(cursors.get(friend.conversation, start), friend.seq)
            attach(session, friend.conversation, start, friend.seq, group=False)
        for group in user.groups.values():
            start = group.read
            if cursors is not None:
                start = min(cursors.get(group.id, start), group.seq)
            attach(session, group.id, max(start, group.since - 1), group.seq, group=True)
        self._presence.came(user)

    def leave(self, session: Session) -> None:
        """The session is no device of a user any more."""
        user = session.user
        if user is None:
            return
        self._streams.detach_all(session)
        session.user = None
        del user.sessions[session.connection]
        if not user.sessions:
            self._presence.went(user)


def _description(group: Group) -> tuple[str, str, str]:
    """What devices are told of when it changes; heads and read marks are not."""
    return group.name, group.description, group.role
