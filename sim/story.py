"""Stories: a cluster driven by lines a person can read, write and paste.

    people ann bob            who there is; they are friends, and all in one group
    ann on node-1             a device of Ann's, put through to that node; the first is ann-1
    ann-1 says bob: hello     to a friend
    ann-1 says all: hello     to the group
    ann-1 joins, ann-1 leaves the group
    ann-1 sleeps, ann-1 wakes
    reset ann-1               the connection is gone, and both ends hear of it
    half-open ann-1           only the node hears of it; half-open node of ann-1: only the client
    stop ann-1, go ann-1      the connection carries nothing; carries again
    slow ann-1, fast ann-1    the client reads slowly; as fast as it comes
    crash node-1, start node-1, pause node-1, resume node-1, drain node-1
    stop store, start store, stop bus, start bus
    cut store node-1, mend store node-1, cut bus node-1, mend bus node-1
    lose replies, keep replies        of commits, to the node that asked
    lose envelopes, keep envelopes
    slow reads, fast reads            of the store: a second longer on their way; no longer
    wait 500                  ms pass
    heal                      everything works again, and within a minute all must be well

`Story.do` carries a line out and gives what the people saw meanwhile, a line each. Violations of
the contract are raised as they are in any run.
"""

import re
from collections.abc import Callable
from typing import Final

from chat.client import interface as io
from chat.core import operations as op
from chat.core._generated import messages as wire
from sim.cluster import Cluster
from sim.device import SimDevice
from sim.faults import Faults
from sim.host import Host
from sim.run import check_end, check_healed

NODES: Final = 2
SLOW_READ_MS: Final = 1_000


class Story:
    """One cluster of two nodes, and the lines that were done."""

    def __init__(self, seed: int = 0) -> None:
        self.cluster = Cluster(seed, nodes=NODES, devices=0)
        self.cluster.fragments = 0.0
        self.cluster.latency_ms = (1, 1)
        self.cluster.seen = self._saw
        self.done: list[str] = []
        self._output: list[str] = []
        self._names: dict[int, str] = {}
        self._verbs: list[tuple[str, Callable[..., None]]] = [
            (r"people (.+)", self._people),
            (r"(\w+) on (node-\d)", self._device),
            (r"(\S+) says all: (.+)", self._say_all),
            (r"(\S+) says (\w+): (.+)", self._say),
            (r"(\S+) (joins|leaves)", self._come_or_go),
            (r"(\S+) (sleeps|wakes)", self._sleep),
            (r"(reset|half-open|half-open node of) (\S+-\d+)", self._break),
            (r"(stop|go|slow|fast) (\w+-\d+)", self._hinder),
            (r"(crash|start|pause|resume|drain) (node-\d)", self._host_verb),
            (r"(stop|start) (store|bus)", self._server),
            (r"(cut|mend) (store|bus) (node-\d)", self._cut),
            (r"(lose|keep) (replies|envelopes)", self._lose),
            (r"(slow|fast) reads", self._read),
            (r"wait (\d+)", self._wait),
            (r"heal", self._heal),
        ]

    def do(self, line: str) -> list[str]:
        """Carries a line out. What was seen by the people since the last line."""
        self.done.append(line)
        for pattern, act in self._verbs:
            found = re.fullmatch(pattern, line)
            if found:
                act(*found.groups())
                output, self._output = self._output, []
                return output
        raise ValueError(f"{line!r} is no line of a story")

    def text(self) -> str:
        """The lines that were done: a story to paste."""
        return "\n".join(f"> {line}" for line in self.done)

    # ------------------------------------------------------------------ what is seen

    def _saw(self, device: SimDevice, effect: io.AnyEffect) -> None:
        if isinstance(effect, io.EntryApplied):
            entry = effect.entry
            what = entry.text if entry.kind == "text" else str(entry.kind)
            place = f"{effect.conversation}/{entry.seq}"
            self._output.append(f"{device.name} sees {place} {entry.from_.name}: {what}")
        elif isinstance(effect, io.SendSettled):
            text = device.said[effect.ref].text
            self._output.append(f"{device.name} sent {effect.conversation}/{effect.seq} {text}")
        elif isinstance(effect, io.SendFailed):
            self._output.append(f"{device.name} could not send {effect.text}: {effect.code}")
        elif isinstance(effect, io.LoggedIn):
            self._output.append(f"{device.name} is {'back' if effect.again else 'logged in'}")
        elif isinstance(effect, io.ConnectionState) and effect.state is io.Link.WAITING:
            self._output.append(f"{device.name} lost its connection")

    # ------------------------------------------------------------------ people and devices

    def _people(self, names: str) -> None:
        self.cluster.found(names.split())
        self._names = {number: name for name, number in self.cluster.user_ids.items()}

    def _device(self, user: str, node: str) -> None:
        self.cluster.only_node = self._host(node)
        self.cluster.add_device(user)
        self.cluster.world.run_for(200)

    def _of(self, name: str) -> SimDevice:
        return next(device for device in self.cluster.devices if device.name == name)

    def _host(self, name: str) -> Host:
        return next(host for host in self.cluster.hosts if host.name == name)

    def _say(self, device: str, to: str, text: str) -> None:
        self._of(device).say(("user", self.cluster.user_ids[to]), text)
        self.cluster.world.run_for(0)

    def _say_all(self, device: str, text: str) -> None:
        self._of(device).say(("group", self.cluster.groups[0]), text)
        self.cluster.world.run_for(0)

    def _come_or_go(self, device: str, what: str) -> None:
        group = self.cluster.groups[0]
        if what == "joins":
            self._of(device).ask(wire.JoinGroupRequest(id=0, group=group))
        else:
            self._of(device).ask(wire.LeaveGroupRequest(id=0, group=group))

    def _sleep(self, device: str, what: str) -> None:
        if what == "sleeps":
            self._of(device).switch_off()
        else:
            self._of(device).switch_on()

    # ------------------------------------------------------------------ trouble

    def _break(self, how: str, device: str) -> None:
        wire_of = self._of(device).wire
        if wire_of is not None:
            wire_of.reset(client_hears=how != "half-open", node_hears=how != "half-open node of")

    def _hinder(self, how: str, device: str) -> None:
        wire_of = self._of(device).wire
        if wire_of is None:
            return
        for pipe in (wire_of.up, wire_of.down):
            if how == "stop":
                pipe.stopped = True
            elif how == "go":
                pipe.resume()
        if how in ("slow", "fast"):
            wire_of.down.bytes_per_ms = 1 if how == "slow" else None
            if how == "fast":
                wire_of.down.resume()

    def _host_verb(self, verb: str, name: str) -> None:
        host = self._host(name)
        if verb == "start" and host.node is None:
            host.start()
        elif verb != "start" and host.node is not None:
            act: Callable[[], None] = getattr(host, verb)
            act()

    def _server(self, verb: str, which: str) -> None:
        if which == "store":
            self.cluster.store.up = verb == "start"
        elif verb == "start":
            self.cluster.bus.start()
        else:
            self.cluster.bus.stop()

    def _cut(self, verb: str, which: str, name: str) -> None:
        host = self._host(name)
        if host.node is None:
            return
        if which == "store":
            host.store_link.cut = verb == "cut"
            return
        if verb == "cut" and not host.port.cut:
            host.port.cut = True
            host.port.server_lost()
        host.port.cut = verb == "cut"

    def _lose(self, verb: str, what: str) -> None:
        likely = 1.0 if verb == "lose" else 0.0
        if what == "replies":
            self.cluster.store.faults.lost_reply = likely
        else:
            self.cluster.bus.faults.lost = likely

    def _read(self, how: str) -> None:
        wait_ms = SLOW_READ_MS if how == "slow" else 0
        self.cluster.store.faults.read_ms = (wait_ms, wait_ms)

    # ------------------------------------------------------------------ time

    def _wait(self, ms: str) -> None:
        self.cluster.world.run_for(int(ms))

    def _heal(self) -> None:
        self.cluster.only_node = None
        Faults(self.cluster, []).heal()
        check_healed(self.cluster, presence_counts=True)
        check_end(self.cluster)

    def log(self) -> list[str]:
        """The group's log, as the store has it."""
        read = self.cluster.ask_store(op.ReadLog(self.cluster.groups[0], 0, 1_000))
        assert isinstance(read, op.LogRead)
        return [f"{entry.seq} {entry.sender_name}: {entry.text}" for entry in read.entries]
