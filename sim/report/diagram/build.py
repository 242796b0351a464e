"""From the records of a run to its picture.

A line between a client and a node is cut into pieces and may never arrive; its arrow ends where the
reader has its last byte. Both ends count bytes: a line that was written up to byte n of a
connection has arrived when n bytes have. What goes to the store and over the bus is known again by
its identity: the records hold the very operations and envelopes that travelled.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import get_args

from chat.client.session import interface as io
from chat.core.ports import effects as fx
from chat.core.ports import events as ev
from chat.core.ports import operations as op
from chat.core.ports.effects import AnyEffect
from chat.protocol import messages
from sim.cluster.trace import (
    BusRecord,
    DeviceRecord,
    FaultRecord,
    HeardRecord,
    LinkRecord,
    NodeRecord,
    Note,
    Record,
    SessionsRecord,
    SessionView,
    StartRecord,
    StoreRecord,
)
from sim.report.diagram import words
from sim.report.diagram.model import NEVER, NOWHERE, Arrow, Band, Lane, Point
from sim.report.diagram.words import Told

STRANGERS = "strangers"
PUSHES = frozenset(
    str(message.__struct_config__.tag)
    for message in get_args(messages.ServerMessage)
    if message.__name__.endswith("Push")
)
Way = tuple[str, int, bool]
"""A device or node, its number of the connection, and whether it leads to the node."""


@dataclass
class Flow:
    """The lines that were written into one direction of a connection and have not arrived."""

    written: int = 0
    read: int = 0
    under_way: deque[tuple[int, int]] = field(default_factory=deque)
    """Of each line the number of its last byte, and its arrow."""
    begun: bytes = b""

    def write(self, size: int, arrow: int) -> None:
        self.written += size
        self.under_way.append((self.written, arrow))

    def arrive(self, size: int) -> list[int]:
        """The arrows that have arrived with these bytes."""
        self.read += size
        come: list[int] = []
        while self.under_way and self.under_way[0][0] <= self.read:
            come.append(self.under_way.popleft()[1])
        return come


class Builder:
    """Takes the records one after the other."""

    def __init__(self, start_ms: int, lanes: list[Lane]) -> None:
        self.points: list[Point] = []
        self.arrows: list[Arrow] = []
        self.bands: list[Band] = []
        self.keys: dict[str, str] = {}
        self._start_ms = start_ms
        self._lanes = {lane.name: number for number, lane in enumerate(lanes)}
        self._flows: dict[Way, Flow] = {}
        self._links: dict[tuple[str, int], tuple[str, int]] = {}
        """Of a node's connection, the client and its number."""
        self._asked: dict[tuple[str, int], tuple[op.AnyOperation, int]] = {}
        """By node and ticket: what was asked, and its arrow."""
        self._queries: dict[int, int] = {}
        """By the operation's identity, the arrow of its query."""
        self._ran: dict[int, int] = {}
        """By the operation's identity, the point of its last transaction."""
        self._published: dict[tuple[int, str], int] = {}
        self._passed: dict[tuple[int, str], int] = {}

    def add(self, record: Record | Note) -> None:
        at_ms = float(record.at_ms - self._start_ms)
        match record:
            case NodeRecord():
                self._node(at_ms, record)
            case DeviceRecord():
                self._device(at_ms, record)
            case SessionsRecord():
                self._sessions(record)
            case HeardRecord():
                self._heard(at_ms, record)
            case LinkRecord():
                self._link(record)
            case StoreRecord():
                self._store(at_ms, record)
            case BusRecord():
                self._bus(at_ms, record)
            case FaultRecord():
                self._fault(at_ms, record)
            case StartRecord():
                self._start(at_ms, record)

    # ------------------------------------------------------------------ points and arrows

    def _point(
        self,
        at_ms: float,
        lane: str,
        words: str,
        *,
        kind: str = "event",
        detail: str = "",
        entries: Iterable[str] = (),
    ) -> int:
        number = self._lanes.get(lane, NOWHERE)
        point = Point(at_ms, number, kind, words, detail, tuple(dict.fromkeys(entries)))
        self.points.append(point)
        return len(self.points) - 1

    def _leave(self, kind: str, told: Told, source: int, to: str) -> int:
        point = self.points[source]
        target_lane = self._lanes.get(to, NOWHERE)
        arrow = Arrow(
            kind=kind,
            name=told.name,
            words=told.words,
            source_lane=point.lane,
            target_lane=target_lane,
            left_ms=point.at_ms,
            arrived_ms=NEVER,
            source=source,
            target=NOWHERE,
            detail=told.detail,
            entries=told.entries,
        )
        self.arrows.append(arrow)
        self._mention(source, told.entries)
        return len(self.arrows) - 1

    def _arrive(self, arrow: int, target: int) -> None:
        if self.arrows[arrow].target == NOWHERE:
            self.arrows[arrow].target = target
            self.arrows[arrow].arrived_ms = self.points[target].at_ms
        self._mention(target, self.arrows[arrow].entries)

    def _come(self, kind: str, told: Told, source: int, lane: str, target: int) -> None:
        """An arrow that is seen only now that it arrives; perhaps its source is known."""
        point = self.points[target]
        left_ms = self.points[source].at_ms if source != NOWHERE else point.at_ms
        self.arrows.append(
            Arrow(
                kind=kind,
                name=told.name,
                words=told.words,
                source_lane=self._lanes.get(lane, NOWHERE),
                target_lane=point.lane,
                left_ms=left_ms,
                arrived_ms=point.at_ms,
                source=source,
                target=target,
                detail=told.detail,
                entries=told.entries,
            )
        )
        self._mention(target, told.entries)

    def _mention(self, point: int, entries: tuple[str, ...]) -> None:
        have = self.points[point].entries
        self.points[point].entries = tuple(dict.fromkeys((*have, *entries)))

    def _flow(self, name: str, number: int, *, up: bool) -> Flow:
        return self._flows.setdefault((name, number, up), Flow())

    # ------------------------------------------------------------------ devices

    def _device(self, at_ms: float, record: DeviceRecord) -> None:
        effect = record.effect
        if not isinstance(effect, io.Transmit):
            told = words.notice(effect)
            self._point(
                at_ms,
                record.device,
                told.words,
                kind="notice",
                detail=told.detail,
                entries=told.entries,
            )
            return
        lines = effect.data.splitlines(keepends=True)
        told_lines = [words.line(line) for line in lines]
        text = "sends " + ", ".join(told.words for told in told_lines)
        point = self._point(at_ms, record.device, words.short(text, 120))
        flow = self._flow(record.device, effect.connection, up=True)
        for line, told in zip(lines, told_lines, strict=True):
            flow.write(len(line), self._leave("request", told, point, ""))

    def _heard(self, at_ms: float, record: HeardRecord) -> None:
        flow = self._flow(record.device, record.link, up=False)
        come = flow.arrive(len(record.data))
        if not come:
            return
        names = ", ".join(self.arrows[arrow].words for arrow in come)
        point = self._point(at_ms, record.device, words.short(f"hears {names}", 120))
        for arrow in come:
            self._arrive(arrow, point)

    # ------------------------------------------------------------------ nodes

    def _start(self, at_ms: float, record: StartRecord) -> None:
        self._asked = {key: asked for key, asked in self._asked.items() if key[0] != record.node}
        self._point(at_ms, record.node, "boots", detail="It knows nothing of the node before it.")

    def _link(self, record: LinkRecord) -> None:
        self._links[record.node, record.connection] = (record.client, record.link)
        if not record.link:
            return
        flow = self._flow(record.client, record.link, up=True)
        for _, arrow in flow.under_way:
            self.arrows[arrow].target_lane = self._lanes[record.node]

    def _node(self, at_ms: float, record: NodeRecord) -> None:
        event, node = record.event, record.node
        if isinstance(event, ev.Tick) and not record.effects:
            return
        done = [words.effect(effect) for effect in record.effects]
        detail = "\n".join(f"→ {line}" for line in done[:12])
        if len(done) > 12:
            detail += f"\n→ and {len(done) - 12} more"
        point = self._point(at_ms, node, words.event(event), detail=detail)
        if isinstance(event, ev.BytesReceived):
            self._received(event, node, point)
        elif isinstance(event, ev.Answer):
            told = self._answered(event.ticket, event.outcome, node, point)
            self.points[point].words = f"is answered: {told}"
        elif isinstance(event, ev.Answers):
            parts = [self._answered(*answer, node, point) for answer in event.answers]
            self.points[point].words = words.short(f"is answered: {'; '.join(parts)}", 160)
        elif isinstance(event, ev.BusMessageReceived):
            heard = words.envelope(event.envelope)
            self.points[point].words = f"hears on {event.channel}: {heard.words}"
            source = self._passed.get((id(event.envelope), event.channel), NOWHERE)
            self._come("bus", heard, source, "bus", point)
        for effect in record.effects:
            self._effect(effect, node, point)

    def _sessions(self, record: SessionsRecord) -> None:
        last = self.points[-1] if self.points else None
        if last is None or not record.sessions or last.lane != self._lanes.get(record.node):
            return
        if last.at_ms == record.at_ms - self._start_ms:
            told = "\n".join(self._session(record.node, view) for view in record.sessions[:4])
            last.detail = f"{last.detail}\n{told}".strip()

    def _session(self, node: str, view: SessionView) -> str:
        client, _ = self._links.get((node, view.connection), ("?", 0))
        user = "" if view.user is None else f", user {view.user}"
        told = f"session {view.connection} ({client}{user}) is {view.state}"
        for state, places in (("live at", view.live), ("behind at", view.behind)):
            if places:
                listed = " ".join(f"{conversation}:{seq}" for conversation, seq in places.items())
                told += f", {state} {words.short(listed, 60)}"
        return told

    def _received(self, event: ev.BytesReceived, node: str, point: int) -> None:
        client, link = self._links.get((node, event.connection), (STRANGERS, 0))
        if link:
            come = self._flow(client, link, up=True).arrive(len(event.data))
            for arrow in come:
                self.arrows[arrow].target_lane = self._lanes[node]
                self._arrive(arrow, point)
            told = [self.arrows[arrow].words for arrow in come]
        else:
            flow = self._flow(node, event.connection, up=True)
            *lines, flow.begun = (flow.begun + event.data).split(b"\n")
            lines_told = [words.line(line) for line in lines[:20]]
            for one in lines_told:
                self._come("request", one, NOWHERE, STRANGERS, point)
            told = [one.words for one in lines_told]
        names = ", ".join(told) or f"{len(event.data)} bytes of a line"
        self.points[point].words = words.short(f"receives {names}", 120)

    def _answered(self, ticket: int, outcome: op.AnyOutcome, node: str, point: int) -> str:
        """Draws the answer to one query; what it is, in words."""
        told = words.outcome(outcome)
        asked, query = self._asked.pop((node, ticket), (None, NOWHERE))
        if asked is None:
            return told.words
        if isinstance(asked, op.Append):
            if isinstance(outcome, op.Appended):
                self.keys[asked.key] = f"{outcome.conversation}:{outcome.seq}"
            told = told._replace(entries=(*told.entries, asked.key))
        if query == NOWHERE:
            return f"{words.operation(asked).name}, {told.words}"
        if isinstance(asked, op.ReadLog):
            self.arrows[query].entries = told.entries
        if isinstance(asked, op.FindPresence):
            self._come("bus", told, NOWHERE, "bus", point)
        else:
            self._come("answer", told, self._ran.get(id(asked), NOWHERE), "store", point)
        return f"{words.operation(asked).name}, {told.words}"

    def _effect(self, effect: AnyEffect, node: str, point: int) -> None:
        if isinstance(effect, fx.Send):
            self._write(effect.data, (effect.connection,), node, point)
        elif isinstance(effect, fx.Deliver):
            self._write(effect.data, effect.connections, node, point)
        elif isinstance(effect, fx.Query):
            self._query(effect, node, point)
        elif isinstance(effect, fx.Publish):
            told = words.envelope(effect.envelope)
            for channel in effect.channels:
                arrow = self._leave("bus", told, point, "bus")
                self._published[id(effect.envelope), channel] = arrow

    def _write(self, data: bytes, connections: tuple[int, ...], node: str, point: int) -> None:
        lines = data.splitlines(keepends=True)
        told_lines = [words.line(line) for line in lines]
        for connection in connections:
            client, link = self._links.get((node, connection), (STRANGERS, 0))
            for line, told in zip(lines, told_lines, strict=True):
                kind = "push" if told.name in PUSHES else "reply"
                arrow = self._leave(kind, told, point, client if link else STRANGERS)
                if link:
                    self._flow(client, link, up=False).write(len(line), arrow)
                else:
                    self.arrows[arrow].arrived_ms = self.arrows[arrow].left_ms

    def _query(self, effect: fx.Query, node: str, point: int) -> None:
        operation = effect.operation
        told = words.operation(operation)
        arrow = NOWHERE
        if isinstance(operation, op.FindPresence):
            arrow = self._leave("bus", told, point, "bus")
            self.arrows[arrow].arrived_ms = self.arrows[arrow].left_ms
        elif not isinstance(operation, op.HashPassword | op.CheckPassword):
            arrow = self._leave("query", told, point, "store")
            self._queries[id(operation)] = arrow
        self._asked[node, effect.ticket] = (operation, arrow)

    # ------------------------------------------------------------------ store, bus, faults

    def _store(self, at_ms: float, record: StoreRecord) -> None:
        pairs = list(zip(record.operations, record.outcomes, strict=True))
        came = [words.outcome(outcome) for _, outcome in pairs]
        names = [
            f"{words.operation(one).name}: {told.words}"
            for (one, _), told in zip(pairs, came, strict=True)
        ]
        text = words.short(f"for {record.node} {', '.join(names)}", 120)
        detail = "\n".join(f"{told.detail}" for told in came[:8])
        point = self._point(at_ms, "store", text, detail=detail)
        for (operation, outcome), told in zip(pairs, came, strict=True):
            self._ran[id(operation)] = point
            if isinstance(operation, op.Append) and isinstance(outcome, op.Appended):
                self.keys[operation.key] = told.entries[0]
            self._mention(point, told.entries)
            query = self._queries.get(id(operation), NOWHERE)
            if query != NOWHERE:
                self._arrive(query, point)

    def _bus(self, at_ms: float, record: BusRecord) -> None:
        told = words.envelope(record.envelope)
        others = {0: "nobody", 1: "1 node"}.get(record.listeners, f"{record.listeners} nodes")
        text = f"passes {told.words} on {record.channel} to {others}"
        point = self._point(at_ms, "bus", text, detail=told.detail)
        key = (id(record.envelope), record.channel)
        self._passed[key] = point
        arrow = self._published.get(key, NOWHERE)
        if arrow != NOWHERE:
            self._arrive(arrow, point)

    def _fault(self, at_ms: float, record: FaultRecord) -> None:
        name = record.kind.replace("_", " ")
        if record.kind == "healed":
            for band in self.bands:
                band.until_ms = min(band.until_ms, at_ms)
            self._point(at_ms, "", "everything is healed", kind="healed")
            return
        lanes = tuple(self._lanes.get(party, NOWHERE) for party in record.parties)
        until_ms = float(record.until_ms - self._start_ms)
        self.bands.append(Band(name, tuple(n for n in lanes if n != NOWHERE), at_ms, until_ms))
        lasting = f" for {(until_ms - at_ms) / 1_000:.1f} s" if until_ms > at_ms else ""
        text = f"{name}{lasting}: {', '.join(record.parties)}"
        self._point(at_ms, record.parties[0], text, kind="fault")

    # ------------------------------------------------------------------ the end

    def finish(self, end_ms: float) -> None:
        """Puts places for keys, spreads what happened within a ms, and ends what lasts."""
        marks: list[Point | Arrow] = [*self.points, *self.arrows]
        for marked in marks:
            places = (self.keys.get(entry, entry) for entry in marked.entries)
            marked.entries = tuple(dict.fromkeys(places))
        for _, group in groupby(self.points, key=lambda point: point.at_ms):
            together = list(group)
            for place, point in enumerate(together):
                point.at_ms = round(point.at_ms + 0.9 * place / len(together), 3)
        for arrow in self.arrows:
            left = self.points[arrow.source].at_ms if arrow.source != NOWHERE else None
            came = self.points[arrow.target].at_ms if arrow.target != NOWHERE else None
            instant = arrow.arrived_ms == arrow.left_ms
            arrow.left_ms = left if left is not None else came if came is not None else 0.0
            arrow.arrived_ms = came if came is not None else arrow.left_ms if instant else NEVER
        for band in self.bands:
            band.until_ms = min(band.until_ms, end_ms)
