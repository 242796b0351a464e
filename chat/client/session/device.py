"""The state of one device: its roster, its cursors, its read marks, and the rest of its backlog.

It takes the node's messages, and tells the notices of what is new in them. The methods that return
a bool return False if the entries that the node pushes do not continue at a cursor; the session
then connects again and resumes from the cursors, which brings the missing entries.
"""

from collections.abc import Callable, Sequence
from typing import Final, assert_never

from msgspec.structs import replace

from chat.client.session.cursors import Cursors, Position
from chat.client.session.ports import notices
from chat.client.session.read_marks import ReadMarks
from chat.client.session.roster import Roster
from chat.protocol import messages as wire

DevicePush = (
    wire.FriendRequestPush
    | wire.FriendRemovedPush
    | wire.PresencePush
    | wire.GroupPush
    | wire.GroupDeletedPush
    | wire.ReceiptPush
)
"""The pushes that concern the device alone."""


MAX_CONVERSATIONS: Final = 100_000
"""The most friends, groups and requests together: a node that tells of more is taken to be hostile.
A `logged_in` with this number is about as long as a line may be."""


class Device:
    """`read_mark_ms`: how long the next read mark of a conversation waits."""

    def __init__(self, read_mark_ms: int, tell: Callable[[notices.AnyNotice], None]) -> None:
        self.roster = Roster()
        self.cursors = Cursors()
        self.read_marks = ReadMarks(read_mark_ms)
        self._tell = tell
        self._backlog: dict[int, int] = {}
        """By conversation that has entries of the backlog to come: the last of them."""

    @property
    def is_full(self) -> bool:
        """The node has told of more than a device keeps."""
        roster = self.roster
        kept = max(len(roster.conversations), len(roster.friends), len(self.read_marks))
        return kept + len(roster.requests) > MAX_CONVERSATIONS

    def connection_lost(self) -> None:
        self._backlog.clear()
        self.read_marks.connection_lost()

    # ------------------------------------------------------------------ login

    def logged_in(self, reply: wire.LoggedInReply, *, reconnected: bool, resumed: bool) -> bool:
        """`reconnected`: the user was logged in before. `resumed`: it is the reply to a `resume`,
        so the entries start at the cursors that were in it."""
        if not self._follow_all(reply, resumed):
            return False
        self.roster.user = reply.user
        changes = self.roster.replace(reply)
        heads = {friend.conversation: friend.seq for friend in reply.friends}
        heads |= {group.id: group.seq for group in reply.groups}
        self._backlog = {
            conversation: head
            for conversation, head in heads.items()
            if head > self.cursors[conversation]
        }
        self._tell(notices.ConnectionChanged(notices.ConnectionStatus.ONLINE))
        self._tell(notices.LoggedIn(reply.user, reconnected, dict(self._backlog)))
        if reconnected:
            self._tell_all(changes)
        if not self._backlog:
            self._tell(notices.CaughtUp())
        return True

    def _follow_all(self, reply: wire.LoggedInReply, resumed: bool) -> bool:
        cursors = self.cursors
        starts = {friend.conversation: (friend.read, 0) for friend in reply.friends}
        for group in reply.groups:
            starts[group.id] = (max(group.read, group.since - 1), group.since - 1)
        cursors.unfollow_all_but(starts)
        continues = True
        for conversation, (start, at_least) in starts.items():
            cursors.follow(conversation, start, at_least=at_least)
            continues = cursors.continues(conversation, start, resumed=resumed) and continues
        for friend in reply.friends:
            self.read_marks.confirm(friend.conversation, friend.read)
        for group in reply.groups:
            self.read_marks.confirm(group.id, group.read)
        return continues

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
        return self._apply(push.conversation, entry)

    def sent(self, reply: wire.SentReply, text: str, key: str) -> bool:
        """The reply stands for this user's own entry, in its place in the stream."""
        assert self.roster.user is not None
        entry = wire.Entry(
            seq=reply.seq,
            kind=wire.EntryKind.TEXT,
            from_=self.roster.user,
            text=text,
            at=reply.at,
            key=key,
        )
        return self._apply(reply.conversation, entry)

    def _apply(self, conversation: int, entry: wire.Entry) -> bool:
        """Applies the entry if it is the next one of its conversation."""
        position = self.cursors.position(conversation, entry.seq)
        if position is Position.NEXT:
            self.cursors.advance(conversation)
            self.roster.advance_head(conversation, entry.seq)
            head = self._backlog.get(conversation, 0)
            own = self.is_own(entry.from_)
            self._tell(notices.EntryApplied(conversation, entry, own, entry.seq <= head))
            if entry.seq >= head:
                self._backlog_applied(conversation)
        return position is not Position.GAP

    def is_own(self, user: wire.User) -> bool:
        return self.roster.user is not None and user.id == self.roster.user.id

    def _backlog_applied(self, conversation: int) -> None:
        """No more entries of this conversation's backlog will come."""
        if self._backlog.pop(conversation, None) is not None and not self._backlog:
            self._tell(notices.CaughtUp())

    # ------------------------------------------------------------------ read marks

    def mark_read(self, conversation: int, seq: int) -> None:
        """The user has seen the conversation up to here."""
        if conversation in self.cursors:
            self.read_marks.want(conversation, seq)

    def read_mark_accepted(self, conversation: int, seq: int) -> None:
        self.read_marks.accepted(conversation, seq)
        self.roster.advance_read(conversation, seq)

    def _receipt(self, push: wire.ReceiptPush) -> None:
        if self.roster.user is not None and push.user == self.roster.user.id:
            self.read_marks.confirm(push.conversation, push.seq)
            self.roster.advance_read(push.conversation, push.seq)
        self._tell(notices.ReadBy(push.conversation, push.user, push.seq))

    # ------------------------------------------------------------------ the roster

    def handle_push(self, push: DevicePush) -> None:
        match push:
            case wire.PresencePush():
                self._tell_all(self.roster.put_state(push.user, push.state))
            case wire.ReceiptPush():
                self._receipt(push)
            case wire.FriendRequestPush():
                self._tell_all(self.roster.put_request(push.user))
            case wire.FriendRemovedPush():
                self._friend_removed(push.user)
            case wire.GroupPush():
                self._group_changed(push.group)
            case wire.GroupDeletedPush():
                self._group_removed(push.group)
            case _:
                assert_never(push)

    def friend_added(self, push: wire.FriendPush) -> bool:
        """Adds or changes a friend. A receipt of a later read mark may have come before."""
        friend = push.friend
        self.cursors.follow(friend.conversation, friend.read)
        self.read_marks.confirm(friend.conversation, friend.read)
        read = self.read_marks.confirmed(friend.conversation)
        self._tell_all(self.roster.put_friend(replace(friend, read=read)))
        return self.cursors.continues(friend.conversation, friend.read, resumed=False)

    def _friend_removed(self, user: wire.User) -> None:
        friend = self.roster.friends.get(user.id)
        self._tell_all(self.roster.remove_friend(user))
        if friend is not None and user.id not in self.roster.friends:
            self.cursors.unfollow(friend.conversation)
            self._backlog_applied(friend.conversation)

    def _group_changed(self, group: wire.Group) -> None:
        """Adds or changes a group. If the user joined it anew, its entries go on at the new
        joining."""
        since = group.since - 1
        self.cursors.follow(group.id, since, at_least=since)
        self.read_marks.confirm(group.id, group.read)
        read = self.read_marks.confirmed(group.id)
        self._tell_all(self.roster.put_group(replace(group, read=read)))

    def group_replied(self, group: wire.Group) -> None:
        """Takes the group that is in a reply. Its push comes before it, unless the entry that ended
        an earlier membership is still to come; so the cursor stays as it is."""
        self._tell_all(self.roster.put_group(group))

    def _group_removed(self, group: int) -> None:
        self.cursors.unfollow(group)
        self._tell_all(self.roster.remove_group(group))
        self._backlog_applied(group)

    def snapshot(self, reply: wire.SnapshotReply) -> None:
        self._tell_all(self.roster.replace(reply))

    def _tell_all(self, changes: Sequence[notices.RosterNotice]) -> None:
        for notice in changes:
            self._tell(notice)
