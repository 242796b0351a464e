"""The workload: users who send texts, write to groups, disconnect and reconnect, make and end
friendships and groups, drawn one action at a time.
"""

import random

from chat.protocol import messages
from sim.cluster.cluster import Cluster
from sim.cluster.device import SimDevice

Request = (
    messages.SnapshotRequest
    | messages.ProfileRequest
    | messages.MembersRequest
    | messages.HistoryRequest
)


class Workload:
    """Draws an action for some device, pauses, and draws the next, until `stop`."""

    def __init__(
        self, cluster: Cluster, pause_ms: tuple[int, int] = (20, 1_500), *, texts: int = 0
    ) -> None:
        self._cluster = cluster
        # An older name: another one would make each seed another run.
        self._rng: random.Random = cluster.world.random_stream("people")
        self._pause_ms = pause_ms
        self.texts = texts
        """How many texts there were; each gets another number."""
        self._stopped = False
        actions = [
            (self._chat, 40),
            (self._group_chat, 30),
            (self._burst, 6),
            (self._switch_off, 6),
            (self._switch_on, 8),
            (self._join_or_leave, 5),
            (self._create_group, 1),
            (self._delete_group, 1),
            (self._rename_group, 2),
            (self._remove_friend, 1),
            (self._add_friend, 3),
            (self._block, 1),
            (self._read, 4),
            (self._add_device, 1),
        ]
        self._actions = [action for action, _ in actions]
        self._weights = [weight for _, weight in actions]

    def start(self) -> None:
        self._cluster.world.later(self._rng.randint(*self._pause_ms), self._act_once)

    def stop(self) -> None:
        self._stopped = True

    def _act_once(self) -> None:
        if self._stopped:
            return
        (action,) = self._rng.choices(self._actions, self._weights)
        devices = list(self._cluster.logged_in())
        if action == self._switch_on or devices:
            action(self._rng.choice(devices or self._cluster.devices))
        self.start()

    # ------------------------------------------------------------------ texts

    def _text(self) -> str:
        self.texts += 1
        return f"text {self.texts}" + " and more" * self._rng.choice((0, 0, 0, 5, 40))

    def _chat(self, device: SimDevice) -> None:
        friends = sorted(device.session.roster.friends)
        if friends:
            device.send_text(("user", self._rng.choice(friends)), self._text())

    def _group_chat(self, device: SimDevice) -> None:
        groups = sorted(device.session.roster.groups)
        if groups:
            device.send_text(("group", self._rng.choice(groups)), self._text())

    def _burst(self, device: SimDevice) -> None:
        for _ in range(self._rng.randint(2, 12)):
            self._rng.choice((self._chat, self._group_chat))(device)

    # ------------------------------------------------------------------ connecting

    def _switch_off(self, device: SimDevice) -> None:
        device.switch_off()

    def _switch_on(self, device: SimDevice) -> None:
        absent = self._cluster.absent_users
        asleep = [
            device
            for device in self._cluster.devices
            if device.switched_off and device.user not in absent
        ]
        if asleep:
            self._rng.choice(asleep).switch_on()

    def _add_device(self, device: SimDevice) -> None:
        if len(self._cluster.devices) < 24:
            self._cluster.add_device(device.user)

    # ------------------------------------------------------------------ friends and groups

    def _join_or_leave(self, device: SimDevice) -> None:
        group = self._rng.choice(self._cluster.groups)
        if group in device.session.roster.groups and self._rng.random() < 0.5:
            device.ask(messages.LeaveGroupRequest(id=0, group=group))
        else:
            device.ask(messages.JoinGroupRequest(id=0, group=group))

    def _create_group(self, device: SimDevice) -> None:
        device.ask(messages.CreateGroupRequest(id=0, name="a group", description=""))
        self._cluster.world.later(2_000, self._learn_groups, device)

    def _learn_groups(self, device: SimDevice) -> None:
        for group in sorted(device.session.roster.groups):
            if group not in self._cluster.groups:
                self._cluster.groups.append(group)

    def _delete_group(self, device: SimDevice) -> None:
        groups = sorted(device.session.roster.groups)
        if len(groups) > 1:
            device.ask(messages.DeleteGroupRequest(id=0, group=self._rng.choice(groups)))

    def _rename_group(self, device: SimDevice) -> None:
        groups = sorted(device.session.roster.groups)
        if groups:
            name = f"group {self._rng.randint(1, 4)}"
            group = self._rng.choice(groups)
            device.ask(messages.RenameGroupRequest(id=0, group=group, name=name))

    def _user(self) -> int:
        return self._rng.choice(list(self._cluster.user_ids.values()))

    def _add_friend(self, device: SimDevice) -> None:
        asking = sorted(device.session.roster.requests)
        user = self._rng.choice(asking) if asking else self._user()
        device.ask(messages.AddFriendRequest(id=0, user=user))

    def _remove_friend(self, device: SimDevice) -> None:
        device.ask(messages.RemoveFriendRequest(id=0, user=self._user()))

    def _block(self, device: SimDevice) -> None:
        kind = self._rng.choice((messages.BlockRequest, messages.UnblockRequest))
        device.ask(kind(id=0, user=self._user()))

    def _read(self, device: SimDevice) -> None:
        requests: list[Request] = [
            messages.SnapshotRequest(id=0),
            messages.ProfileRequest(id=0),
            messages.MembersRequest(id=0, group=self._rng.choice(self._cluster.groups)),
            messages.HistoryRequest(id=0, conversation=self._rng.choice(self._cluster.groups)),
        ]
        device.ask(self._rng.choice(requests))
