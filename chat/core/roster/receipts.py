"""Read receipts: how far a user has read a conversation, told to the user's other devices and, in a
conversation of two, to the friend. A receipt is best effort: the mark itself is in the store, and
the next roster that is read has it."""

from chat.core.ports.bus_messages import ReceiptBusMessage, user_channel
from chat.core.ports.operations import ReadMarked
from chat.core.state.context import Context
from chat.protocol.messages import ReceiptPush


class Receipts:
    """Tells read marks to the users connected here."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def marked(self, user_id: int, conversation: int, marked: ReadMarked, connection: int) -> None:
        """A user has moved the mark on this connection: every other device is told."""
        message = ReceiptBusMessage(conversation, user_id, marked.seq)
        for told in (user_id,) if marked.other is None else (user_id, marked.other):
            self.heard(told, message, but=connection)
            self._context.publish((user_channel(told),), message)

    def heard(self, told: int, message: ReceiptBusMessage, *, but: int | None = None) -> None:
        """Tells a local user of a read mark, unless that one or a higher one was told before."""
        user = self._context.users.get(told)
        if user is None or not user.sessions:
            return
        reader = (message.conversation, message.user)
        if message.seq > user.receipts.get(reader, 0):
            user.receipts[reader] = message.seq
            push = ReceiptPush(
                conversation=message.conversation, user=message.user, seq=message.seq
            )
            self._context.push(user, push, but=but)
