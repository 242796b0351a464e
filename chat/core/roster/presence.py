"""Presence: which users are online, as far as it is told to friends.

A user is online while any live node has a session of theirs; the presence directory knows that, by
leases. This node enters a user with the first session and takes the user out with the last,
`presence_flap_ms` later: a quick return is no news. Meanwhile the node stays subscribed to the
user's channel, so that it knows the friends when it is time to tell them. Friends are told over
their channels; what such a bus message fails to tell, anti-entropy finds by asking the directory.
Nothing is routed or allowed by presence.
"""

from collections.abc import Iterable, Sequence
from functools import partial

from chat.core.delivery.subscriptions import Subscriptions
from chat.core.ports.bus_messages import PresenceBusMessage, user_channel
from chat.core.ports.effects import Announce
from chat.core.ports.operations import Failure, FindPresence, PresenceFound
from chat.core.state.context import Context
from chat.core.state.user import LocalUser
from chat.protocol.messages import PresencePush, PresenceState


class Presence:
    """The states of friends, and when users of this node come and go."""

    def __init__(self, context: Context, subscriptions: Subscriptions) -> None:
        self._context = context
        self._subscriptions = subscriptions

    # ------------------------------------------------------------------ users of this node

    def came(self, user: LocalUser) -> None:
        """A session of the user became READY."""
        if user.announced:
            return
        user.announced = True
        self._context.effects.append(Announce(online=(user.id,), offline=()))
        self._publish(user.id, user.friends, PresenceState.ONLINE)

    def went(self, user: LocalUser) -> None:
        """The last session of the user has ended; the user may be back at once."""
        due_ms = user.gone_at_ms = self._context.now_ms + self._context.config.presence_flap_ms
        self._context.deadlines.set(due_ms, partial(self.flap_over, user.id))
        if not user.keeps_channel:
            user.keeps_channel = True
            self._subscriptions.need(user_channel(user.id))

    def flap_over(self, user_id: int) -> None:
        """The time to come back is over."""
        user = self._context.users.get(user_id)
        if user is None or user.sessions or user.authenticating:
            return
        if self._context.now_ms < user.gone_at_ms:
            return
        del self._context.users[user_id]
        self._subscriptions.release(user_channel(user_id))
        if user.announced:
            self._context.effects.append(Announce(online=(), offline=(user_id,)))
            last_seen = partial(self._last_seen, user_id, tuple(user.friends))
            self._context.query(FindPresence((user_id,)), last_seen)

    def _last_seen(
        self,
        user_id: int,
        friends: tuple[int, ...],
        outcome: PresenceFound | Failure,
    ) -> None:
        """Friends are told that a user left, if the user is not online on another node."""
        back = self._context.users.get(user_id)
        elsewhere = isinstance(outcome, PresenceFound) and user_id in outcome.online
        if not elsewhere and (back is None or not back.sessions):
            self._publish(user_id, friends, PresenceState.OFFLINE)

    def announce_all(self) -> None:
        """Enters all users again, for a directory that may have forgotten them."""
        online = tuple(user.id for user in self._context.users.values() if user.announced)
        if online:
            self._context.effects.append(Announce(online=online, offline=()))

    def _publish(self, user_id: int, friends: Iterable[int], state: PresenceState) -> None:
        message = PresenceBusMessage(user_id, state)
        for friend in friends:
            self._context.publish((user_channel(friend),), message)
            self.heard(friend, user_id, state)

    # ------------------------------------------------------------------ friends' states

    def assume(self, user: LocalUser, friend: int) -> None:
        """The state of a new friend as far as this node knows, before the directory is asked."""
        user.states[friend] = self._state(friend, online=False)

    def found(self, user: LocalUser, friend: int, *, online: bool) -> None:
        """What the directory says of a friend."""
        self.heard(user.id, friend, PresenceState.ONLINE if online else PresenceState.OFFLINE)

    def _state(self, user_id: int, *, online: bool) -> PresenceState:
        local = self._context.users.get(user_id)
        here = local is not None and bool(local.sessions)
        return PresenceState.ONLINE if online or here else PresenceState.OFFLINE

    def heard(self, told: int, friend: int, state: PresenceState) -> None:
        """A friend's state for the local user `told`, whose devices are told if it has changed. A
        friend who is connected here is online, whatever was heard."""
        user = self._context.users.get(told)
        if user is None or friend not in user.friends:
            return
        state = self._state(friend, online=state is PresenceState.ONLINE)
        if user.states.get(friend, PresenceState.OFFLINE) != state:
            user.states[friend] = state
            self._context.push(user, PresencePush(user=friend, state=state))

    def find(self, user: LocalUser, friends: Sequence[int]) -> None:
        """Asks the directory for new friends of a user."""
        self._context.query(
            FindPresence(tuple(friends)), partial(self._found, user.id, tuple(friends))
        )

    def _found(
        self, user_id: int, friends: tuple[int, ...], outcome: PresenceFound | Failure
    ) -> None:
        user = self._context.users.get(user_id)
        if user is not None and isinstance(outcome, PresenceFound):
            for friend in friends:
                self.found(user, friend, online=friend in outcome.online)

    def compare(self, users: Iterable[LocalUser]) -> None:
        """Asks the directory for all friends of these users."""
        asked = [user for user in users if user.friends]
        friends = tuple(sorted({friend for user in asked for friend in user.friends}))
        if friends:
            users_asked = tuple(user.id for user in asked)
            self._context.query(
                FindPresence(friends), partial(self._compared, users_asked, friends)
            )

    def _compared(
        self,
        users: tuple[int, ...],
        friends: tuple[int, ...],
        outcome: PresenceFound | Failure,
    ) -> None:
        """The directory answers for `friends`. Nothing is told of a friend who was made since, and
        was not asked for."""
        if not isinstance(outcome, PresenceFound):
            return
        online, asked = set(outcome.online), set(friends)
        for id in users:
            user = self._context.users.get(id)
            if user is not None:
                for friend in user.friends:
                    is_online = friend in online
                    if is_online and user.states.get(friend) is PresenceState.ONLINE:
                        continue  # The common case.
                    if friend in asked:
                        self.found(user, friend, online=is_online)
