"""Whose turn it is to be compared with the store."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chat.core.ports import operations as op
from chat.core.ports.effects import Query
from chat.core.upkeep.anti_entropy import STEP_MS
from tests.core.node_harness import UNAVAILABLE, NodeHarness, Peer

SWEEP_MS = 4_000
names = st.sampled_from(["bob", "cyd", "dan", "eve", "fay", "gus"])


def turns_of(harness: NodeHarness, user: int) -> list[int]:
    """When the user's roster was compared."""
    return [
        now_ms
        for _, now_ms, effects in harness.nodes[0].log
        for effect in effects
        if isinstance(effect, Query) and isinstance(effect.operation, op.ReadHeads)
        if user in effect.operation.users
    ]


@given(steps=st.lists(st.lists(names, max_size=3), min_size=8, max_size=24))
def test_whoever_stays_has_a_turn_in_time_whoever_comes_and_goes(steps: list[list[str]]) -> None:
    harness = NodeHarness(anti_entropy_ms=SWEEP_MS, presence_flap_ms=0)
    ids = harness.register("ann", "bob", "cyd", "dan", "eve", "fay", "gus")
    harness.login("ann")
    here: dict[str, Peer] = {}
    turns: list[int] = [harness.now_ms]
    for step in steps:
        for name in step:
            if name in here:
                here.pop(name).hang_up()
            else:
                here[name] = harness.login(name)
        harness.nodes[0].log.clear()
        harness.pass_time(STEP_MS)
        turns += turns_of(harness, ids[0])
    gaps = [later - sooner for sooner, later in pairwise([*turns, harness.now_ms])]
    assert max(gaps) <= SWEEP_MS + STEP_MS


def test_a_turn_that_could_not_be_read_comes_again_at_the_next_step() -> None:
    harness = NodeHarness(anti_entropy_ms=SWEEP_MS)
    (ann,) = harness.register("ann")
    harness.login("ann")
    fails = [True]

    def fail(operation: op.AnyOperation) -> op.AnyOutcome | None:
        is_asked = isinstance(operation, op.ReadHeads) and ann in operation.users
        return UNAVAILABLE if is_asked and fails and fails.pop() else None

    harness.fail = fail
    harness.nodes[0].log.clear()
    harness.pass_time(SWEEP_MS)
    asked = turns_of(harness, ann)
    assert asked[1] - asked[0] == STEP_MS
    assert not fails
