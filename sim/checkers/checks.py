"""All checkers of one run, as an observer of its cluster.

While the run lasts, each write is judged by the audit, each frame by the stream checker and the
checkers of limits, each effect of a device by the safety checker. After the healing `check_healed`
waits for convergence, and at the end `check_end` looks at everything again and at what is left
over.
"""

from chat.client.session.ports.effects import AnyEffect as ClientEffect
from chat.core.ports.effects import AnyEffect
from chat.core.ports.events import AnyEvent
from sim.checkers import Violation
from sim.checkers.audit import Audit
from sim.checkers.limits.limits import Limits
from sim.checkers.liveness import (
    behind,
    roster_differences,
    unmarked,
    unsettled,
    wrong_presence,
)
from sim.checkers.log import Log, check_groups, check_logs
from sim.checkers.safety import Safety
from sim.checkers.snapshot import take_snapshot
from sim.checkers.streams import Streams
from sim.cluster.cluster import Cluster
from sim.cluster.device import SimDevice
from sim.cluster.host import Host

HEAL_MS = 60_000
"""Within this time of the healing every device converges."""
LOOK_EVERY_MS = 2_000
QUIET_MS = 90_000
"""After this time without devices a node keeps no resource for them."""


class Checks:
    """Give it to a cluster as an observer; it belongs to that cluster from then on."""

    cluster: Cluster
    audit: Audit
    log: Log
    streams: Streams
    limits: Limits
    safety: Safety

    # ------------------------------------------------------------------ as an observer

    def attached(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.log = Log(cluster.store.connection)
        self.audit = Audit(cluster.store.connection, cluster.config)
        cluster.store.judge = self.audit.judge
        self.streams = Streams(cluster.config)
        self.limits = Limits(cluster)
        self.safety = Safety(self.log, self.audit, cluster.user_ids)

    def node_handled(self, host: Host, event: AnyEvent, effects: list[AnyEffect]) -> None:
        self.streams.check(host, event, effects)
        self.limits.check(host, event, effects)

    def device_effect(self, device: SimDevice, effect: ClientEffect) -> None:
        self.safety.check(device, effect)

    # ------------------------------------------------------------------ after the faults

    def check_healed(self, *, presence_counts: bool) -> None:
        """Runs the cluster until all has converged. Raises Violation after HEAL_MS."""
        cluster = self.cluster
        healed_at_ms = cluster.world.now_ms
        wrong: list[Violation] = []
        while cluster.world.now_ms < healed_at_ms + HEAL_MS:
            cluster.world.run_for(LOOK_EVERY_MS)
            wrong = list(unsettled(cluster.devices))
            store = take_snapshot(cluster.store.connection, cluster.world.now_ms)
            wrong += behind(cluster.devices, store, cluster.user_ids)
            wrong += roster_differences(cluster.devices, store, cluster.user_ids)
            wrong += unmarked(cluster.devices, store, cluster.user_ids)
            if presence_counts:
                wrong += wrong_presence(cluster.devices, cluster.user_ids)
            if not wrong:
                return
        raise wrong[0]

    def check_end(self) -> None:
        """Checks everything once more; then switches all devices off, waits QUIET_MS, and checks
        that no node has anything left over."""
        cluster = self.cluster
        self.safety.check_all(cluster.devices)
        self.audit.check()
        check_logs(self.log, cluster.store.connection)
        check_groups(cluster.store.connection)
        for device in cluster.devices:
            device.switch_off()
        cluster.world.run_for(QUIET_MS)
        for host in cluster.hosts:
            if host.node is not None:
                left = host.node.resource_counts()
                if left:
                    raise Violation("nothing is left over after quiet", f"{host.name}: {left}")
