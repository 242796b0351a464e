"""New entries to the connections that are live: the same bytes for all of them.

An entry is learnt of in three ways: the store answers an append of this node, a bus message brings
it, or the log is read (chat/core/delivery/catch_up.py). If it is the next one of its conversation,
every live connection gets it. Otherwise the conversation learns its head, and the connections that
are behind now are fed from the log.
"""

from chat.core.delivery.catch_up import CatchUp
from chat.core.delivery.device_streams import DeviceStreams, ends_membership
from chat.core.delivery.entry_json import encode_entry
from chat.core.ports.effects import Deliver
from chat.core.ports.operations import LogEntry
from chat.core.state.context import Context
from chat.core.state.conversation import Conversation
from chat.core.state.session import Session
from chat.protocol.messages import EntryKind

_TEXT = EntryKind.TEXT


class FanOut:
    """Hands new entries to live connections."""

    def __init__(self, context: Context, streams: DeviceStreams, catch_up: CatchUp) -> None:
        self._context = context
        self._streams = streams
        self._catch_up = catch_up

    def entry(self, entry: LogEntry) -> None:
        """An entry that is in the log, wherever the node learnt of it."""
        conversation = self._streams.conversations.get(entry.conversation)
        if conversation is None or entry.seq <= conversation.head:
            return
        if entry.seq == conversation.head + 1:
            self._deliver(conversation, entry)
        else:
            conversation.learn(entry.seq)
        if conversation.behind:
            self._catch_up.feed(conversation)

    def appended(self, session: Session | None, entry: LogEntry, sent: bytes) -> None:
        """An entry that this node appended. `sent` is the reply to the session that asked for it,
        None if that has ended."""
        conversation = self._streams.conversations.get(entry.conversation)
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
            self._place(session, conversation, entry.seq, sent)
        if conversation.behind:
            self._catch_up.feed(conversation)

    def _place(self, session: Session, conversation: Conversation, seq: int, sent: bytes) -> None:
        """The reply to an append on a connection that was not live: it waits for its place if the
        connection has a cursor before that, and leaves now if not."""
        position = conversation.position(session.connection)
        if position is not None and position < seq - 1:
            self._streams.await_place(session, conversation.id, seq, sent)
            return
        self._context.reply(session, sent)
        if position == seq - 1:
            conversation.advance(session.connection, seq)

    def _deliver(
        self,
        conversation: Conversation,
        entry: LogEntry,
        origin: Session | None = None,
        sent: bytes | None = None,
    ) -> bool:
        """Hands the next entry to all live connections. Whether `origin`, which sent it, was one of
        them, and so got `sent`."""
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
                self._streams.hand(session, conversation, entry, True, sent)
            else:
                self._streams.hand(session, conversation, entry, True)
        if audience:
            context.effects.append(Deliver(audience, encode_entry(entry, own=False)))
        conversation.grow()
        if entry.kind is not _TEXT and ends_membership(entry, own=True):
            everyone = ends_membership(entry, own=False)
            for connection in conversation.connections() if everyone else own:
                if connection in conversation.live:
                    session = context.sessions[connection]
                    self._streams.end_membership(session, conversation, entry.seq)
        return placed
