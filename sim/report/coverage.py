"""What runs have reached: the cells of the spec's table, and facts that must be so sometimes.

A check that passes says little if what it checks never came about. So each run notes

- every cell (state × input) of the session table that was looked up, and what came for a session
  that was ending already, which the node drops before it looks anything up;
- named facts, each of which some run must have brought about.

Nodes are watched through their methods, which are wrapped for as long as `watching` lasts; they
do what they did before.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from chat.client.session import interface as io
from chat.core.delivery.fan_out import FanOut
from chat.core.node import Node
from chat.core.ports.events import Answer, Answers, AnyEvent, BytesReceived, Drain
from chat.core.ports.operations import AnyOutcome, Append, Appended, HeadsRead, Unknown
from chat.core.requests.authentication import Authentication
from chat.core.requests.requests import Requests
from chat.core.requests.scheduler import Scheduler
from chat.core.roster.presence import Presence
from chat.core.state.context import Context
from chat.core.state.pending import EntrancePresence, LoginCheck, LogoutAsked, RegisterStore, Waiter
from chat.core.state.session import Session, Waiting
from chat.core.upkeep.anti_entropy import AntiEntropy
from chat.protocol.codec import Problem, decode_request
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import EntryKind
from chat.protocol.rules import REQUEST_INPUT, RULES, Input, State, Verdict
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

REACHABLE = frozenset(
    (state, input)
    for state in State
    for input in Input
    if RULES[state][input].verdict is not Verdict.NEVER
)
_PROBLEMS = {
    ErrorCode.BAD_FRAME: Input.BAD_FRAME,
    ErrorCode.BAD_MESSAGE: Input.BAD_MESSAGE,
    ErrorCode.UNKNOWN_TYPE: Input.UNKNOWN_TYPE,
    ErrorCode.TOO_LONG: Input.TOO_LONG,
}


class Coverage:
    """Counts of one run, or of many."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], int] = {}
        self.facts = dict.fromkeys(FACTS, 0)
        self._limited: set[tuple[str, int]] = set()
        self._left: set[tuple[int, int]] = set()
        self._homes: dict[str, Authentication] = {}
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

    def home(self, token: str, entrance: Authentication) -> None:
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


@contextmanager
def watching(coverage: Coverage) -> Iterator[None]:
    """Everything that happens meanwhile is noted. One at a time in a process."""
    undo: list[Callable[[], None]] = []

    def before(owner: type, name: str, look: Callable[..., None]) -> None:
        """Has `look` called with the arguments of each call of a method."""
        original = getattr(owner, name)

        @wraps(original)
        def watched(*args: Any, **kwargs: Any) -> Any:
            look(*args, **kwargs)
            return original(*args, **kwargs)

        setattr(owner, name, watched)
        undo.append(lambda: setattr(owner, name, original))

    _watch_tables(coverage, before)
    _watch_endings(coverage, before)
    _watch_streams(coverage, before)
    _watch_the_rest(coverage, before)
    try:
        yield
    finally:
        while undo:
            undo.pop()()


Before = Callable[[type, str, Callable[..., None]], None]


def _watch_tables(coverage: Coverage, before: Before) -> None:
    cells = coverage.cells

    def step(session: Session, input: Input, now_ms: int = 0) -> None:
        cell = (session.state, input)
        cells[cell] = cells.get(cell, 0) + 1

    def handed_out(delivery: FanOut, conversation: object, cohort: list[int], *_: object) -> None:
        if cohort:
            coverage.cell(State.READY, Input.ENTRY)

    def deliver(delivery: FanOut, *_: object) -> None:
        coverage.cell(State.READY, Input.ENTRY)

    def took(intake: Scheduler, session: Session, request: Waiting) -> None:
        coverage.cell(session.state, input_of(request))

    def asking(requests: Requests, record: Waiter) -> None:
        session = requests._context.sessions.get(record.connection)
        if session is not None:
            coverage.cell(session.state, Input.ANSWER)

    before(Session, "step", step)
    before(Scheduler, "_take", took)
    before(Requests, "_asking", asking)
    before(Session, "rule", step)
    before(FanOut, "_hand_out", handed_out)
    before(FanOut, "_deliver", deliver)


class _Ending:
    """A session that ends: whose it was, and which conversations it followed."""

    def __init__(self, session: Session) -> None:
        self.user = session.user.id if session.user else None
        self.conversations = frozenset(session.conversations)


def _watch_endings(coverage: Coverage, before: Before) -> None:
    """What comes for a session in CLOSING."""
    endings_of: dict[Context, dict[int, _Ending]] = {}

    def missed(input: Input) -> None:
        coverage.cell(State.CLOSING, input)

    def lines(data: bytes) -> None:
        for line in filter(None, data.split(b"\n")[:-1]):
            missed(Input.TOO_LONG if len(line) > 65_536 else input_of(decode_request(line)))

    def closes(context: Context, session: Session, why: Input, *, abort: bool = False) -> None:
        endings_of.setdefault(context, {})[session.connection] = _Ending(session)
        if session.waiting is not None and why is not Input.DRAINED:
            missed(input_of(session.waiting))

    def bytes_come(intake: Scheduler, event: BytesReceived) -> None:
        session = intake._context.sessions.get(event.connection)
        if session is not None and session.state is State.CLOSING:
            lines(event.data)

    def answered(node: Node, ticket: int, outcome: AnyOutcome) -> None:
        record = node._context.pending.get(ticket)
        if not isinstance(record, Waiter):
            return
        session = node._context.sessions.get(record.connection)
        if session is None or session.state is not State.CLOSING:
            return
        missed(Input.ANSWER)
        if isinstance(outcome, Unknown):
            missed(Input.ANSWER_UNKNOWN)
        elif isinstance(record, EntrancePresence):
            missed(Input.IDENTIFIED)
        elif isinstance(record, RegisterStore | LoginCheck | LogoutAsked):
            missed(Input.UNIDENTIFIED)

    def lost(node: Node, event: Any) -> None:
        endings_of.get(node._context, {}).pop(event.connection, None)

    def pushed(context: Context, user: Any, *_: Any, **__: Any) -> None:
        if user.sessions:
            coverage.cell(State.READY, Input.NEWS)
        for ending in endings_of.get(context, {}).values():
            if ending.user == user.id:
                missed(Input.NEWS)

    def entry(delivery: FanOut, *args: Any) -> None:
        ending_here = endings_of.get(delivery._context)
        if ending_here:
            conversation = args[-1 if len(args) == 1 else 1].conversation
            for ending in ending_here.values():
                if conversation in ending.conversations:
                    missed(Input.ENTRY)

    before(Context, "close", closes)
    before(Scheduler, "received", bytes_come)
    before(Node, "_settle", answered)
    before(Node, "_lost", lost)
    before(Context, "push", pushed)
    before(FanOut, "entry", entry)
    before(FanOut, "appended", entry)


def _watch_streams(coverage: Coverage, before: Before) -> None:
    """Facts of entries on their way."""
    fact = coverage.fact

    def swept(sweep: AntiEntropy, record: Any, outcome: object) -> None:
        if record.sweep and isinstance(outcome, HeadsRead):
            known = sweep._delivery.conversations
            for id, head in outcome.conversations.items():
                if id in known and head > known[id].head and len(known[id]):
                    fact("sweep")

    def envelope(delivery: FanOut, entry: Any) -> None:
        conversation = delivery.conversations.get(entry.conversation)
        if conversation is not None:
            if entry.seq > conversation.head + 1:
                fact("gap")
            elif entry.seq <= conversation.head:
                fact("repeat")

    def released(delivery: FanOut, session: Session) -> None:
        behind = [c.position(session.connection) for c in session.conversations.values()]
        heads = [c.head for c in session.conversations.values()]
        if any(p is not None and p < head for p, head in zip(behind, heads, strict=True)):
            fact("slow")

    def retried(delivery: FanOut) -> None:
        if delivery._failed:
            fact("page")

    def acknowledged(
        delivery: FanOut, session: Session, conversation: Any, seq: int, sent: bytes
    ) -> None:
        position = conversation.position(session.connection)
        if position is not None and position < seq - 1:
            fact("place")

    def unstopped(delivery: FanOut, session: Session) -> None:
        if session.stopped:
            fact("stopped")

    before(AntiEntropy, "compared", swept)
    before(FanOut, "entry", envelope)
    before(FanOut, "release", released)
    before(FanOut, "retry", retried)
    before(FanOut, "_acknowledge", acknowledged)
    before(FanOut, "unstop", unstopped)


def _watch_the_rest(coverage: Coverage, before: Before) -> None:
    """Facts of devices, presence, bus and store."""
    fact = coverage.fact

    def came_in(entrance: Authentication, record: EntrancePresence, outcome: object) -> None:
        coverage.home(record.token, entrance)

    def flapped(presence: Presence, user_id: int) -> None:
        user = presence._context.users.get(user_id)
        if user is not None and user.sessions:
            fact("flap")

    def failed(requests: Any, session: Session, record: object, outcome: object) -> None:
        if isinstance(outcome, Unknown):
            fact("unknown")

    def reply_lost(link: StoreLink, jobs: list[tuple[int, object]]) -> None:
        if isinstance(jobs[0][1], Append):
            fact("batch")

    def taking_turns(intake: Scheduler) -> None:
        sessions = intake._context.sessions
        if any(sessions[connection].state is State.READY for connection in intake._resting):
            fact("rested")

    before(Node, "handle", lambda node, event, now_ms: coverage.node_heard(event))
    before(Authentication, "presence_found", came_in)
    before(Presence, "flap_over", flapped)
    before(Requests, "_fail", failed)
    before(StoreLink, "_lose_reply", reply_lost)
    before(AppendCache, "held", lambda memory, heads: fact("memory"))
    before(AppendCache, "failed", lambda memory: fact("stale"))
    before(Scheduler, "run", taking_turns)
    before(StoreLink, "_run_late", lambda link, operations: fact("late"))
    before(SimBus, "online", coverage.expired)
