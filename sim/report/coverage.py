"""What runs have reached: the cells of the spec's table, and facts that must be so sometimes.

A check that passes says little if what it checks never came about. So each run notes

- every cell (state × input) of the session table that was looked up, and what came for a session
  that was ending already, which the node drops before it looks anything up;
- named facts, each of which some run must have brought about.

Nodes are watched through their methods, which are wrapped for as long as `watching` lasts; they
do what they did before.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

from chat.client.session import interface as io
from chat.core.node import Node
from chat.core.ports.events import Answer, Answers, AnyEvent, Drain
from chat.core.ports.operations import AnyOutcome, Append, Appended
from chat.core.state.session import Waiting
from chat.protocol.codec import Problem
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import EntryKind
from chat.protocol.rules import REQUEST_INPUT, RULES, Input, Rule, State, Verdict
from chat.storage.append.cache import AppendCache
from sim.cluster.bus import BusPort, SimBus
from sim.cluster.device import SimDevice
from sim.cluster.store import StoreLink

FACTS = {
    "sweep": "a gap was healed by the sweep",
    "gap": "a lost envelope was found by the next one",
    "repeat": "an envelope came again, or too late, and was passed over",
    "batch": "a batch was run again after a lost reply",
    "memory": "a batch went by what its node remembered",
    "stale": "what a node remembered of a conversation was not so any more",
    "rested": "somebody who was logged in had more to ask than there was room for in a turn",
    "slow": "a slow reader went behind and came back",
    "page": "a page of the log could not be read and was asked for again",
    "place": "a `sent` waited for its place in the stream",
    "stopped": "a stream stopped before an entry whose sender had no answer yet",
    "resent": "a send was sent again under its key and got the first seq",
    "moved": "a device was resumed on another node",
    "drained": "a node was drained",
    "rejoined": "somebody left a group and joined it again",
    "late": "a commit came after its caller had given up",
    "limited": "a send over the limit was kept and sent later",
    "refused": "a send was refused for good and given back",
    "flap": "a short absence was no news to friends",
    "lease": "a presence lease ran out",
    "unknown": "nobody knew whether a request was carried out, and its connection ended",
}
"""By a short name: what must come about sometimes."""

_PROBLEMS = {
    ErrorCode.BAD_FRAME: Input.BAD_FRAME,
    ErrorCode.BAD_MESSAGE: Input.BAD_MESSAGE,
    ErrorCode.UNKNOWN_TYPE: Input.UNKNOWN_TYPE,
    ErrorCode.TOO_LONG: Input.TOO_LONG,
}
_OF_LINES = {*REQUEST_INPUT.values(), *_PROBLEMS.values()}
REACHABLE = frozenset(
    (state, input)
    for state in State
    for input in Input
    if RULES[state][input].verdict is not Verdict.NEVER
    # Where bytes are ignored no line is cut from them.
    and not (input in _OF_LINES and RULES[state][Input.BYTES].verdict is Verdict.IGNORE)
)


class Coverage:
    """Counts of one run, or of many."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], int] = {}
        self.facts = dict.fromkeys(FACTS, 0)
        self._limited: set[tuple[str, int]] = set()
        self._left: set[tuple[int, int]] = set()
        self._homes: dict[str, object] = {}
        self._expired: dict[BusPort, int] = {}

    def cell(self, state: State, input: Input) -> None:
        cell = (int(state), int(input))
        self.cells[cell] = self.cells.get(cell, 0) + 1

    def fact(self, name: str) -> None:
        self.facts[name] += 1

    def merge(self, cells: dict[tuple[int, int], int], facts: dict[str, int]) -> None:
        for cell, count in cells.items():
            self.cells[cell] = self.cells.get(cell, 0) + count
        for name, count in facts.items():
            self.facts[name] += count

    def missing_cells(self) -> list[str]:
        """The reachable cells that were not reached, as `STATE × input`."""
        missing = sorted(REACHABLE - {(State(s), Input(i)) for s, i in self.cells})
        return [f"{state.name} × {input.name.lower()}" for state, input in missing]

    def missing_facts(self) -> list[str]:
        return [sentence for name, sentence in FACTS.items() if not self.facts[name]]

    # ------------------------------------------------------------------ what is seen from outside

    def node_heard(self, event: AnyEvent) -> None:
        if isinstance(event, Answer):
            self._answered(event.outcome)
        elif isinstance(event, Answers):
            for _, outcome in event.answers:
                self._answered(outcome)
        elif isinstance(event, Drain):
            self.fact("drained")

    def _answered(self, outcome: AnyOutcome) -> None:
        if isinstance(outcome, Appended) and outcome.repeated:
            self.fact("resent")

    def device_did(self, device: SimDevice, effect: io.AnyEffect) -> None:
        if isinstance(effect, io.SendDelayed) and effect.code is ErrorCode.RATE_LIMITED:
            self._limited.add((device.name, effect.ref))
        elif isinstance(effect, io.SendSettled) and (device.name, effect.ref) in self._limited:
            self._limited.discard((device.name, effect.ref))
            self.fact("limited")
        elif isinstance(effect, io.SendFailed) and effect.code is not None:
            self.fact("refused")
        elif isinstance(effect, io.EntryApplied):
            member = (effect.conversation, effect.entry.from_.id)
            if effect.entry.kind is EntryKind.LEFT:
                self._left.add(member)
            elif effect.entry.kind is EntryKind.JOINED and member in self._left:
                self._left.discard(member)
                self.fact("rejoined")

    def home(self, token: str, entrance: object) -> None:
        """A device was let in there."""
        if self._homes.get(token, entrance) is not entrance:
            self.fact("moved")
        self._homes[token] = entrance

    def expired(self, bus: SimBus) -> None:
        """The leases are looked at."""
        for port, (until_ms, users) in bus.leases.items():
            if until_ms <= bus.world.now_ms and users and self._expired.get(port) != until_ms:
                self._expired[port] = until_ms
                self.fact("lease")


def input_of(waiting: Waiting) -> Input:
    """What a line is to the table."""
    if isinstance(waiting, Problem):
        return _PROBLEMS[waiting.code]
    return REQUEST_INPUT[type(waiting)]


# ------------------------------------------------------------------ watching


class CountingRow(Sequence[Rule]):
    """The row of one state, which counts each look-up of a cell."""

    def __init__(
        self, state: State, row: Sequence[Rule], cells: dict[tuple[int, int], int]
    ) -> None:
        self._keys = [(int(state), int(input)) for input in Input]
        self._row = row
        self._cells = cells

    def __getitem__(self, input: Any) -> Any:
        key = self._keys[input]
        self._cells[key] = self._cells.get(key, 0) + 1
        return self._row[input]

    def __len__(self) -> int:
        return len(self._row)


@contextmanager
def watching(coverage: Coverage) -> Iterator[None]:
    """Everything that happens meanwhile is noted. One at a time in a process."""
    undo: list[Callable[[], None]] = []
    rows = list(RULES)
    RULES[:] = [CountingRow(State(at), row, coverage.cells) for at, row in enumerate(rows)]

    def before(owner: type, name: str, look: Callable[..., None]) -> None:
        original = getattr(owner, name)

        @wraps(original)
        def watched(*args: Any, **kwargs: Any) -> Any:
            look(*args, **kwargs)
            return original(*args, **kwargs)

        setattr(owner, name, watched)
        undo.append(lambda: setattr(owner, name, original))

    fact = coverage.fact

    def reply_lost(link: StoreLink, jobs: list[tuple[int, object]]) -> None:
        if isinstance(jobs[0][1], Append):
            fact("batch")

    before(Node, "handle", lambda node, event, now_ms: coverage.node_heard(event))
    before(StoreLink, "_lose_reply", reply_lost)
    before(AppendCache, "held", lambda memory, heads: fact("memory"))
    before(AppendCache, "failed", lambda memory: fact("stale"))
    before(StoreLink, "_run_late", lambda link, operations: fact("late"))
    before(SimBus, "online", coverage.expired)
    try:
        yield
    finally:
        RULES[:] = rows
        while undo:
            undo.pop()()
