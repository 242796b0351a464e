"""All checkers of limits of one run."""

from collections import Counter

from chat.core.node import Node
from chat.core.ports import events as ev
from chat.core.ports.effects import AnyEffect
from chat.core.ports.events import AnyEvent
from sim.checkers.limits.budgets import Budgets
from sim.checkers.limits.connections import Connections
from sim.checkers.limits.pacing import Pacing
from sim.checkers.limits.passwords import Passwords
from sim.checkers.limits.peers import Peers
from sim.checkers.limits.under_way import UnderWay
from sim.cluster.cluster import UNDER_WAY_LIMITS, Cluster
from sim.cluster.host import Host


class _NodeLimits:
    """The models of one node, which are dropped with it."""

    def __init__(self, host: Host, node: Node, limits: "Limits") -> None:
        self.node = node
        config, seen = limits.cluster.config, limits.seen
        self.peers = Peers(host, limits.tokens)
        self.budgets = Budgets(config, limits.cluster.store, self.peers, limits.tokens, seen)
        self.pacing = Pacing(config, node, self.peers, seen)
        self.under_way = UnderWay(config, UNDER_WAY_LIMITS, seen)
        self.passwords = Passwords(config, node, self.under_way, seen)
        self.connections = Connections(config, self.peers, seen)
        self.now_ms = 0

    def check(self, event: AnyEvent, effects: list[AnyEffect], now_ms: int) -> None:
        now_ms = self.now_ms = max(now_ms, self.now_ms)
        if isinstance(event, ev.ConnectionLost):
            lost = self.peers.by_number.get(event.connection)
            if lost is not None:
                self.passwords.lost(lost)
                self.pacing.lost(lost)
        steps = self.peers.follow(event, effects, now_ms)
        self.budgets.check(steps, now_ms)
        self.pacing.check(event, steps, now_ms)
        self.under_way.check(event, effects, steps)
        self.passwords.check(event, effects, steps, now_ms)
        self.connections.check(event, steps, now_ms)


class Limits:
    """Checks each event of each node. `seen` counts the limits that were met."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.seen: Counter[str] = Counter()
        self.tokens: dict[str, int] = {}
        self._nodes: dict[str, _NodeLimits] = {}

    def check(self, host: Host, event: AnyEvent, effects: list[AnyEffect]) -> None:
        node = host.node
        if node is None:
            return
        limits = self._nodes.get(host.name)
        if limits is None or limits.node is not node:
            limits = self._nodes[host.name] = _NodeLimits(host, node, self)
        limits.check(event, effects, host.world.now_ms + host.ahead_ms)
