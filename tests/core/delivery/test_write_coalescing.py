"""Write coalescing: each connection gets what it would get if every effect were written at once,
and a flush does bounded work."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from chat.core.delivery.write_coalescing import Flush, WriteCoalescer
from chat.core.ports.effects import Close, Deliver, Send

SHARED_FROM, LARGE_FROM, LARGE_PER_FLUSH, PAUSE_MS = 2, 5, 2, 7
CONNECTIONS = range(1, 9)
AUDIENCES = [
    *[(one,) for one in CONNECTIONS],
    (1, 2),
    (2, 3, 4),
    (5, 6, 7, 8),
    (1, 2, 3, 4, 5),
    (4, 3, 8, 6, 5, 7),
    tuple(CONNECTIONS),
]
"""The same tuples again and again, as the node has them: some shared, some large."""

Step = Send | Deliver | Close | int | str


def small() -> WriteCoalescer:
    return WriteCoalescer(
        shared_from=SHARED_FROM,
        large_from=LARGE_FROM,
        large_per_flush=LARGE_PER_FLUSH,
        large_pause_ms=PAUSE_MS,
    )


def parts(flush: Flush) -> list[tuple[int, bytes]]:
    """The single writes of a flush."""
    return [*((one, flush.shared_data) for one in flush.shared), *flush.writes.items()]


class Run:
    """A coalescer called as its module says, beside what writing at once would give."""

    def __init__(self) -> None:
        self.coalescer = small()
        self.expected = dict.fromkeys(CONNECTIONS, b"")
        self.written = dict.fromkeys(CONNECTIONS, b"")
        self.since: Counter[int] = Counter()
        """How many connections were sent something other than a large fan-out since the last
        flush."""
        self.pausing = False

    def take(self, step: Step) -> None:
        match step:
            case Send():
                self.coalescer.send(step)
                self.expected[step.connection] += step.data
                self.since[step.connection] += 1
            case Deliver():
                self.coalescer.deliver(step)
                for connection in step.connections:
                    self.expected[connection] += step.data
                if len(step.connections) < LARGE_FROM:
                    self.since.update(step.connections)
            case Close():
                data = self.coalescer.close(step)
                self.written[step.connection] += data
                if step.abort:
                    assert not data
                    assert self.expected[step.connection].startswith(self.written[step.connection])
                    self.expected[step.connection] = self.written[step.connection]
                assert not self.coalescer.holds(step.connection)
            case int():
                self.flush(step)
            case "pause is over":
                self.end_pause()
        self.check()

    def flush(self, unanswered_jobs: int) -> None:
        flush = self.coalescer.flush(unanswered_jobs)
        writes = parts(flush)
        assert len({connection for connection, _ in writes}) == len(writes)
        assert len(writes) <= len(self.since) + LARGE_PER_FLUSH
        for connection, data in writes:
            assert data
            self.written[connection] += data
        self.since.clear()
        if flush.pause_ms is not None:
            assert flush.pause_ms == PAUSE_MS
            assert unanswered_jobs
            assert not self.pausing
            self.pausing = True

    def end_pause(self) -> None:
        if self.pausing:
            self.pausing = False
            self.coalescer.end_pause()

    def check(self) -> None:
        for connection in CONNECTIONS:
            assert self.expected[connection].startswith(self.written[connection])
            missing = self.written[connection] != self.expected[connection]
            assert self.coalescer.holds(connection) == missing
            assert self.coalescer.flush_due or self.pausing or not missing

    def finish(self) -> None:
        for _ in range(2 * len(CONNECTIONS)):
            if self.coalescer.flush_due:
                self.flush(1)
            self.end_pause()
        assert self.written == self.expected
        assert not parts(self.coalescer.flush(0))


def numbered(steps: Sequence[tuple[int, ...] | Close | int | str]) -> list[Step]:
    """An effect for each audience, with data that no other one has."""
    made: list[Step] = []
    for number, step in enumerate(steps):
        data = b"%d\n" % number
        if isinstance(step, tuple):
            made.append(Send(step[0], data) if len(step) == 1 else Deliver(step, data))
        else:
            made.append(step)
    return made


@given(
    st.lists(
        st.sampled_from(AUDIENCES)
        | st.builds(Close, st.sampled_from(CONNECTIONS), st.booleans())
        | st.integers(0, 1)
        | st.just("pause is over"),
        max_size=40,
    )
)
def test_each_connection_gets_the_bytes_of_its_effects_in_order(
    steps: list[tuple[int, ...] | Close | int | str],
) -> None:
    """A tuple: an effect for these connections; a number: a flush with that number of unanswered
    jobs."""
    run = Run()
    for step in numbered(steps):
        run.take(step)
    run.finish()


def test_what_was_sent_in_a_turn_is_one_write() -> None:
    coalescer = WriteCoalescer()
    for data in (b"a", b"b", b"c"):
        coalescer.send(Send(1, data))
    coalescer.send(Send(2, b"d"))
    assert coalescer.flush_due
    flush = coalescer.flush(0)
    assert flush == Flush({1: b"abc", 2: b"d"}, (), b"", None)
    assert not coalescer.flush_due


def test_a_shared_write_is_joined_once_for_all_its_connections() -> None:
    coalescer = WriteCoalescer()
    audience = tuple(range(1, 9))
    coalescer.deliver(Deliver(audience, b"a"))
    coalescer.deliver(Deliver(audience, b"b"))
    flush = coalescer.flush(0)
    assert flush.shared is audience
    assert flush.shared_data == b"ab"
    assert not flush.writes


def test_a_shared_write_comes_behind_what_a_connection_has_and_before_what_follows() -> None:
    coalescer = small()
    coalescer.send(Send(1, b"a"))
    coalescer.deliver(Deliver((1, 2, 3), b"b"))
    assert coalescer.flush(0) == Flush({1: b"ab"}, (2, 3), b"b", None)
    coalescer.deliver(Deliver((1, 2, 3), b"c"))
    coalescer.send(Send(2, b"d"))
    assert coalescer.flush(0) == Flush({1: b"c", 2: b"cd", 3: b"c"}, (), b"", None)


def test_a_large_fan_out_pauses_only_while_jobs_are_unanswered() -> None:
    coalescer = small()
    coalescer.deliver(Deliver((1, 2, 3, 4, 5), b"a"))
    assert coalescer.flush(1) == Flush({}, (1, 2), b"a", PAUSE_MS)
    assert not coalescer.flush_due
    coalescer.send(Send(5, b"b"))
    coalescer.send(Send(6, b"c"))
    assert coalescer.flush(1) == Flush({6: b"c"}, (), b"", None)
    coalescer.end_pause()
    assert coalescer.flush_due
    assert coalescer.flush(0) == Flush({3: b"a", 4: b"a"}, (), b"", None)
    assert coalescer.flush_due
    assert coalescer.flush(0) == Flush({5: b"ab"}, (), b"", None)
    assert not coalescer.flush_due


def test_a_close_writes_what_is_buffered_and_an_abort_drops_it() -> None:
    coalescer = small()
    coalescer.send(Send(1, b"a"))
    coalescer.deliver(Deliver((1, 2, 3), b"b"))
    assert coalescer.close(Close(1)) == b"ab"
    assert coalescer.close(Close(2, abort=True)) == b""
    assert coalescer.flush(0) == Flush({3: b"b"}, (), b"", None)


def test_what_is_buffered_for_a_lost_connection_is_dropped() -> None:
    coalescer = small()
    coalescer.send(Send(1, b"a"))
    coalescer.deliver(Deliver((1, 2, 3, 4, 5), b"b"))
    coalescer.drop(1)
    coalescer.drop(2)
    assert coalescer.flush(0) == Flush({3: b"b"}, (), b"", None)
    assert coalescer.flush(0) == Flush({}, (4, 5), b"b", None)
