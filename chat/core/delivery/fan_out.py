"""Entries on their way to connections: the one way by which an entry reaches anyone.

Theory of operation
-------------------

An entry is learnt of in three ways: the store answers an append of this node, an envelope brings
it, or the log is read. If it is the next one of its conversation it goes to all live connections
as the same bytes. Otherwise the conversation learns its head, and those who are behind now are
fed from the log (see chat/core/state/conversation.py).

What differs from one connection to another is little, and is looked at only for the sender's own:

- Where the entry was sent from, its reply `sent` stands in its place.
- Other devices of the sender see its key.
- A connection that has sent the entry's key and has no answer yet stops before it.
- Whoever left with the entry (or everyone, when it ends the group) is let go after it.

Reads of the log are limited to `pages_in_flight` at a time over the whole node; others
queue up. A read that fails is asked for again by the next sweep.
"""

from collections import deque
from collections.abc import Sequence

from chat.core.delivery.entry_frames import encode_entry, ends_membership
from chat.core.delivery.subscriptions import Subscriptions
from chat.core.ports.bus_messages import group_channel
from chat.core.ports.effects import Deliver, Send
from chat.core.ports.operations import LogEntry, LogRead, ReadHeads, ReadLog, StoreOutcome
from chat.core.state.context import Context
from chat.core.state.conversation import Conversation
from chat.core.state.pending import GroupConfirmed, HeadsCompared, LogPage
from chat.core.state.session import Session
from chat.protocol.messages import EntryKind, GroupDeletedPush, GroupPush


class FanOut:
    """The conversations that somebody connected here takes part in."""

    def __init__(self, context: Context, channels: Subscriptions) -> None:
        self._context = context
        self._channels = channels
        self.conversations: dict[int, Conversation] = {}
        self._groups: set[int] = set()
        self._queue: deque[tuple[int, int]] = deque()
        self._pages_in_flight = 0
        self._failed: dict[int, None] = {}
        self.compare: list[int] = []
        """Conversations that were attached to in this event; their heads are to be asked for."""

    # ------------------------------------------------------------------ attaching

    def attach(self, session: Session, id: int, cursor: int, head: int, *, group: bool) -> None:
        """Puts a connection at a cursor of a conversation whose head is at least `head`."""
        conversation = self.conversations.get(id)
        if conversation is None:
            conversation = self.conversations[id] = Conversation(id)
            self._follow(id, group)
        conversation.learn(head)
        if session.connection not in conversation:
            cursor = min(cursor, conversation.head)
            conversation.attach(session.connection, cursor, held=session.full)
            session.conversations[id] = conversation
        self._feed(conversation)

    def _follow(self, id: int, group: bool) -> None:
        """Heads are compared once the channel is heard. For two friends it is: their user channels
        are, before their rosters are read."""
        if not group:
            self.compare.append(id)
            return
        self._groups.add(id)
        channel = group_channel(id)
        self._channels.need(channel)
        if not self._channels.wait(channel, GroupConfirmed(id)):
            self.compare.append(id)

    def detach(self, session: Session, id: int) -> None:
        """The connection gets nothing more of the conversation; replies that waited for their
        place in it leave now."""
        conversation = session.conversations.pop(id, None)
        if conversation is None:
            return
        conversation.detach(session.connection)
        for place in [place for place in session.acks if place[0] == id]:
            self._context.reply(session, session.acks.pop(place))
        if not len(conversation):
            del self.conversations[id]
            self._failed.pop(id, None)
            if id in self._groups:
                self._groups.discard(id)
                self._channels.release(group_channel(id))

    # ------------------------------------------------------------------ heads

    def compare_heads(self) -> None:
        """Asks for the heads of conversations that were attached to in this event."""
        record = HeadsCompared(sweep=False)
        self._context.query(record, ReadHeads(tuple(self.compare), ()))
        self.compare = []

    def group_confirmed(self, record: GroupConfirmed) -> None:
        if record.conversation in self.conversations:
            self.compare.append(record.conversation)

    def learn(self, id: int, head: int) -> None:
        """The conversation's log is at least this long."""
        conversation = self.conversations.get(id)
        if conversation is not None and head > conversation.head:
            conversation.learn(head)
            self._feed(conversation)

    # ------------------------------------------------------------------ entries

    def entry(self, entry: LogEntry) -> None:
        """An entry that is in the log, from wherever this was heard."""
        conversation = self.conversations.get(entry.conversation)
        if conversation is None or entry.seq <= conversation.head:
            return
        if entry.seq == conversation.head + 1:
            self._deliver(conversation, entry, None, b"")
        else:
            conversation.learn(entry.seq)
        if conversation.behind:
            self._feed(conversation)

    def appended(self, session: Session | None, entry: LogEntry, sent: bytes) -> None:
        """An entry that this node appended. `sent` is the reply, for the session if it is there."""
        conversation = self.conversations.get(entry.conversation)
        if conversation is None:
            if session is not None:
                self._context.reply(session, sent)
            return
        placed = False
        if entry.seq == conversation.head + 1:
            placed = self._deliver(conversation, entry, session, sent)
        else:
            conversation.learn(entry.seq)
        if session is not None and not placed:
            self._acknowledge(session, conversation, entry.seq, sent)
        if conversation.behind:
            self._feed(conversation)

    def _acknowledge(
        self, session: Session, conversation: Conversation, seq: int, sent: bytes
    ) -> None:
        position = conversation.position(session.connection)
        if position is not None and position < seq - 1:
            session.acks[conversation.id, seq] = sent
            return
        self._context.reply(session, sent)
        if position == seq - 1:
            conversation.advance(session.connection, seq)

    def _deliver(
        self, conversation: Conversation, entry: LogEntry, origin: Session | None, sent: bytes
    ) -> bool:
        """Hands the next entry to all who are live. Whether `origin` was, and got its `sent`."""
        context = self._context
        placed = False
        sender = context.users.get(entry.sender)
        own, audience = conversation.audience(
            entry.sender, () if sender is None else sender.sessions
        )
        for connection in own:
            session = context.sessions[connection]
            if session is origin:
                placed = True
                context.reply(session, sent)
            elif entry.key in session.sending:
                conversation.hold(connection)
                session.stopped.add(conversation.id)
            else:
                context.effects.append(Send(connection, encode_entry(entry, own=True)))
        if audience:
            context.effects.append(Deliver(audience, encode_entry(entry, own=False)))
        conversation.grow()
        if ends_membership(entry):
            gone = own if entry.kind is EntryKind.LEFT else conversation.connections()
            for connection in gone:
                if connection in conversation.live:
                    self._let_go(context.sessions[connection], conversation, entry.seq)
        return placed

    def _let_go(self, session: Session, conversation: Conversation, seq: int) -> None:
        """A membership ended with this entry; unless the roster knows of a newer one already."""
        assert session.user is not None
        group = session.user.groups.get(conversation.id)
        if group is not None and group.since > seq:
            self._context.send(session.connection, GroupPush(group=group))
            conversation.learn(group.since)
            conversation.advance(session.connection, group.since - 1)
            return
        self._context.send(session.connection, GroupDeletedPush(group=conversation.id))
        self.detach(session, conversation.id)

    # ------------------------------------------------------------------ catching up

    def hold(self, session: Session) -> None:
        """The connection's buffer is full: it is fed no further."""
        for conversation in session.conversations.values():
            conversation.hold(session.connection)

    def release(self, session: Session) -> None:
        """The buffer has room again."""
        session.stopped.clear()
        for conversation in list(session.conversations.values()):
            conversation.release(session.connection)
            self._feed(conversation)

    def unstop(self, session: Session) -> None:
        """An answer has come; the streams that stopped for one go on."""
        stopped, session.stopped = session.stopped, set()
        for id in sorted(stopped):
            conversation = session.conversations.get(id)
            if conversation is not None and not session.full:
                conversation.release(session.connection)
                self._feed(conversation)

    def retry(self) -> None:
        """Asks again for the pages that could not be read."""
        failed, self._failed = self._failed, {}
        for id in failed:
            if id in self.conversations:
                self._feed(self.conversations[id])

    def _feed(self, conversation: Conversation) -> None:
        if conversation.id in self._failed:
            return
        for cursor in conversation.demand():
            self._queue.append((conversation.id, cursor))
        self._read_next()

    def _read_next(self) -> None:
        config = self._context.config
        while self._queue and self._pages_in_flight < config.pages_in_flight:
            id, after = self._queue.popleft()
            if id in self.conversations:
                self._pages_in_flight += 1
                self._context.query(LogPage(id, after), ReadLog(id, after, config.page_entries))

    def page_read(self, record: LogPage, outcome: StoreOutcome) -> None:
        """A page of the log has come, for those who still stand where it begins."""
        self._pages_in_flight -= 1
        conversation = self.conversations.get(record.conversation)
        if conversation is not None:
            cohort = conversation.cohort(record.after)
            if isinstance(outcome, LogRead) and outcome.entries:
                conversation.learn(max(outcome.head, outcome.entries[-1].seq))
                self._hand_out(conversation, cohort, outcome.entries)
                self._feed(conversation)
            elif cohort:
                self._failed[conversation.id] = None
        self._read_next()

    def _hand_out(
        self, conversation: Conversation, cohort: list[int], entries: Sequence[LogEntry]
    ) -> None:
        """One page for a cohort: the same bytes, but for those whom an entry concerns."""
        senders = {entry.sender for entry in entries}
        deleted = entries[-1].kind is EntryKind.DELETED
        alike: list[int] = []
        for connection in cohort:
            session = self._context.sessions[connection]
            assert session.user is not None
            if deleted or session.acks or session.user.id in senders:
                self._walk(session, conversation, entries)
            else:
                alike.append(connection)
        if alike:
            data = b"".join([encode_entry(entry, own=False) for entry in entries])
            self._context.effects.append(Deliver(tuple(alike), data))
            for connection in alike:
                conversation.advance(connection, entries[-1].seq)

    def _walk(
        self, session: Session, conversation: Conversation, entries: Sequence[LogEntry]
    ) -> None:
        """One page for one connection, entry by entry."""
        assert session.user is not None
        connection = session.connection
        for entry in entries:
            own = entry.sender == session.user.id
            sent = session.acks.pop((conversation.id, entry.seq), None)
            if sent is not None:
                self._context.reply(session, sent)
            elif own and entry.key in session.sending:
                conversation.hold(connection)
                session.stopped.add(conversation.id)
                return
            else:
                self._context.effects.append(Send(connection, encode_entry(entry, own=own)))
            conversation.advance(connection, entry.seq)
            if entry.kind is EntryKind.DELETED or (own and entry.kind is EntryKind.LEFT):
                self._let_go(session, conversation, entry.seq)
                return
