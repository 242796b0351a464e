"""Who is online, as far as it is told to friends.

A user is online while any live node has them; the presence directory knows, by leases. This node
enters a user with the first session and takes them out with the last, `presence_flap_ms` later: a
quick return is no news. Meanwhile the node still listens to the user's channel, so that it knows
who the friends are when it is time to tell them. Friends are told over their channels; what such
an envelope fails to tell, the sweep finds by asking the directory. Nothing is routed or allowed by
presence.
"""

from collections.abc import Iterable

from chat.core.delivery.subscriptions import Subscriptions
from chat.core.ports.bus_messages import PresenceBusMessage, user_channel
from chat.core.ports.effects import Announce
from chat.core.ports.operations import FindPresence, PresenceFound, PresenceOutcome
from chat.core.state.context import Context
from chat.core.state.pending import LastSeen, StatesCompared
from chat.core.state.user import LocalUser
from chat.protocol.messages import PresencePush, PresenceState


class Presence:
    """The states of friends, and the coming and going of this node's own users."""

    def __init__(self, context: Context, channels: Subscriptions) -> None:
        self._context = context
        self._channels = channels

    # ------------------------------------------------------------------ one's own users

    def came(self, user: LocalUser) -> None:
        """A session of the user became READY."""
        if user.announced:
            return
        user.announced = True
        self._context.effects.append(Announce(online=(user.id,), offline=()))
        self._publish(user.id, user.friends, PresenceState.ONLINE)

    def went(self, user: LocalUser) -> None:
        """The last session of the user is gone; the user may be back at once."""
        due = user.gone_at_ms = self._context.now_ms + self._context.config.presence_flap_ms
        self._context.deadlines.set(due, ("flap", user.id))
        if not user.lingers:
            user.lingers = True
            self._channels.need(user_channel(user.id))

    def flap_over(self, user_id: int) -> None:
        """The time to come back is over."""
        user = self._context.users.get(user_id)
        if user is None or user.sessions or user.entering or self._context.now_ms < user.gone_at_ms:
            return
        del self._context.users[user_id]
        self._channels.release(user_channel(user_id))
        if user.announced:
            self._context.effects.append(Announce(online=(), offline=(user_id,)))
            record = LastSeen(user_id, tuple(user.friends))
            self._context.query(record, FindPresence((user_id,)))

    def last_seen(self, record: LastSeen, outcome: PresenceOutcome) -> None:
        """Friends are told that a user left, if no other node has them."""
        back = self._context.users.get(record.user)
        elsewhere = isinstance(outcome, PresenceFound) and record.user in outcome.online
        if not elsewhere and (back is None or not back.sessions):
            self._publish(record.user, record.friends, PresenceState.OFFLINE)

    def announce_all(self) -> None:
        """Enters all users again, for a directory that may have forgotten them."""
        online = tuple(user.id for user in self._context.users.values() if user.announced)
        if online:
            self._context.effects.append(Announce(online=online, offline=()))

    def _publish(self, user_id: int, friends: Iterable[int], state: PresenceState) -> None:
        envelope = PresenceBusMessage(user_id, state)
        for friend in friends:
            self._context.publish((user_channel(friend),), envelope)
            self.heard(friend, user_id, state)

    # ------------------------------------------------------------------ friends' states

    def guess(self, user: LocalUser, friend: int) -> None:
        """What is known here of a new friend, before the directory is asked."""
        user.states[friend] = self._state(friend, online=False)

    def found(self, user: LocalUser, friend: int, *, online: bool) -> None:
        """What the directory says of a friend."""
        self.heard(user.id, friend, PresenceState.ONLINE if online else PresenceState.OFFLINE)

    def _state(self, user_id: int, *, online: bool) -> PresenceState:
        local = self._context.users.get(user_id)
        here = local is not None and bool(local.sessions)
        return PresenceState.ONLINE if online or here else PresenceState.OFFLINE

    def heard(self, told: int, friend: int, state: PresenceState) -> None:
        """A friend's state, for a local user; told on if it is news. Who is connected here is
        online in any case, and what was heard is old."""
        user = self._context.users.get(told)
        if user is None or friend not in user.friends:
            return
        state = self._state(friend, online=state is PresenceState.ONLINE)
        if user.states.get(friend, PresenceState.OFFLINE) != state:
            user.states[friend] = state
            self._context.push(user, PresencePush(user=friend, state=state))

    def compare(self, users: Iterable[LocalUser]) -> None:
        """Asks the directory for all friends of these users."""
        asked = [user for user in users if user.friends]
        friends = tuple(sorted({friend for user in asked for friend in user.friends}))
        if friends:
            record = StatesCompared(tuple(user.id for user in asked), friends)
            self._context.query(record, FindPresence(friends))

    def compared(self, record: StatesCompared, outcome: PresenceOutcome) -> None:
        """Nothing is said of those who have become friends since, and were not asked for."""
        if not isinstance(outcome, PresenceFound):
            return
        online, asked = set(outcome.online), set(record.friends)
        for id in record.users:
            user = self._context.users.get(id)
            if user is not None:
                for friend in user.friends:
                    is_online = friend in online
                    if is_online and user.states.get(friend) is PresenceState.ONLINE:
                        continue  # The common case.
                    if friend in asked:
                        self.found(user, friend, online=is_online)
