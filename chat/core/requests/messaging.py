"""Messaging: `chat` and `group_chat`.

These are the hot path. Their handlers ask the store without a call, up to `in_flight` at a time;
the store answers in order. The continuation of an append hands the entry to all connections,
whether or not the session that sent it is still there.
"""

from typing import Final

from msgspec import Struct

from chat.core.delivery.catch_up import CatchUp
from chat.core.delivery.fan_out import FanOut
from chat.core.ports.bus_messages import EntryBusMessage, group_channel, user_channel
from chat.core.ports.operations import Append, Appended, CommitUnknown, Failure, LogEntry, Refused
from chat.core.requests.calls import Calls
from chat.core.state.context import Context
from chat.core.state.session import Session
from chat.protocol.codec import encode_sent
from chat.protocol.messages import ChatRequest, EntryKind, GroupChatRequest
from chat.protocol.rules import RULES, Input, Verdict

# Members of enumerations are looked up slowly, so those of the hot path are constants.
_TEXT: Final = EntryKind.TEXT
_ANSWER: Final = Input.ANSWER
_ACCEPT: Final = Verdict.ACCEPT


class _PendingSend(Struct):
    """An append that was asked for. It is its own continuation: half the cost of a `partial`. The
    garbage collector must see it, as the node that keeps it is reached from it."""

    messaging: "Messaging"
    session: Session
    re: int
    sender_name: str
    append: Append

    def __call__(self, outcome: Appended | Failure) -> None:
        self.messaging.appended(self, outcome)


class Messaging:
    """Texts to friends and to groups."""

    def __init__(self, context: Context, calls: Calls, fan_out: FanOut, catch_up: CatchUp) -> None:
        self._context = context
        self._fan_out = fan_out
        self._catch_up = catch_up
        self._alone = context.config.alone
        self._sends = context.budgets.sends
        calls.handle_at_once(ChatRequest, self.chat)
        calls.handle_at_once(GroupChatRequest, self.group_chat)

    def may_send(self, session: Session) -> bool:
        """Whether the user has a send left for now."""
        user = session.user
        return user is not None and self._sends.ready(user.id, self._context.now_ms)

    def chat(self, session: Session, request: ChatRequest) -> None:
        self._append(session, request, request.to, None)

    def group_chat(self, session: Session, request: GroupChatRequest) -> None:
        self._append(session, request, None, request.group)

    def _append(
        self,
        session: Session,
        request: ChatRequest | GroupChatRequest,
        to: int | str | None,
        group: int | None,
    ) -> None:
        context = self._context
        user = session.user
        assert user is not None
        now_ms = context.now_ms
        if not self._sends.take(user.id, now_ms):
            context.refuse_over_budget(session, request.id, self._sends)
            return
        session.sending.add(request.key)
        append = Append(user.id, to, group, request.text, request.key, now_ms)
        pending = _PendingSend(self, session, request.id, user.name, append)
        context.query(append, pending, session)

    def appended(self, asked: "_PendingSend", outcome: Appended | Failure) -> None:
        """The entry is in the log: all connections are told, and then the other nodes."""
        context = self._context
        session, append, re = asked.session, asked.append, asked.re
        session.sending.discard(append.key)
        answerable = RULES[session.state][_ANSWER].verdict is _ACCEPT
        if isinstance(outcome, Appended):
            conversation, seq = outcome.conversation, outcome.seq
            entry = LogEntry(
                conversation,
                seq,
                _TEXT,
                append.sender,
                asked.sender_name,
                append.text,
                outcome.at_ms,
                append.key,
            )
            sent = encode_sent(re, conversation, seq, outcome.at_ms)
            self._fan_out.appended(session if answerable else None, entry, sent)
            if not self._alone:
                if outcome.recipient is None:
                    channels: tuple[str, ...] = (group_channel(conversation),)
                else:
                    channels = (user_channel(append.sender), user_channel(outcome.recipient))
                context.publish(channels, EntryBusMessage(entry))
        elif answerable:
            if isinstance(outcome, CommitUnknown):
                context.close(session, Input.ANSWER_UNKNOWN)
            else:
                assert isinstance(outcome, Refused), f"{outcome} does not answer {append}"
                context.reply_error(session, outcome.code, re)
        if answerable and session.stopped:
            self._catch_up.resume_stopped(session)
