"""Streams: which connection is attached to which conversation, and what it gets for one entry.

A connection that is attached to a conversation gets each entry of it once, in order, from its
cursor on. What differs from one connection to another is little, and is decided here, in one place
for entries that are new and for entries that are read from the log:

- On the connection that an entry was sent from, its reply `sent` stands in the entry's place.
- Other devices of the sender see its key.
- A connection that has sent the entry's key, and has no answer yet, stops before the entry.
- A connection whose user's membership ended with the entry is detached after it.
"""

from typing import Final

from chat.core.delivery.entry_json import encode_entry
from chat.core.delivery.subscriptions import Subscriptions
from chat.core.ports.bus_messages import group_channel
from chat.core.ports.effects import Send
from chat.core.ports.operations import LogEntry
from chat.core.state.context import Context
from chat.core.state.conversation import Conversation
from chat.core.state.session import Session
from chat.protocol.messages import EntryKind, GroupDeletedPush, GroupPush
from chat.protocol.rules import Input, Verdict

_LEFT: Final = EntryKind.LEFT
_DELETED: Final = EntryKind.DELETED


class DeviceStreams:
    """The conversations that have a connection on this node."""

    def __init__(self, context: Context, subscriptions: Subscriptions) -> None:
        self._context = context
        self._subscriptions = subscriptions
        self.conversations: dict[int, Conversation] = {}
        self._groups: set[int] = set()
        """The groups among `conversations`; each has a channel of its own."""

    # ------------------------------------------------------------------ being attached

    def open(self, id: int, *, group: bool) -> Conversation:
        """The conversation, which has no connection yet."""
        conversation = self.conversations[id] = Conversation(id)
        if group:
            self._groups.add(id)
            self._subscriptions.need(group_channel(id))
        return conversation

    def attach(self, session: Session, conversation: Conversation, cursor: int) -> None:
        """Puts a connection at a cursor, or at the head if the cursor lies beyond it."""
        assert session.rule(Input.ENTRY).verdict is Verdict.ACCEPT
        cursor = min(cursor, conversation.head)
        conversation.attach(session.connection, cursor, held=session.full)
        session.conversations[conversation.id] = conversation

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
            if id in self._groups:
                self._groups.discard(id)
                self._subscriptions.release(group_channel(id))

    def detach_all(self, session: Session) -> None:
        """The connection gets nothing more of any conversation."""
        for id in list(session.conversations):
            self.detach(session, id)
        session.stopped.clear()

    def await_place(self, session: Session, id: int, seq: int, sent: bytes) -> None:
        """A reply whose place in the stream has not come."""
        session.acks[id, seq] = sent

    def take_stopped(self, session: Session) -> set[int]:
        """The conversations whose stream had stopped; none has from now on."""
        stopped, session.stopped = session.stopped, set()
        return stopped

    def forget_replies(self, session: Session) -> None:
        """The connection has ended: replies that wait for their place are not sent any more."""
        session.acks.clear()

    # ------------------------------------------------------------------ one entry, one connection

    def hand(
        self,
        session: Session,
        conversation: Conversation,
        entry: LogEntry,
        own: bool,
        sent: bytes | None = None,
    ) -> bool:
        """What the connection gets for its next entry. `own`: its user is the sender; `sent`: the
        reply to the send of the entry, if it was sent from here and the reply is not in `acks`.
        False if the stream stops before the entry."""
        if sent is None and session.acks:
            sent = session.acks.pop((conversation.id, entry.seq), None)
        if sent is not None:
            self._context.reply(session, sent)
        elif own and entry.key in session.sending:
            conversation.hold(session.connection)
            session.stopped.add(conversation.id)
            return False
        else:
            self._context.effects.append(Send(session.connection, encode_entry(entry, own=own)))
        return True

    def end_membership(self, session: Session, conversation: Conversation, seq: int) -> None:
        """The membership of the session's user ended with this entry, unless the roster knows of a
        newer one already."""
        assert session.user is not None
        group = session.user.groups.get(conversation.id)
        if group is not None and group.since > seq:
            self._context.send(session.connection, GroupPush(group=group))
            conversation.learn(group.since)
            conversation.advance(session.connection, group.since - 1)
            return
        self._context.send(session.connection, GroupDeletedPush(group=conversation.id))
        self.detach(session, conversation.id)


def ends_membership(entry: LogEntry, *, own: bool) -> bool:
    """Whether a member's place in the conversation ends with this entry; `own`: of its sender."""
    kind = entry.kind
    return kind is _DELETED or (own and kind is _LEFT)
