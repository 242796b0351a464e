"""The hot path: what a send keeps while the store has not answered it."""

import gc
import weakref

from chat.core.ports import operations as op
from tests.core.node_harness import NodeHarness


def test_a_node_that_is_dropped_with_a_send_under_way_leaves_nothing_behind() -> None:
    """As the nodes do that crash in the simulator."""
    harness = NodeHarness()
    harness.register("ann", "bob")
    harness.friends("ann", "bob")
    ann = harness.login("ann")
    harness.hold_answers = lambda asked: isinstance(asked, op.Append)
    ann.ask("chat", to="bob", text="hello", key="a1")
    harness.run()
    assert harness.held
    part = weakref.ref(harness.nodes[0].node._streams)
    del harness, ann
    gc.collect()
    assert part() is None
