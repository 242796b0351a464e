"""What the device knows: the roster, the cursors, the read marks, and what is still to come of
the backlog. It takes what the node tells and passes on what is new.

Wherever the stream does not join on to a cursor, the answer is False, and the session connects
again to resume from the cursors: that is how whatever is missing gets here.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from chat.client.session import interface as io
from chat.client.session.cursors import Cursors, Place
from chat.client.session.read_marks import Marks
from chat.client.session.roster import Roster
from chat.protocol import messages as wire


class Device:
    def __init__(self, mark_ms: int, tell: Callable[[io.AnyEffect], None]) -> None:
        self.roster = Roster()
        self.cursors = Cursors()
        self.marks = Marks(mark_ms)
        self._tell = tell
        self._backlog: dict[int, int] = {}

    def connection_lost(self) -> None:
        self._backlog.clear()
        self.marks.connection_lost()

    # ------------------------------------------------------------------ coming in

    def enter(self, reply: wire.LoggedInReply, *, again: bool, resumed: bool) -> bool:
        """Takes its place in every conversation."""
        if not self._follow_all(reply, resumed):
            return False
        self.roster.user = reply.user
        notices = self.roster.replace(reply)
        heads = {friend.conversation: friend.seq for friend in reply.friends}
        heads |= {group.id: group.seq for group in reply.groups}
        self._backlog = {
            conversation: head
            for conversation, head in heads.items()
            if head > self.cursors[conversation]
        }
        self._tell(io.ConnectionState(io.Link.ONLINE))
        self._tell(io.LoggedIn(reply.user, again, dict(self._backlog)))
        if again:
            self._tell_all(notices)
        if not self._backlog:
            self._tell(io.CaughtUp())
        return True

    def _follow_all(self, reply: wire.LoggedInReply, resumed: bool) -> bool:
        cursors = self.cursors
        starts = {friend.conversation: (friend.read, 0) for friend in reply.friends}
        for group in reply.groups:
            starts[group.id] = (max(group.read, group.since - 1), group.since - 1)
        cursors.leave_all_but(starts)
        joins_on = True
        for conversation, (start, at_least) in starts.items():
            cursors.follow(conversation, start, at_least=at_least)
            joins_on = cursors.joins_on(conversation, start, resumed=resumed) and joins_on
        for friend in reply.friends:
            self.marks.learn(friend.conversation, friend.read)
        for group in reply.groups:
            self.marks.learn(group.id, group.read)
        return joins_on

    # ------------------------------------------------------------------ entries

    def message(self, push: wire.MessagePush) -> bool:
        entry = wire.Entry(
            seq=push.seq,
            kind=push.kind,
            from_=push.from_,
            text=push.text,
            at=push.at,
            key=push.key,
        )
        return self._take(push.conversation, entry)

    def sent(self, reply: wire.SentReply, text: str, key: str) -> bool:
        """One's own entry, in its place in the stream."""
        assert self.roster.user is not None
        entry = wire.Entry(
            seq=reply.seq,
            kind=wire.EntryKind.TEXT,
            from_=self.roster.user,
            text=text,
            at=reply.at,
            key=key,
        )
        return self._take(reply.conversation, entry)

    def _take(self, conversation: int, entry: wire.Entry) -> bool:
        place = self.cursors.place(conversation, entry.seq)
        if place is Place.NEXT:
            self.cursors.advance(conversation)
            self.roster.grow(conversation, entry.seq)
            head = self._backlog.get(conversation, 0)
            own = self.is_own(entry.from_)
            self._tell(io.EntryApplied(conversation, entry, own, entry.seq <= head))
            if entry.seq >= head:
                self._caught_up(conversation)
        return place is not Place.GAP

    def is_own(self, user: wire.User) -> bool:
        return self.roster.user is not None and user.id == self.roster.user.id

    def _caught_up(self, conversation: int) -> None:
        if self._backlog.pop(conversation, None) is not None and not self._backlog:
            self._tell(io.CaughtUp())

    def shown(self, conversation: int, seq: int) -> None:
        if conversation in self.cursors:
            self.marks.show(conversation, seq)

    def marked(self, conversation: int, seq: int) -> None:
        """The node has taken the mark."""
        self.marks.answered(conversation, seq)
        self.roster.mark(conversation, seq)

    # ------------------------------------------------------------------ news

    def friend_requested(self, push: wire.FriendRequestPush) -> None:
        self._tell_all(self.roster.put_request(push.user))

    def friend_added(self, push: wire.FriendPush) -> bool:
        """What was read meanwhile may have been told before."""
        friend = push.friend
        self.cursors.follow(friend.conversation, friend.read)
        self.marks.learn(friend.conversation, friend.read)
        read = self.marks.known(friend.conversation)
        self._tell_all(self.roster.put_friend(replace(friend, read=read)))
        return self.cursors.joins_on(friend.conversation, friend.read, resumed=False)

    def friend_removed(self, push: wire.FriendRemovedPush) -> None:
        friend = self.roster.friends.get(push.user.id)
        self._tell_all(self.roster.remove_friend(push.user))
        if friend is not None and push.user.id not in self.roster.friends:
            self.cursors.leave(friend.conversation)
            self._caught_up(friend.conversation)

    def presence(self, push: wire.PresencePush) -> None:
        self._tell_all(self.roster.put_state(push.user, push.state))

    def group(self, push: wire.GroupPush) -> None:
        """New, changed, or joined once more: then the stream goes on at the new joining."""
        since = push.group.since - 1
        self.cursors.follow(push.group.id, since, at_least=since)
        self.marks.learn(push.group.id, push.group.read)
        read = self.marks.known(push.group.id)
        self._tell_all(self.roster.put_group(replace(push.group, read=read)))

    def got_group(self, group: wire.Group) -> None:
        """From a reply. The push of the group comes before it, unless the log has yet to say that
        an earlier membership ended; so the cursor is not touched."""
        self._tell_all(self.roster.put_group(group))

    def group_deleted(self, push: wire.GroupDeletedPush) -> None:
        self.cursors.leave(push.group)
        self._tell_all(self.roster.remove_group(push.group))
        self._caught_up(push.group)

    def snapshot(self, reply: wire.SnapshotReply) -> None:
        self._tell_all(self.roster.replace(reply))

    def receipt(self, push: wire.ReceiptPush) -> None:
        if self.roster.user is not None and push.user == self.roster.user.id:
            self.marks.learn(push.conversation, push.seq)
            self.roster.mark(push.conversation, push.seq)
        self._tell(io.ReadBy(push.conversation, push.user, push.seq))

    def _tell_all(self, notices: Sequence[io.RosterNotice]) -> None:
        for notice in notices:
            self._tell(notice)
