"""Account: what a user may ask about oneself, and whether the node is there."""

from chat.core.ports.operations import ReadProfile, ReadRoster
from chat.core.requests.calls import Call, Calls, Steps
from chat.core.roster.roster_sync import RosterSync
from chat.core.state.context import Context
from chat.core.state.session import Session
from chat.protocol.codec import encode
from chat.protocol.messages import (
    PingRequest,
    PongReply,
    ProfileReply,
    ProfileRequest,
    SnapshotReply,
    SnapshotRequest,
)


class Account:
    """Profile, snapshot and ping."""

    def __init__(self, context: Context, calls: Calls, roster_sync: RosterSync) -> None:
        self._context = context
        self._roster_sync = roster_sync
        calls.handle(ProfileRequest, self.profile)
        calls.handle(SnapshotRequest, self.snapshot)
        calls.handle_at_once(PingRequest, self.ping)

    def profile(self, call: Call, request: ProfileRequest) -> Steps:
        read = yield from call.ask(ReadProfile(call.user.id))
        call.reply(
            ProfileReply(
                re=request.id,
                user=read.user,
                registered_at=read.registered_at_ms,
                devices=read.devices,
                friends=read.friends,
                groups=read.groups,
            )
        )

    def snapshot(self, call: Call, request: SnapshotRequest) -> Steps:
        read = yield from call.ask(ReadRoster(call.user.id))
        yield from call.turn(len(read.roster.friends) + len(read.roster.groups))
        user = call.user
        self._roster_sync.apply(user, read.roster)
        # A group that the log has told this connection it has left may still be in the roster.
        attached = call.session.conversations
        snapshot = SnapshotReply(
            re=request.id,
            friends=user.friends_in_order(),
            groups=tuple(group for group in user.groups_in_order() if group.id in attached),
            requests=tuple(user.requests.values()),
        )
        call.charge_rows(len(snapshot.friends) + len(snapshot.groups))
        call.reply(snapshot)

    def ping(self, session: Session, request: PingRequest) -> None:
        self._context.reply(session, encode(PongReply(re=request.id)))
