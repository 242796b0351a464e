"""What the client knows of its user: friends, groups, open requests, and a cursor for each
conversation."""

from msgspec.structs import replace

from chat.core._generated.messages import (
    Friend,
    FriendPush,
    FriendRemovedPush,
    FriendRequestPush,
    Group,
    GroupDeletedPush,
    GroupPush,
    LoggedInReply,
    PresencePush,
    ServerMessage,
    SnapshotReply,
    User,
)


class Roster:
    """Friends and groups as the node last told them. `cursors` holds the last seq applied."""

    def __init__(self) -> None:
        self.friends: dict[int, Friend] = {}
        self.groups: dict[int, Group] = {}
        self.requests: dict[int, User] = {}
        self.cursors: dict[int, int] = {}

    def enter(self, reply: LoggedInReply, *, resumed: bool) -> None:
        """Takes the roster of a login or resume, and starts each cursor where the node does."""
        self._take(reply.friends, reply.groups, reply.requests)
        before, self.cursors = self.cursors, {}
        for friend in reply.friends:
            self._begin(before, resumed, friend.conversation, friend.read, 1, friend.seq)
        for group in reply.groups:
            self._begin(before, resumed, group.id, group.read, group.since, group.seq)

    def _begin(
        self, before: dict[int, int], resumed: bool, id: int, read: int, since: int, head: int
    ) -> None:
        start = before.get(id, read)
        start = min(start, head) if resumed else max(start, read)
        self.cursors[id] = max(start, since - 1)

    def hear(self, push: ServerMessage) -> bool:
        """Takes news in. Whether it was any of this module's."""
        if isinstance(push, FriendPush):
            self.requests.pop(push.friend.id, None)
            self.friends[push.friend.id] = push.friend
            self._at_least(push.friend.conversation, push.friend.read)
        elif isinstance(push, FriendRemovedPush):
            self.requests.pop(push.user.id, None)
            friend = self.friends.pop(push.user.id, None)
            if friend is not None:
                self.cursors.pop(friend.conversation, None)
        elif isinstance(push, FriendRequestPush):
            self.requests[push.user.id] = push.user
        elif isinstance(push, PresencePush):
            if push.user in self.friends:
                self.friends[push.user] = replace(self.friends[push.user], state=push.state)
        elif isinstance(push, GroupPush):
            self.groups[push.group.id] = push.group
            self._at_least(push.group.id, push.group.since - 1)
        elif isinstance(push, GroupDeletedPush):
            self.groups.pop(push.group, None)
            self.cursors.pop(push.group, None)
        elif isinstance(push, SnapshotReply):
            self._take(push.friends, push.groups, push.requests)
        else:
            return False
        return True

    def friend(self, name: int | str) -> Friend | None:
        """The friend of that number or name, whatever its case."""
        if isinstance(name, int):
            return self.friends.get(name)
        wanted = name.lower()
        return next((f for f in self.friends.values() if f.name.lower() == wanted), None)

    def title(self, conversation: int) -> str:
        """What a person calls the conversation."""
        group = self.groups.get(conversation)
        if group is not None:
            return f"group {group.name} ({group.id})"
        for friend in self.friends.values():
            if friend.conversation == conversation:
                return f"{friend.name} ({friend.id})"
        return f"conversation {conversation}"

    def heads(self) -> dict[int, int]:
        """The heads of all conversations, as of the last roster."""
        heads = {friend.conversation: friend.seq for friend in self.friends.values()}
        return heads | {group.id: group.seq for group in self.groups.values()}

    def _take(
        self, friends: tuple[Friend, ...], groups: tuple[Group, ...], requests: tuple[User, ...]
    ) -> None:
        self.friends = {friend.id: friend for friend in friends}
        self.groups = {group.id: group for group in groups}
        self.requests = {user.id: user for user in requests}

    def _at_least(self, conversation: int, cursor: int) -> None:
        self.cursors[conversation] = max(self.cursors.get(conversation, 0), cursor)
