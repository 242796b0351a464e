"""What people do: chat, write to groups, come and go, make and end friendships and groups."""

import random

from chat.protocol import messages as wire
from sim.cluster.cluster import Cluster
from sim.cluster.device import SimDevice


class People:
    """Keeps the devices of a cluster busy, one act at a time, until `stop`."""

    def __init__(
        self, cluster: Cluster, pause_ms: tuple[int, int] = (20, 1_500), *, texts: int = 0
    ) -> None:
        self._cluster = cluster
        self._chance: random.Random = cluster.world.chance("people")
        self._pause_ms = pause_ms
        self.texts = texts
        """How many texts there were; no two are alike."""
        self._stopped = False
        self.acts: dict[str, int] = {}
        acts = [
            (self._chat, 40),
            (self._group_chat, 30),
            (self._burst, 6),
            (self._sleep, 6),
            (self._wake, 8),
            (self._come_or_go, 5),
            (self._make_group, 1),
            (self._end_group, 1),
            (self._unfriend, 1),
            (self._befriend, 3),
            (self._block, 1),
            (self._look, 4),
            (self._new_device, 1),
        ]
        self._acts = [act for act, _ in acts]
        self._weights = [weight for _, weight in acts]

    def start(self) -> None:
        self._cluster.world.later(self._chance.randint(*self._pause_ms), self._act)

    def stop(self) -> None:
        self._stopped = True

    def _act(self) -> None:
        if self._stopped:
            return
        (act,) = self._chance.choices(self._acts, self._weights)
        devices = list(self._cluster.logged_in())
        if act == self._wake or devices:
            self.acts[act.__name__.strip("_")] = self.acts.get(act.__name__.strip("_"), 0) + 1
            act(self._chance.choice(devices or self._cluster.devices))
        self.start()

    # ------------------------------------------------------------------ texts

    def _text(self) -> str:
        self.texts += 1
        return f"text {self.texts}" + " and more" * self._chance.choice((0, 0, 0, 5, 40))

    def _chat(self, device: SimDevice) -> None:
        friends = sorted(device.session.roster.friends)
        if friends:
            device.say(("user", self._chance.choice(friends)), self._text())

    def _group_chat(self, device: SimDevice) -> None:
        groups = sorted(device.session.roster.groups)
        if groups:
            device.say(("group", self._chance.choice(groups)), self._text())

    def _burst(self, device: SimDevice) -> None:
        for _ in range(self._chance.randint(2, 12)):
            self._chance.choice((self._chat, self._group_chat))(device)

    # ------------------------------------------------------------------ coming and going

    def _sleep(self, device: SimDevice) -> None:
        device.switch_off()

    def _wake(self, device: SimDevice) -> None:
        away = self._cluster.away_for_long
        asleep = [
            device for device in self._cluster.devices if device.away and device.user not in away
        ]
        if asleep:
            self._chance.choice(asleep).switch_on()

    def _new_device(self, device: SimDevice) -> None:
        if len(self._cluster.devices) < 24:
            self._cluster.add_device(device.user)

    # ------------------------------------------------------------------ friends and groups

    def _come_or_go(self, device: SimDevice) -> None:
        group = self._chance.choice(self._cluster.groups)
        if group in device.session.roster.groups and self._chance.random() < 0.5:
            device.ask(wire.LeaveGroupRequest(id=0, group=group))
        else:
            device.ask(wire.JoinGroupRequest(id=0, group=group))

    def _make_group(self, device: SimDevice) -> None:
        device.ask(wire.CreateGroupRequest(id=0, name="a group", description=""))
        self._cluster.world.later(2_000, self._learn_groups, device)

    def _learn_groups(self, device: SimDevice) -> None:
        for group in sorted(device.session.roster.groups):
            if group not in self._cluster.groups:
                self._cluster.groups.append(group)

    def _end_group(self, device: SimDevice) -> None:
        groups = sorted(device.session.roster.groups)
        if len(groups) > 1:
            device.ask(wire.DeleteGroupRequest(id=0, group=self._chance.choice(groups)))

    def _user(self) -> int:
        return self._chance.choice(list(self._cluster.user_ids.values()))

    def _befriend(self, device: SimDevice) -> None:
        asking = sorted(device.session.roster.requests)
        user = self._chance.choice(asking) if asking else self._user()
        device.ask(wire.AddFriendRequest(id=0, user=user))

    def _unfriend(self, device: SimDevice) -> None:
        device.ask(wire.RemoveFriendRequest(id=0, user=self._user()))

    def _block(self, device: SimDevice) -> None:
        kind = self._chance.choice((wire.BlockRequest, wire.UnblockRequest))
        device.ask(kind(id=0, user=self._user()))

    def _look(self, device: SimDevice) -> None:
        requests: list[wire.SnapshotRequest | wire.ProfileRequest | wire.MembersRequest] = [
            wire.SnapshotRequest(id=0),
            wire.ProfileRequest(id=0),
            wire.MembersRequest(id=0, group=self._chance.choice(self._cluster.groups)),
        ]
        device.ask(self._chance.choice(requests))
