"""The users who are connected here: their rosters, and the news their devices are told.

A roster is a small log of its own: every change raises its version in the transaction that makes
it, and a node that hears of a higher version than it holds reads the roster again and tells the
difference. Envelopes and the sweep bring versions; a lost one costs time and nothing else. What is
heard of users who are on their way in is kept until their rosters are read: these may be older.

A conversation with a friend follows the roster: it is attached to and left as the roster says. A
group is joined as the roster says, but left as its log says, entry by entry, so that nobody sees
what came after the membership.
"""

from chat.core.delivery.fan_out import FanOut
from chat.core.ports.bus_messages import ReceiptBusMessage, RosterBusMessage, user_channel
from chat.core.ports.operations import (
    FriendRow,
    ReadRoster,
    Roster,
    RosterRead,
    StoreOutcome,
    Touched,
)
from chat.core.roster.presence import Presence
from chat.core.state.context import Context
from chat.core.state.pending import RosterRefreshed
from chat.core.state.session import Session
from chat.core.state.user import LocalUser
from chat.protocol.messages import (
    FriendPush,
    FriendRemovedPush,
    FriendRequestPush,
    Group,
    GroupPush,
    ReceiptPush,
    User,
)


class RosterSync:
    """Rosters and news of the users connected here."""

    def __init__(self, context: Context, delivery: FanOut, presence: Presence) -> None:
        self._context = context
        self._delivery = delivery
        self._presence = presence
        self._expected: dict[int, tuple[int, int]] = {}
        """By user: how many connections are on their way in, and the highest version heard."""

    def __len__(self) -> int:
        """Users on their way in."""
        return len(self._expected)

    # ------------------------------------------------------------------ rosters

    def expect(self, session: Session, user_id: int) -> None:
        """The user's roster is going to be read for this session."""
        session.expected = user_id
        count, version = self._expected.get(user_id, (0, 0))
        self._expected[user_id] = count + 1, version

    def expect_no_more(self, session: Session) -> int:
        """It has been read, or will not be. The highest version heard meanwhile, 0 for none."""
        user_id, session.expected = session.expected, None
        if user_id is None:
            return 0
        count, version = self._expected.pop(user_id)
        if count > 1:
            self._expected[user_id] = count - 1, version
        return version

    def know(self, roster: Roster) -> LocalUser:
        """The local user of a roster that was just read."""
        user = self._context.users.get(roster.user.id)
        if user is None:
            user = self._context.users[roster.user.id] = LocalUser(roster)
        else:
            self.apply(user, roster)
        return user

    def apply(self, user: LocalUser, roster: Roster) -> None:
        """Takes a roster, unless a newer one is known, and tells the difference."""
        if roster.version < user.roster.version:
            return
        before = user.roster
        friends, groups = user.friends, user.groups
        user.take(roster)
        if user.sessions:
            self._tell_friends(user, friends)
            self._tell_requests(user, before.requests)
            self._tell_groups(user, groups)

    def _tell_friends(self, user: LocalUser, before: dict[int, FriendRow]) -> None:
        new = [friend for friend in user.friends.values() if friend.id not in before]
        for friend in new:
            self._presence.guess(user, friend.id)
            self._context.push(user, FriendPush(friend=user.friend(friend)))
            for connection in user.sessions:
                session = self._context.sessions[connection]
                self._delivery.attach(
                    session, friend.conversation, friend.read, friend.seq, group=False
                )
        if new:
            self._presence.compare([user])
        for friend in before.values():
            if friend.id not in user.friends:
                user.states.pop(friend.id, None)
                gone = FriendRemovedPush(user=User(id=friend.id, name=friend.name))
                self._context.push(user, gone)
                for connection in user.sessions:
                    self._delivery.detach(self._context.sessions[connection], friend.conversation)

    def _tell_requests(self, user: LocalUser, before: tuple[User, ...]) -> None:
        known = {asking.id for asking in before}
        for asking in user.roster.requests:
            if asking.id not in known:
                self._context.push(user, FriendRequestPush(user=asking))
        still = {asking.id for asking in user.roster.requests}
        for asking in before:
            if asking.id not in still and asking.id not in user.friends:
                self._context.push(user, FriendRemovedPush(user=asking))

    def _tell_groups(self, user: LocalUser, before: dict[int, Group]) -> None:
        """New groups and changed ones. Who left and came back before a connection has seen the
        leaving is told of the new membership when the log gets there. A connection that has seen
        the leaving before the roster did is not brought back to what has ended."""
        for group in user.groups.values():
            old = before.get(group.id)
            again = old is None or old.since != group.since
            changed = old is None or _description(old) != _description(group)
            for connection in user.sessions:
                session = self._context.sessions[connection]
                attached = group.id in session.conversations
                if not attached and not again:
                    continue
                if changed if attached and not again else not attached:
                    self._context.send(connection, GroupPush(group=group))
                self._delivery.attach(session, group.id, group.since - 1, group.seq, group=True)

    def news(self, user_id: int, version: int) -> None:
        """A user's roster has at least this version."""
        if user_id in self._expected:
            count, heard = self._expected[user_id]
            self._expected[user_id] = count, max(heard, version)
        user = self._context.users.get(user_id)
        if user is None:
            return
        user.heard_version = max(user.heard_version, version)
        if user.heard_version > user.roster.version and not user.refreshing:
            user.refreshing = True
            self._context.query(RosterRefreshed(user_id), ReadRoster(user_id))

    def refreshed(self, record: RosterRefreshed, outcome: StoreOutcome) -> None:
        user = self._context.users.get(record.user)
        if user is None:
            return
        user.refreshing = False
        if isinstance(outcome, RosterRead):
            self.apply(user, outcome.roster)
            if outcome.roster.version < user.heard_version:
                self.news(user.id, user.heard_version)

    def changed(self, asking: int, roster: Roster, touched: tuple[Touched, ...]) -> None:
        """A transaction of this node changed rosters: the asking user's, and others are told."""
        user = self._context.users.get(asking)
        if user is not None:
            self.apply(user, roster)
        for one in touched:
            envelope = RosterBusMessage(one.user, one.version)
            self._context.publish((user_channel(one.user),), envelope)
            self.news(one.user, one.version)

    # ------------------------------------------------------------------ coming and going

    def enter(self, session: Session, user: LocalUser, cursors: dict[int, int] | None) -> None:
        """A session that has become READY takes its place in all conversations."""
        session.user = user
        user.sessions[session.connection] = None
        attach = self._delivery.attach
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
        """The session belongs to nobody any more."""
        user = session.user
        if user is None:
            return
        for id in list(session.conversations):
            self._delivery.detach(session, id)
        session.user = None
        session.sending.clear()
        session.stopped.clear()
        del user.sessions[session.connection]
        if not user.sessions:
            self._presence.went(user)

    # ------------------------------------------------------------------ receipts

    def marked(
        self, user_id: int, conversation: int, seq: int, other: int | None, connection: int
    ) -> None:
        """A user has read up to here: the user's other devices and the friend are told."""
        envelope = ReceiptBusMessage(conversation, user_id, seq)
        for told in (user_id,) if other is None else (user_id, other):
            self.receipt(told, envelope, but=connection)
            self._context.publish((user_channel(told),), envelope)

    def receipt(self, told: int, envelope: ReceiptBusMessage, *, but: int | None = None) -> None:
        """Tells a local user of a read mark, unless it was told of that or a higher one."""
        user = self._context.users.get(told)
        if user is None or not user.sessions:
            return
        place = (envelope.conversation, envelope.user)
        if envelope.seq > user.receipts.get(place, 0):
            user.receipts[place] = envelope.seq
            push = ReceiptPush(
                conversation=envelope.conversation, user=envelope.user, seq=envelope.seq
            )
            self._context.push(user, push, but=but)


def _description(group: Group) -> tuple[str, str, str]:
    """What is news when it changes; heads and read marks are not."""
    return group.name, group.description, group.role
