"""Idempotency: an append whose key is stored already is answered by what was stored first.

A key is the name that the sender gives one send (`key` in spec/messages.yaml). The same key with
the same text for the same destination is the same send; with another text or destination it is an
error.
"""

from collections.abc import Sequence
from typing import TypeAlias

from chat.core.ports.operations import Append, Appended, Refused
from chat.protocol.errors import ErrorCode
from chat.storage.append.cache import AppendCache, pair
from chat.storage.append.destinations import Destination, find_pairs
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.backends.sql import derived, flat

Stored: TypeAlias = tuple[int, int, str, int]
"""The entry that has a key: conversation, seq, text, at_ms."""


def find_keys(
    connection: DatabaseConnection, appends: Sequence[Append]
) -> dict[tuple[int, str], Stored]:
    """By sender and key: the entries that are stored under the keys of the appends."""
    wanted = {(append.sender, append.key) for append in appends}
    rows = connection.query(
        "SELECT e.sender_id, e.`key`, e.conversation_id, e.seq, e.text, e.at_ms"
        f" FROM {derived(('sender', 'wanted'), len(wanted))} w"
        " JOIN entries e ON e.sender_id = w.sender AND e.`key` = w.wanted",
        flat(wanted),
    )
    return {
        (sender, key): (conversation, seq, text, at_ms)
        for sender, key, conversation, seq, text, at_ms in rows
    }


def answer_repeated(
    connection: DatabaseConnection,
    cache: AppendCache,
    append: Append,
    destination: Destination,
    first: Stored,
) -> Appended | Refused:
    """The answer to an append whose key is stored: the first entry's seq, or `key_conflict` if that
    was another text or went elsewhere."""
    conversation, recipient = destination
    if conversation is None and recipient is not None:
        # Since the lookup the conversation may have been made, and this append stored in it.
        two = pair(append.sender, recipient)
        conversation = find_pairs(connection, cache, {two}).get(two)
    first_conversation, seq, text, at_ms = first
    if conversation != first_conversation or append.text != text:
        return Refused(ErrorCode.KEY_CONFLICT)
    return Appended(first_conversation, seq, at_ms, recipient, repeated=True)
