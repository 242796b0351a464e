"""Roster sync: the rosters of the users connected here, and the differences told to their devices.

Theory of operation
-------------------

A roster (friends, groups, open friend requests) has a version, which every change raises by one in
the transaction that makes it. Changes come from the transactions of this node and, by bus messages,
from those of others:

- The change to the next version is applied to the roster that the node holds, and told to the
  user's devices. That costs as much as the change, whatever else the user has.
- A change to that version or a lower one has been applied already, and is ignored.
- Any other means that a change was missed: the node reads the roster again and tells the devices
  the difference.

Anti-entropy brings versions alone, which are dealt with alike. So a lost bus message costs time and
nothing else. A version that is heard while a roster is being read for a login is kept until the
roster has come, because the roster may be older.

A conversation with a friend follows the roster: connections are attached and detached as the roster
says. A group is joined as the roster says, but left as its log says, entry by entry, so that no
connection sees what came after the membership.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from chat.core.delivery.catch_up import CatchUp
from chat.core.delivery.device_streams import DeviceStreams
from chat.core.ports.bus_messages import RosterBusMessage, user_channel
from chat.core.ports.operations import Failure, LogEntry, ReadRoster, RosterRead
from chat.core.ports.rosters import FriendRow, Roster, RosterChange
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

_NONE: Final[Mapping[int, int]] = {}


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

    # ------------------------------------------------------------------ changes and versions

    def changed(self, changes: Sequence[RosterChange], entries: Sequence[LogEntry] = ()) -> None:
        """A transaction of this node changed rosters. The nodes of their users are told. `entries`,
        which the transaction appended, have not been delivered yet: connections are attached before
        them, so that the entries need not be read from the log."""
        heads = {entry.conversation: entry.seq - 1 for entry in reversed(entries)}
        for change in changes:
            self._context.publish((user_channel(change.user),), RosterBusMessage(change))
            self.heard_change(change, heads)

    def heard_change(self, change: RosterChange, heads: Mapping[int, int] = _NONE) -> None:
        """A roster has changed. `heads`: what is to be taken for the head of a conversation that
        connections are attached to, if it is not that of the change."""
        user = self._context.users.get(change.user)
        if user is not None and change.version == user.version + 1:
            self._apply_change(user, change, heads)
        self.heard(change.user, change.version)

    def lacks(self, user: LocalUser, changes: Iterable[RosterChange]) -> bool:
        """Whether one of these changes is not in the roster of the user that is known here, because
        an earlier one has not come."""
        return any(one.user == user.id and one.version > user.version for one in changes)

    def heard(self, user_id: int, version: int) -> None:
        """A user's roster has at least this version."""
        if user_id in self._awaited:
            count, heard = self._awaited[user_id]
            self._awaited[user_id] = count, max(heard, version)
        user = self._context.users.get(user_id)
        if user is None:
            return
        user.heard_version = max(user.heard_version, version)
        if user.heard_version > user.version and not user.refreshing:
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

    def apply(self, user: LocalUser, roster: Roster) -> None:
        """Takes a roster that was read, unless a newer one is known, and tells the difference."""
        if roster.version < user.version:
            user.learn_heads(roster)
            return
        is_known = roster.version == user.version
        friends, groups, requests = user.friends, user.groups, user.requests
        user.take(roster)
        if not user.sessions:
            return
        if is_known:
            # Only heads can be news, whatever the number of devices.
            for friend in roster.friends:
                self._catch_up.learn(friend.conversation, friend.seq)
            for group in roster.groups:
                self._catch_up.learn(group.id, group.seq)
            return
        self._tell_new_friends(user, [row for id, row in user.friends.items() if id not in friends])
        for id, row in friends.items():
            if id not in user.friends:
                user.states.pop(id, None)
                self._tell_end_of_friendship(user, row)
        for id, asking in user.requests.items():
            if id not in requests:
                self._context.push(user, FriendRequestPush(user=asking))
        for id, asking in requests.items():
            if id not in user.requests and id not in user.friends:
                self._context.push(user, FriendRemovedPush(user=asking))
        for id, group in user.groups.items():
            self._tell_group(user, groups.get(id), group, group.seq)

    def _apply_change(
        self, user: LocalUser, change: RosterChange, heads: Mapping[int, int]
    ) -> None:
        """Takes the change that comes next after the user's roster, and tells it."""
        removed, group = change.friend_removed or 0, change.group
        friend, asking = user.friends.get(removed), user.requests.get(removed)
        before = None if group is None else user.groups.get(group.id)
        user.take_change(change)
        if not user.sessions:
            return
        if change.friend is not None:
            self._tell_new_friends(user, (change.friend,))
        if friend is not None:
            self._tell_end_of_friendship(user, friend)
        if change.request is not None:
            self._context.push(user, FriendRequestPush(user=change.request))
        if asking is not None:
            self._context.push(user, FriendRemovedPush(user=asking))
        if group is not None:
            self._tell_group(user, before, group, heads.get(group.id, group.seq))

    def _tell_new_friends(self, user: LocalUser, friends: Sequence[FriendRow]) -> None:
        for friend in friends:
            self._presence.assume(user, friend.id)
            self._context.push(user, FriendPush(friend=user.friend(friend)))
            for session in self._sessions(user):
                self._catch_up.attach(
                    session, friend.conversation, friend.read, friend.seq, group=False
                )
        if friends:
            self._presence.find(user, [friend.id for friend in friends])

    def _tell_end_of_friendship(self, user: LocalUser, friend: FriendRow) -> None:
        removed = FriendRemovedPush(user=User(id=friend.id, name=friend.name))
        self._context.push(user, removed)
        for session in self._sessions(user):
            self._streams.detach(session, friend.conversation)

    def _tell_group(self, user: LocalUser, before: Group | None, group: Group, head: int) -> None:
        """A group that is new or may have changed. A user who left and came back before a
        connection has seen the leaving is told of the new membership when the log gets there. A
        connection that has seen the leaving before the roster did is not brought back to what has
        ended."""
        again = before is None or before.since != group.since
        changed = before is None or _description(before) != _description(group)
        for session in self._sessions(user):
            attached = group.id in session.conversations
            if not attached and not again:
                continue
            if not attached or (changed and not again):
                self._context.send(session.connection, GroupPush(group=group))
            self._catch_up.attach(session, group.id, group.since - 1, head, group=True)

    def _sessions(self, user: LocalUser) -> list[Session]:
        return [self._context.sessions[connection] for connection in user.sessions]

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
