"""What the person wants said: sends, questions, read marks. Each from its being given to its
outcome.

`say` writes whatever may be said now; replies and errors come back by what waited for them
(chat/client/session/calls.py). An error that waiting helps is waited for, and any other is the
outcome.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from chat.client.session import interface as io
from chat.client.session.calls import Exchange, Mark
from chat.client.session.device import Device
from chat.client.session.outbox import Item, Outbox, Target
from chat.client.session.request_queue import Asked, Questions
from chat.client.session.roster import Roster
from chat.protocol import messages as wire
from chat.protocol.errors import ERRORS, ErrorCode

NOT_KNOWN: Final = (
    "The connection broke before the answer came, so it is not known whether it was done; "
    "look with updatelist."
)
NOT_SENT: Final = "It was not sent, since you logged out before."
MAYBE_SENT: Final = "It is not known whether it was sent, since you logged out before the answer."


class Errands:
    def __init__(
        self, key_prefix: str, exchange: Exchange, tell: Callable[[io.AnyEffect], None]
    ) -> None:
        self.outbox = Outbox(key_prefix)
        self.questions = Questions()
        self._exchange = exchange
        self._tell = tell

    # ------------------------------------------------------------------ given

    def chat(self, event: io.SendChat, roster: Roster) -> None:
        friend = roster.find_friend(event.to)
        target: Target
        if isinstance(event.to, int):
            target = ("user", event.to)
        elif friend is not None:
            target = ("user", friend.id)
        else:
            target = ("name", event.to.lower())
        if _is_unicode(event.text) and _is_unicode(str(event.to)):
            self.outbox.add(event.ref, target, event.to, event.text)
        else:
            self.refuse_send(event, ErrorCode.BAD_MESSAGE)

    def group_chat(self, event: io.SendGroupChat) -> None:
        if _is_unicode(event.text):
            self.outbox.add(event.ref, ("group", event.group), event.group, event.text)
        else:
            self.refuse_send(event, ErrorCode.BAD_MESSAGE)

    def ask(self, event: io.Ask) -> None:
        try:
            msgspec.json.encode(event.request)
        except UnicodeEncodeError:
            self.refuse_ask(event, ErrorCode.BAD_MESSAGE)
        else:
            self.questions.add(event.ref, event.request)

    def refuse_send(self, event: io.SendChat | io.SendGroupChat, code: ErrorCode) -> None:
        self._tell(io.SendFailed(event.ref, "", event.text, code, ERRORS[code].message))

    def refuse_ask(self, event: io.Ask, code: ErrorCode) -> None:
        self._tell(io.RequestFailed(event.ref, event.request, code, ERRORS[code].message))

    # ------------------------------------------------------------------ said

    def say(self, device: Device, most_in_flight: int, now_ms: int) -> None:
        exchange = self._exchange
        asked = self.questions.take(now_ms)
        if asked is not None:
            id = exchange.expect(asked, now_ms)
            exchange.write(msgspec.structs.replace(asked.request, id=id))
        for item in self.outbox.take(now_ms, most_in_flight):
            exchange.write(item.request(exchange.expect(item, now_ms)))
        for conversation, seq in device.marks.take(now_ms):
            exchange.mark(conversation, seq, now_ms)

    def next_deadline_ms(self, device: Device, now_ms: int) -> int | None:
        times = (
            self.outbox.next_deadline_ms(now_ms),
            self.questions.next_deadline_ms(now_ms),
            device.marks.next_deadline_ms(now_ms),
        )
        return min([time for time in times if time is not None], default=None)

    # ------------------------------------------------------------------ done

    def settle(self, item: Item, conversation: int, seq: int) -> None:
        if self.outbox.settle(item):
            self._tell(io.SendSettled(item.ref, item.key, conversation, seq))

    def settle_by_key(self, key: str, conversation: int, seq: int) -> None:
        """The entry of one's own with this key is in the log."""
        item = self.outbox.items.get(key)
        if item is not None:
            self.settle(item, conversation, seq)

    def finish(self, asked: Asked, reply: io.QuestionReply) -> None:
        self.questions.done(asked)
        self._tell(io.RequestDone(asked.ref, asked.request, reply))

    # ------------------------------------------------------------------ refused

    def send_refused(
        self, item: Item, error: wire.ErrorReply, retry_at_ms: int | None, now_ms: int
    ) -> None:
        if retry_at_ms is not None:
            everything = error.code is ErrorCode.RATE_LIMITED
            self.outbox.postpone(item, retry_at_ms, everything=everything)
            self._tell(io.SendDelayed(item.ref, item.key, error.code, retry_at_ms - now_ms))
        elif self.outbox.settle(item):
            self._tell(io.SendFailed(item.ref, item.key, item.text, error.code, error.message))

    def ask_refused(
        self, asked: Asked, error: wire.ErrorReply, retry_at_ms: int | None, device: Device
    ) -> None:
        if asked.was_done_before(error.code):
            self.finish(asked, _reply_by_roster(asked, device))
        elif retry_at_ms is None or not self.questions.postpone(asked, retry_at_ms):
            self.questions.done(asked)
            self._tell(io.RequestFailed(asked.ref, asked.request, error.code, error.message))

    def not_looked_at(self, pending: Item | Asked | Mark) -> None:
        """The node refused without a look, since it does not know who is there."""
        if isinstance(pending, Asked):
            self.questions.put_back(pending)

    # ------------------------------------------------------------------ lost

    def connection_lost(self) -> None:
        self.outbox.connection_lost()
        for asked in self.questions.connection_lost():
            self._tell(io.RequestFailed(asked.ref, asked.request, None, NOT_KNOWN))

    def give_back(self) -> None:
        """Nobody is there any more to send in the name of."""
        for item in self.outbox.clear():
            unknown = item.transmitted
            message = MAYBE_SENT if unknown else NOT_SENT
            self._tell(io.SendFailed(item.ref, item.key, item.text, None, message, unknown))
        for asked in self.questions.clear():
            self._tell(io.RequestFailed(asked.ref, asked.request, None, NOT_KNOWN))


def _reply_by_roster(asked: Asked, device: Device) -> io.QuestionReply:
    """For a request that was done before, when the reply was lost."""
    if isinstance(asked.request, wire.JoinGroupRequest):
        group = device.roster.groups.get(asked.request.group)
        if group is not None:
            return wire.JoinedReply(re=0, group=group)
    return wire.DoneReply(re=0)


def _is_unicode(text: str) -> bool:
    """Whether it has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
