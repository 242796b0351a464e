"""Labels of messages, operations, events and effects: in a few words, and in full.

A label may hold anything that was sent in the run; the page's script inserts it as text only.
"""

import json
import re
from typing import NamedTuple

import msgspec

from chat.client.session.ports import notices
from chat.client.session.ports.effects import AnyEffect as ClientEffect
from chat.client.session.ports.notices import ConnectionChanged
from chat.core.ports import effects as fx
from chat.core.ports import events as ev
from chat.core.ports import operations as op
from chat.core.ports.bus_messages import (
    AnyBusMessage,
    EntryBusMessage,
    ReceiptBusMessage,
    RosterBusMessage,
)
from chat.core.ports.effects import AnyEffect
from chat.core.ports.events import AnyEvent

MAX_TEXT = 40
MAX_FIELD = 80
MAX_DETAIL = 260


class Label(NamedTuple):
    """`text` is a message in a few words, `name` its type, `detail` the whole of it. `entries` are
    those that it concerns: `conversation:seq`, or the key of a text whose seq is not known yet."""

    text: str
    name: str
    detail: str
    entries: tuple[str, ...]


def short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def quote(text: object) -> str:
    return f"“{short(str(text), MAX_TEXT)}”"


def plain(name: str) -> str:
    """EntryApplied -> entry applied"""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()


def in_full(struct: msgspec.Struct) -> str:
    """Name and fields."""
    fields = msgspec.structs.asdict(struct).items()
    values = ", ".join(f"{name} {_value(value)}" for name, value in fields)
    return short(
        f"{plain(type(struct).__name__)}: {values}" if values else _name(struct), MAX_DETAIL
    )


def _name(struct: msgspec.Struct) -> str:
    return plain(type(struct).__name__)


def _value(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()[:16]
    if isinstance(value, str):
        value = short(value, MAX_FIELD)
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False)


# ------------------------------------------------------------------ lines of the protocol


def line(data: bytes) -> Label:
    """Of one line between a client and a node, which need not be valid."""
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        message = None
    detail = short(data.decode("utf-8", "replace").strip(), MAX_DETAIL)
    if not isinstance(message, dict):
        return Label(f"{len(data)} bytes", "bytes", detail, ())
    name = str(message.get("type", "?"))
    entries = _entries(message)
    return Label(_line_text(name, message), name, detail, entries)


def _entries(message: dict[str, object]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    listed = message.get("entries")
    for one in (message, *(listed if isinstance(listed, list) else ())):
        if not isinstance(one, dict):
            continue
        conversation = one.get("conversation", message.get("conversation"))
        if isinstance(conversation, int) and isinstance(one.get("seq"), int):
            found[f"{conversation}:{one['seq']}"] = None
        elif isinstance(one.get("key"), str):
            found[str(one["key"])] = None
    return tuple(found)


def _line_text(name: str, message: dict[str, object]) -> str:
    place = f"{message.get('conversation')}:{message.get('seq')}"
    if name == "chat":
        return f"chat to {message.get('to')} {quote(message.get('text', ''))}"
    if name == "group_chat":
        return f"group_chat in {message.get('group')} {quote(message.get('text', ''))}"
    if name == "message":
        return f"message {place} {quote(message.get('text') or message.get('kind', ''))}"
    if name in ("sent", "mark_read", "read"):
        return f"{name} {place}"
    if name == "error":
        return f"error {message.get('code')}"
    return name


# ------------------------------------------------------------------ the store


def operation(asked: op.AnyOperation) -> Label:
    name = _name(asked)
    if isinstance(asked, op.Append):
        to = f"to {asked.to}" if asked.group is None else f"in group {asked.group}"
        text = f"append {to} {quote(asked.text)}"
        return Label(text, name, in_full(asked), (asked.key,))
    if isinstance(asked, op.ReadLog):
        text = f"read log {asked.conversation} after {asked.after}"
        return Label(text, name, in_full(asked), ())
    if isinstance(asked, op.MarkRead):
        place = f"{asked.conversation}:{asked.seq}"
        return Label(f"mark read {place}", name, in_full(asked), (place,))
    return Label(name, name, in_full(asked), ())


def outcome(result: op.AnyOutcome) -> Label:
    name = _name(result)
    detail = in_full(result)
    if isinstance(result, op.Appended):
        place = f"{result.conversation}:{result.seq}"
        again = ", repeated" if result.repeated else ""
        return Label(f"appended {place}{again}", name, detail, (place,))
    if isinstance(result, op.LogRead | op.HistoryRead | op.GroupChanged):
        places = tuple(f"{entry.conversation}:{entry.seq}" for entry in result.entries)
        return Label(f"{name} {_range(places)}".strip(), name, detail, places)
    if isinstance(result, op.Refused):
        return Label(f"refused: {result.code}", name, detail, ())
    return Label(name, name, detail, ())


def _range(places: tuple[str, ...]) -> str:
    if len(places) < 2:
        return "".join(places)
    return f"{places[0]} to {places[-1]}"


# ------------------------------------------------------------------ the bus


def bus_message(sent: AnyBusMessage) -> Label:
    name = _name(sent).removesuffix(" bus message")
    if isinstance(sent, EntryBusMessage):
        place = f"{sent.entry.conversation}:{sent.entry.seq}"
        return Label(f"entry {place} {quote(sent.entry.text)}", name, in_full(sent), (place,))
    if isinstance(sent, ReceiptBusMessage):
        place = f"{sent.conversation}:{sent.seq}"
        return Label(f"receipt {place} of user {sent.user}", name, in_full(sent), (place,))
    user = sent.change.user if isinstance(sent, RosterBusMessage) else sent.user
    return Label(f"{name} of user {user}", name, in_full(sent), ())


# ------------------------------------------------------------------ events and effects


def event(happened: AnyEvent) -> str:
    """Of an event that carries no message."""
    if isinstance(happened, ev.ConnectionOpened | ev.ConnectionLost):
        return f"{_name(happened)} ({happened.connection})"
    if isinstance(happened, ev.WriteBufferFull | ev.WriteBufferDrained):
        return f"{_name(happened)} ({happened.connection})"
    return _name(happened)


def effect(wanted: AnyEffect) -> str:
    """One line for the list of a node's effects."""
    if isinstance(wanted, fx.Send | fx.Deliver):
        to = (wanted.connection,) if isinstance(wanted, fx.Send) else wanted.connections
        texts = [line(one).text for one in wanted.data.splitlines()]
        more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""
        where = ", ".join(map(str, to))
        return f"{_name(wanted)} to {where}: {', '.join(texts[:3])}{more}"
    if isinstance(wanted, fx.Query):
        return f"query {wanted.ticket}: {operation(wanted.operation).text}"
    if isinstance(wanted, fx.Publish):
        return f"publish on {', '.join(wanted.channels)}: {bus_message(wanted.message).text}"
    return in_full(wanted)


def notice(seen: ClientEffect) -> Label:
    """Of an effect that tells the user something."""
    name, detail = _name(seen), in_full(seen)
    if isinstance(seen, notices.EntryApplied):
        place = f"{seen.conversation}:{seen.entry.seq}"
        text = quote(seen.entry.text or seen.entry.kind)
        return Label(f"applies {place} {text}", name, detail, (place,))
    if isinstance(seen, notices.SendSettled):
        place = f"{seen.conversation}:{seen.seq}"
        return Label(f"send settled as {place}", name, detail, (place,))
    if isinstance(seen, notices.SendFailed | notices.SendDelayed):
        code = seen.code or "unknown"
        return Label(f"{name}: {code}", name, detail, (seen.key,))
    if isinstance(seen, notices.ReadBy):
        place = f"{seen.conversation}:{seen.seq}"
        return Label(f"read by user {seen.user}: {place}", name, detail, (place,))
    if isinstance(seen, ConnectionChanged):
        return Label(f"is {seen.status}", name, detail, ())
    return Label(name, name, detail, ())
