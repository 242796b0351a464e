"""The hot path: what a send keeps while the store has not answered it."""

import gc
import weakref

from chat.core.ports import operations as op
from tests.core.node_harness import NodeHarness


def test_a_node_that_is_dropped_with_a_send_under_way_leaves_nothing_behind() -> None:
    """As the nodes do that crash in the simulator."""
    house = NodeHarness()
    house.register("ann", "bob")
    house.friends("ann", "bob")
    ann = house.login("ann")
    house.hold_answers = lambda asked: isinstance(asked, op.Append)
    ann.ask("chat", to="bob", text="hello", key="a1")
    house.run()
    assert house.held
    part = weakref.ref(house.nodes[0].node._streams)
    del house, ann
    gc.collect()
    assert part() is None
