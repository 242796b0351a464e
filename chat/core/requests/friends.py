"""Friends: requests for friendship, their end, and blocks.

Each is one transaction, which changes the rosters of one or both users. The rosters are told before
the reply, so that a device knows its new friend when its request is answered.
"""

from chat.core.ports.operations import AddFriend, Block, FriendshipChanged, RemoveFriend, Unblock
from chat.core.requests.calls import Call, Calls, Steps
from chat.core.roster.roster_sync import RosterSync
from chat.protocol.messages import (
    AddFriendRequest,
    BlockRequest,
    DoneReply,
    RemoveFriendRequest,
    UnblockRequest,
)


class Friends:
    """What a user may ask about another user."""

    def __init__(self, calls: Calls, roster_sync: RosterSync) -> None:
        self._roster_sync = roster_sync
        calls.handle(AddFriendRequest, self.add_friend)
        calls.handle(RemoveFriendRequest, self.remove_friend)
        calls.handle(BlockRequest, self.block)
        calls.handle(UnblockRequest, self.unblock)

    def add_friend(self, call: Call, request: AddFriendRequest) -> Steps:
        user = call.user.id
        changed = yield from call.commit(AddFriend(user, request.user, call.now_ms))
        self._tell(call, user, changed)

    def remove_friend(self, call: Call, request: RemoveFriendRequest) -> Steps:
        user = call.user.id
        changed = yield from call.commit(RemoveFriend(user, request.user))
        self._tell(call, user, changed)

    def block(self, call: Call, request: BlockRequest) -> Steps:
        user = call.user.id
        changed = yield from call.commit(Block(user, request.user))
        self._tell(call, user, changed)

    def unblock(self, call: Call, request: UnblockRequest) -> Steps:
        user = call.user.id
        changed = yield from call.commit(Unblock(user, request.user))
        self._tell(call, user, changed)

    def _tell(self, call: Call, user: int, changed: FriendshipChanged) -> None:
        self._roster_sync.changed(user, changed.roster, changed.touched)
        call.reply(DoneReply(re=call.id))
