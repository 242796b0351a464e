"""From the records of a run to the points, arrows and bands of its diagram.

A line between a client and a node is cut into pieces and may never arrive; its arrow ends where the
reader has its last byte. Both ends count bytes: a line that was written up to byte n of a
connection has arrived when n bytes have. Operations and bus messages are recognised by identity:
the records hold the very objects that travelled.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import get_args

from chat.client.session.ports.effects import Transmit
from chat.core.ports import effects as fx
from chat.core.ports import events as ev
from chat.core.ports import operations as op
from chat.core.ports.effects import AnyEffect
from chat.protocol import messages
from sim.cluster.trace import (
    AcceptRecord,
    BusRecord,
    DeviceRecord,
    FaultRecord,
    NodeRecord,
    Note,
    ReceivedRecord,
    Record,
    SessionsRecord,
    SessionView,
    StartRecord,
    StoreRecord,
)
from sim.report.diagram import labels
from sim.report.diagram.labels import Label
from sim.report.diagram.model import NEVER, NOWHERE, Arrow, Band, Lane, Point

ADVERSARY = "adversary"
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
        arrived: list[int] = []
        while self.under_way and self.under_way[0][0] <= self.read:
            arrived.append(self.under_way.popleft()[1])
        return arrived


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
        self._clients: dict[tuple[str, int], tuple[str, int]] = {}
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
            case ReceivedRecord():
                self._receive(at_ms, record)
            case AcceptRecord():
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
        text: str,
        *,
        kind: str = "event",
        detail: str = "",
        entries: Iterable[str] = (),
    ) -> int:
        number = self._lanes.get(lane, NOWHERE)
        point = Point(at_ms, number, kind, text, detail, tuple(dict.fromkeys(entries)))
        self.points.append(point)
        return len(self.points) - 1

    def _leave(self, kind: str, label: Label, source: int, to: str) -> int:
        point = self.points[source]
        target_lane = self._lanes.get(to, NOWHERE)
        arrow = Arrow(
            kind=kind,
            name=label.name,
            label=label.text,
            source_lane=point.lane,
            target_lane=target_lane,
            left_ms=point.at_ms,
            arrived_ms=NEVER,
            source=source,
            target=NOWHERE,
            detail=label.detail,
            entries=label.entries,
        )
        self.arrows.append(arrow)
        self._mention(source, label.entries)
        return len(self.arrows) - 1

    def _arrive(self, arrow: int, target: int) -> None:
        if self.arrows[arrow].target == NOWHERE:
            self.arrows[arrow].target = target
            self.arrows[arrow].arrived_ms = self.points[target].at_ms
        self._mention(target, self.arrows[arrow].entries)

    def _arrived(self, kind: str, label: Label, source: int, lane: str, target: int) -> None:
        """An arrow that is seen only now that it arrives; perhaps its source is known."""
        point = self.points[target]
        left_ms = self.points[source].at_ms if source != NOWHERE else point.at_ms
        self.arrows.append(
            Arrow(
                kind=kind,
                name=label.name,
                label=label.text,
                source_lane=self._lanes.get(lane, NOWHERE),
                target_lane=point.lane,
                left_ms=left_ms,
                arrived_ms=point.at_ms,
                source=source,
                target=target,
                detail=label.detail,
                entries=label.entries,
            )
        )
        self._mention(target, label.entries)

    def _mention(self, point: int, entries: tuple[str, ...]) -> None:
        have = self.points[point].entries
        self.points[point].entries = tuple(dict.fromkeys((*have, *entries)))

    def _flow(self, name: str, number: int, *, up: bool) -> Flow:
        return self._flows.setdefault((name, number, up), Flow())

    # ------------------------------------------------------------------ devices

    def _device(self, at_ms: float, record: DeviceRecord) -> None:
        effect = record.effect
        if not isinstance(effect, Transmit):
            label = labels.notice(effect)
            self._point(
                at_ms,
                record.device,
                label.text,
                kind="notice",
                detail=label.detail,
                entries=label.entries,
            )
            return
        lines = effect.data.splitlines(keepends=True)
        line_labels = [labels.line(line) for line in lines]
        text = "sends " + ", ".join(label.text for label in line_labels)
        point = self._point(at_ms, record.device, labels.short(text, 120))
        flow = self._flow(record.device, effect.connection, up=True)
        for line, label in zip(lines, line_labels, strict=True):
            flow.write(len(line), self._leave("request", label, point, ""))

    def _receive(self, at_ms: float, record: ReceivedRecord) -> None:
        flow = self._flow(record.device, record.client_number, up=False)
        arrived = flow.arrive(len(record.data))
        if not arrived:
            return
        names = ", ".join(self.arrows[arrow].label for arrow in arrived)
        point = self._point(at_ms, record.device, labels.short(f"receives {names}", 120))
        for arrow in arrived:
            self._arrive(arrow, point)

    # ------------------------------------------------------------------ nodes

    def _start(self, at_ms: float, record: StartRecord) -> None:
        self._asked = {key: asked for key, asked in self._asked.items() if key[0] != record.node}
        self._point(at_ms, record.node, "boots", detail="It knows nothing of the node before it.")

    def _link(self, record: AcceptRecord) -> None:
        self._clients[record.node, record.connection] = (record.client, record.client_number)
        if not record.client_number:
            return
        flow = self._flow(record.client, record.client_number, up=True)
        for _, arrow in flow.under_way:
            self.arrows[arrow].target_lane = self._lanes[record.node]

    def _node(self, at_ms: float, record: NodeRecord) -> None:
        event, node = record.event, record.node
        if isinstance(event, ev.Tick) and not record.effects:
            return
        done = [labels.effect(effect) for effect in record.effects]
        detail = "\n".join(f"→ {line}" for line in done[:12])
        if len(done) > 12:
            detail += f"\n→ and {len(done) - 12} more"
        point = self._point(at_ms, node, labels.event(event), detail=detail)
        if isinstance(event, ev.BytesReceived):
            self._received(event, node, point)
        elif isinstance(event, ev.Answer):
            answer = self._answered(event.ticket, event.outcome, node, point)
            self.points[point].label = f"is answered: {answer}"
        elif isinstance(event, ev.Answers):
            parts = [self._answered(*answer, node, point) for answer in event.answers]
            self.points[point].label = labels.short(f"is answered: {'; '.join(parts)}", 160)
        elif isinstance(event, ev.BusMessageReceived):
            label = labels.bus_message(event.message)
            self.points[point].label = f"receives on {event.channel}: {label.text}"
            source = self._passed.get((id(event.message), event.channel), NOWHERE)
            self._arrived("bus", label, source, "bus", point)
        for effect in record.effects:
            self._effect(effect, node, point)

    def _sessions(self, record: SessionsRecord) -> None:
        last = self.points[-1] if self.points else None
        if last is None or not record.sessions or last.lane != self._lanes.get(record.node):
            return
        if last.at_ms == record.at_ms - self._start_ms:
            sessions = "\n".join(self._session(record.node, view) for view in record.sessions[:4])
            last.detail = f"{last.detail}\n{sessions}".strip()

    def _session(self, node: str, view: SessionView) -> str:
        client, _ = self._clients.get((node, view.connection), ("?", 0))
        user = "" if view.user is None else f", user {view.user}"
        text = f"session {view.connection} ({client}{user}) is {view.state}"
        for state, places in (("live at", view.live), ("behind at", view.behind)):
            if places:
                listed = " ".join(f"{conversation}:{seq}" for conversation, seq in places.items())
                text += f", {state} {labels.short(listed, 60)}"
        return text

    def _received(self, event: ev.BytesReceived, node: str, point: int) -> None:
        client, number = self._clients.get((node, event.connection), (ADVERSARY, 0))
        if number:
            arrived = self._flow(client, number, up=True).arrive(len(event.data))
            for arrow in arrived:
                self.arrows[arrow].target_lane = self._lanes[node]
                self._arrive(arrow, point)
            texts = [self.arrows[arrow].label for arrow in arrived]
        else:
            flow = self._flow(node, event.connection, up=True)
            *lines, flow.begun = (flow.begun + event.data).split(b"\n")
            line_labels = [labels.line(line) for line in lines[:20]]
            for label in line_labels:
                self._arrived("request", label, NOWHERE, ADVERSARY, point)
            texts = [label.text for label in line_labels]
        names = ", ".join(texts) or f"{len(event.data)} bytes of a line"
        self.points[point].label = labels.short(f"receives {names}", 120)

    def _answered(self, ticket: int, outcome: op.AnyOutcome, node: str, point: int) -> str:
        """Draws the answer to one query; what it is, in words."""
        label = labels.outcome(outcome)
        asked, query = self._asked.pop((node, ticket), (None, NOWHERE))
        if asked is None:
            return label.text
        if isinstance(asked, op.Append):
            if isinstance(outcome, op.Appended):
                self.keys[asked.key] = f"{outcome.conversation}:{outcome.seq}"
            label = label._replace(entries=(*label.entries, asked.key))
        if query == NOWHERE:
            return f"{labels.operation(asked).name}, {label.text}"
        if isinstance(asked, op.ReadLog):
            self.arrows[query].entries = label.entries
        if isinstance(asked, op.FindPresence):
            self._arrived("bus", label, NOWHERE, "bus", point)
        else:
            self._arrived("answer", label, self._ran.get(id(asked), NOWHERE), "store", point)
        return f"{labels.operation(asked).name}, {label.text}"

    def _effect(self, effect: AnyEffect, node: str, point: int) -> None:
        if isinstance(effect, fx.Send):
            self._write(effect.data, (effect.connection,), node, point)
        elif isinstance(effect, fx.Deliver):
            self._write(effect.data, effect.connections, node, point)
        elif isinstance(effect, fx.Query):
            self._query(effect, node, point)
        elif isinstance(effect, fx.Publish):
            label = labels.bus_message(effect.message)
            for channel in effect.channels:
                arrow = self._leave("bus", label, point, "bus")
                self._published[id(effect.message), channel] = arrow

    def _write(self, data: bytes, connections: tuple[int, ...], node: str, point: int) -> None:
        lines = data.splitlines(keepends=True)
        line_labels = [labels.line(line) for line in lines]
        for connection in connections:
            client, number = self._clients.get((node, connection), (ADVERSARY, 0))
            for line, label in zip(lines, line_labels, strict=True):
                kind = "push" if label.name in PUSHES else "reply"
                arrow = self._leave(kind, label, point, client if number else ADVERSARY)
                if number:
                    self._flow(client, number, up=False).write(len(line), arrow)
                else:
                    self.arrows[arrow].arrived_ms = self.arrows[arrow].left_ms

    def _query(self, effect: fx.Query, node: str, point: int) -> None:
        operation = effect.operation
        label = labels.operation(operation)
        arrow = NOWHERE
        if isinstance(operation, op.FindPresence):
            arrow = self._leave("bus", label, point, "bus")
            self.arrows[arrow].arrived_ms = self.arrows[arrow].left_ms
        elif not isinstance(operation, op.HashPassword | op.CheckPassword):
            arrow = self._leave("query", label, point, "store")
            self._queries[id(operation)] = arrow
        self._asked[node, effect.ticket] = (operation, arrow)

    # ------------------------------------------------------------------ store, bus, faults

    def _store(self, at_ms: float, record: StoreRecord) -> None:
        pairs = list(zip(record.operations, record.outcomes, strict=True))
        results = [labels.outcome(outcome) for _, outcome in pairs]
        names = [
            f"{labels.operation(one).name}: {label.text}"
            for (one, _), label in zip(pairs, results, strict=True)
        ]
        text = labels.short(f"for {record.node} {', '.join(names)}", 120)
        detail = "\n".join(label.detail for label in results[:8])
        point = self._point(at_ms, "store", text, detail=detail)
        for (operation, outcome), label in zip(pairs, results, strict=True):
            self._ran[id(operation)] = point
            if isinstance(operation, op.Append) and isinstance(outcome, op.Appended):
                self.keys[operation.key] = label.entries[0]
            self._mention(point, label.entries)
            query = self._queries.get(id(operation), NOWHERE)
            if query != NOWHERE:
                self._arrive(query, point)

    def _bus(self, at_ms: float, record: BusRecord) -> None:
        label = labels.bus_message(record.message)
        others = {0: "no node", 1: "1 node"}.get(record.listeners, f"{record.listeners} nodes")
        text = f"passes {label.text} on {record.channel} to {others}"
        point = self._point(at_ms, "bus", text, detail=label.detail)
        key = (id(record.message), record.channel)
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
            arrived = self.points[arrow.target].at_ms if arrow.target != NOWHERE else None
            instant = arrow.arrived_ms == arrow.left_ms
            arrow.left_ms = left if left is not None else arrived if arrived is not None else 0.0
            arrow.arrived_ms = (
                arrived if arrived is not None else arrow.left_ms if instant else NEVER
            )
        for band in self.bands:
            band.until_ms = min(band.until_ms, end_ms)
