"""Catch-up: connections that are behind are fed from the log until they stand at the head.

Login backlog, reconnect, a lost bus message and a slow reader are all served by this. Which cursors
have to be read is told by each conversation (`Conversation.demand`); a page is read once for all
connections that stand at its cursor. At most `pages_in_flight` reads are under way in the whole
node, others queue up. A read that fails is asked for again at the next step of anti-entropy, which
calls `retry` each second.

A conversation that gets its first connection has its head compared with the store. For a group that
is done after its channel is subscribed to, so that no entry can fall between; the user channels,
which carry direct texts, are subscribed to before the roster is read.
"""

from collections.abc import Sequence
from functools import partial

from chat.core.delivery.device_streams import DeviceStreams, ends_membership
from chat.core.delivery.entry_json import encode_entry
from chat.core.delivery.subscriptions import Subscriptions
from chat.core.ports.bus_messages import group_channel
from chat.core.ports.effects import Deliver
from chat.core.ports.operations import Failure, HeadsRead, LogEntry, LogRead, ReadHeads, ReadLog
from chat.core.state.context import Context
from chat.core.state.conversation import Conversation
from chat.core.state.fair_queue import FairQueue
from chat.core.state.session import Session
from chat.protocol.messages import EntryKind


class CatchUp:
    """Feeds the connections that are behind."""

    def __init__(
        self, context: Context, subscriptions: Subscriptions, streams: DeviceStreams
    ) -> None:
        self._context = context
        self._subscriptions = subscriptions
        self._streams = streams
        self._queue: FairQueue[int, tuple[int, int]] = FairQueue()
        """Conversations and cursors whose page is still to be asked for, in turns by the user of
        one of the connections that wait for the page."""
        self._pages_in_flight = 0
        self._failed: dict[int, None] = {}
        """Conversations a page of which could not be read."""
        self._to_compare: list[int] = []
        """Conversations whose head is to be asked for at the end of this event."""

    # ------------------------------------------------------------------ reasons to be behind

    def attach(self, session: Session, id: int, cursor: int, head: int, *, group: bool) -> None:
        """Puts a connection at a cursor of a conversation whose head is at least `head`."""
        conversation = self._streams.conversations.get(id)
        if conversation is None:
            conversation = self._streams.open(id, group=group)
            self._failed.pop(id, None)
            waits = group and self._subscriptions.wait(
                group_channel(id), partial(self._compare_head, id)
            )
            if not waits:
                self._to_compare.append(id)
        conversation.learn(head)
        if session.connection not in conversation:
            self._streams.attach(session, conversation, cursor)
        self.feed(conversation)

    def learn(self, id: int, head: int) -> None:
        """The log of the conversation is at least this long."""
        conversation = self._streams.conversations.get(id)
        if conversation is not None and head > conversation.head:
            conversation.learn(head)
            self.feed(conversation)

    def hold(self, session: Session) -> None:
        """The outbound buffer is full: the connection is fed no further."""
        for conversation in session.conversations.values():
            conversation.hold(session.connection)

    def release(self, session: Session) -> None:
        """The outbound buffer has room again."""
        self._streams.take_stopped(session)
        for conversation in list(session.conversations.values()):
            conversation.release(session.connection)
            self.feed(conversation)

    def resume_stopped(self, session: Session) -> None:
        """An answer has come: streams that stopped before an entry of the session's own go on."""
        for id in sorted(self._streams.take_stopped(session)):
            conversation = session.conversations.get(id)
            if conversation is not None and not session.full:
                conversation.release(session.connection)
                self.feed(conversation)

    # ------------------------------------------------------------------ heads

    def _compare_head(self, id: int) -> None:
        if id in self._streams.conversations:
            self._to_compare.append(id)

    def compare_heads(self) -> None:
        """Asks for the heads of conversations that were opened in this event."""
        if self._to_compare:
            ids, self._to_compare = tuple(self._to_compare), []
            self._context.query(ReadHeads(ids, ()), self._heads_read)

    def _heads_read(self, outcome: HeadsRead | Failure) -> None:
        if isinstance(outcome, HeadsRead):
            for id, head in outcome.conversations.items():
                self.learn(id, head)

    # ------------------------------------------------------------------ pages

    def feed(self, conversation: Conversation) -> None:
        """Asks for the pages that the conversation needs now."""
        if conversation.id in self._failed:
            return
        for cursor in conversation.demand():
            self._queue.put(self._payer(conversation, cursor), (conversation.id, cursor))
        self._read_next()

    def _payer(self, conversation: Conversation, cursor: int) -> int:
        session = self._context.sessions[conversation.first_at(cursor)]
        assert session.user is not None
        return session.user.id

    def retry(self) -> None:
        """Asks again for the pages that could not be read."""
        failed, self._failed = self._failed, {}
        for id in failed:
            if id in self._streams.conversations:
                self.feed(self._streams.conversations[id])

    def _read_next(self) -> None:
        config = self._context.config
        while self._queue.turns and self._pages_in_flight < config.pages_in_flight:
            id, after = self._queue.take()
            if id in self._streams.conversations:
                self._pages_in_flight += 1
                read = ReadLog(id, after, config.page_entries)
                self._context.query(read, partial(self._page_read, id, after))

    def _page_read(self, id: int, after: int, outcome: LogRead | Failure) -> None:
        """A page of the log has come, for the connections that still stand where it begins."""
        self._pages_in_flight -= 1
        conversation = self._streams.conversations.get(id)
        if conversation is not None:
            cohort = conversation.cohort(after)
            if isinstance(outcome, LogRead) and outcome.entries:
                conversation.learn(max(outcome.head, outcome.entries[-1].seq))
                self._hand_out(conversation, cohort, outcome.entries)
                self.feed(conversation)
            elif cohort:
                self._failed[conversation.id] = None
        self._read_next()

    def _hand_out(
        self, conversation: Conversation, cohort: list[int], entries: Sequence[LogEntry]
    ) -> None:
        """One page for a cohort: the same bytes, except for connections that an entry concerns."""
        senders = {entry.sender for entry in entries}
        deleted = entries[-1].kind is EntryKind.DELETED
        alike: list[int] = []
        for connection in cohort:
            session = self._context.sessions[connection]
            assert session.user is not None
            if deleted or session.acks or session.user.id in senders:
                self._hand_each(session, conversation, entries)
            else:
                alike.append(connection)
        if alike:
            data = b"".join([encode_entry(entry, own=False) for entry in entries])
            self._context.effects.append(Deliver(tuple(alike), data))
            for connection in alike:
                conversation.advance(connection, entries[-1].seq)

    def _hand_each(
        self, session: Session, conversation: Conversation, entries: Sequence[LogEntry]
    ) -> None:
        """One page for one connection, entry by entry."""
        assert session.user is not None
        for entry in entries:
            own = entry.sender == session.user.id
            if not self._streams.hand(session, conversation, entry, own):
                return
            conversation.advance(session.connection, entry.seq)
            if ends_membership(entry, own=own):
                self._streams.end_membership(session, conversation, entry.seq)
                return
