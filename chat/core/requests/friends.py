"""Friends: requests for friendship, their end, and blocks.

Each is one transaction, which changes the rosters of one or both users. The rosters are told before
the reply, so that a device knows its new friend when its request is answered.
"""

from collections.abc import Sequence

from chat.core.ports.operations import (
    AddFriend,
    Block,
    FriendshipChanged,
    ReadRoster,
    RemoveFriend,
    RosterRead,
    Unblock,
)
from chat.core.ports.rosters import RosterChange
from chat.core.requests.calls import Call, Calls, Steps
from chat.core.roster.roster_sync import RosterSync
from chat.core.state.context import Context
from chat.protocol.messages import (
    AddFriendRequest,
    BlockRequest,
    DoneReply,
    RemoveFriendRequest,
    UnblockRequest,
)


class Friends:
    """What a user may ask about another user."""

    def __init__(self, context: Context, calls: Calls, roster_sync: RosterSync) -> None:
        self._context = context
        self._roster_sync = roster_sync
        calls.handle(AddFriendRequest, self.add_friend)
        calls.handle(RemoveFriendRequest, self.remove_friend)
        calls.handle(BlockRequest, self.block)
        calls.handle(UnblockRequest, self.unblock)

    def add_friend(self, call: Call, request: AddFriendRequest) -> Steps:
        config = self._context.config
        made, received = config.open_requests_made, config.open_requests_received
        add = AddFriend(call.user.id, request.user, call.now_ms, made, received)
        yield from self._tell(call, (yield from call.commit(add)))

    def remove_friend(self, call: Call, request: RemoveFriendRequest) -> Steps:
        remove = RemoveFriend(call.user.id, request.user)
        yield from self._tell(call, (yield from call.commit(remove)))

    def block(self, call: Call, request: BlockRequest) -> Steps:
        yield from call.commit(Block(call.user.id, request.user))
        call.reply(DoneReply(re=request.id))

    def unblock(self, call: Call, request: UnblockRequest) -> Steps:
        yield from call.commit(Unblock(call.user.id, request.user))
        call.reply(DoneReply(re=request.id))

    def _tell(self, call: Call, changed: FriendshipChanged) -> Steps:
        self._roster_sync.changed(changed.changes)
        yield from complete_own_roster(call, self._roster_sync, changed.changes)
        call.reply(DoneReply(re=call.id))


def complete_own_roster(
    call: Call, roster_sync: RosterSync, changes: Sequence[RosterChange]
) -> Steps:
    """Reads the asking user's roster if one of these changes could not be applied to it, because an
    earlier one has not come to this node. So the devices are told of the change before the
    reply."""
    user = call.session.user
    if user is None or not roster_sync.lacks(user, changes):
        return
    read = yield from call.attempt(ReadRoster(user.id))
    if isinstance(read, RosterRead):
        roster_sync.apply(user, read.roster)
