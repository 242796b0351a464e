"""History: pages of a conversation, and read marks."""

from typing import Final

from chat.core.ports.operations import LogEntry, MarkRead, ReadHistory
from chat.core.requests.calls import Call, Calls, Refusal, Steps
from chat.core.requests.large_replies import LargeReplies
from chat.core.roster.receipts import Receipts
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import (
    DoneReply,
    EntriesReply,
    Entry,
    HistoryRequest,
    MarkReadRequest,
    User,
)

ROW_LETTERS: Final = 200
"""A text counts as another row of a reply for each of these."""


class History:
    """What a user may ask about a log."""

    def __init__(self, calls: Calls, receipts: Receipts, large_replies: LargeReplies) -> None:
        self._receipts = receipts
        self._large_replies = large_replies
        calls.handle(HistoryRequest, self.history)
        calls.handle(MarkReadRequest, self.mark_read)

    def history(self, call: Call, request: HistoryRequest) -> Steps:
        if request.before is not None and request.after is not None:
            raise Refusal(ErrorCode.BAD_MESSAGE, "Give `before` or `after`, not both.")
        user, conversation = call.user.id, request.conversation
        page = ReadHistory(user, conversation, request.before, request.after, request.limit)
        yield from call.turn()
        read = yield from call.ask(page)
        rows = sum([1 + len(entry.text) // ROW_LETTERS for entry in read.entries])
        self._large_replies.made(rows)
        call.charge_rows(rows)
        entries = tuple(_entry(entry, user) for entry in read.entries)
        call.reply(
            EntriesReply(re=request.id, conversation=conversation, entries=entries, more=read.more)
        )

    def mark_read(self, call: Call, request: MarkReadRequest) -> Steps:
        user, conversation = call.user.id, request.conversation
        marked = yield from call.commit(MarkRead(user, conversation, request.seq))
        self._receipts.marked(user, conversation, marked, call.session.connection)
        call.reply(DoneReply(re=request.id))


def _entry(entry: LogEntry, reader: int) -> Entry:
    return Entry(
        seq=entry.seq,
        kind=entry.kind,
        from_=User(id=entry.sender, name=entry.sender_name),
        text=entry.text,
        at=entry.at_ms,
        key=entry.key if entry.sender == reader else None,
    )
