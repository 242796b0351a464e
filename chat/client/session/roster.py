"""The user's friends, groups and open friend requests, as far as this device knows them.

The roster is filled by `logged_in` and `snapshot`, and kept up to date by pushes. Each method gives
the notices of what it changed, so a change is told once, by whatever message it was learnt.
"""

import msgspec

from chat.client.session.ports.notices import (
    FriendAdded,
    FriendRemoved,
    FriendRequested,
    GroupAdded,
    GroupChanged,
    GroupRemoved,
    PresenceChanged,
    RequestWithdrawn,
    RosterNotice,
)
from chat.protocol.messages import (
    Friend,
    Group,
    LoggedInReply,
    PresenceState,
    SnapshotReply,
    User,
)


class Roster:
    """`friends` by user number, `groups` by group number, `requests` by user number.

    `conversations` has every friend and group that the device has heard of since the login, by
    conversation, as last known: a conversation keeps its title after the friendship or the
    membership has ended.
    """

    def __init__(self) -> None:
        self.user: User | None = None
        self.friends: dict[int, Friend] = {}
        self.groups: dict[int, Group] = {}
        self.requests: dict[int, User] = {}
        self.conversations: dict[int, Friend | Group] = {}
        self._names: dict[str, int] = {}

    # ------------------------------------------------------------------ reading

    def find_friend(self, user: int | str) -> Friend | None:
        """By number, or by name in any case."""
        if isinstance(user, str):
            number = self._names.get(user.lower())
            return None if number is None else self.friends.get(number)
        return self.friends.get(user)

    def find_groups(self, group: int | str) -> list[Group]:
        """By number, or all groups of this name; if there are none, of this name in any case."""
        if isinstance(group, int):
            return [self.groups[group]] if group in self.groups else []
        named = [one for one in self.groups.values() if one.name == group]
        return named or [
            one for one in self.groups.values() if one.name.casefold() == group.casefold()
        ]

    def friend_of(self, conversation: int) -> Friend | None:
        partner = self.conversations.get(conversation)
        return self.friends.get(partner.id) if isinstance(partner, Friend) else None

    # ------------------------------------------------------------------ changing

    def replace(self, all: LoggedInReply | SnapshotReply) -> list[RosterNotice]:
        """Takes the complete roster from a reply."""
        notices: list[RosterNotice] = []
        friends = {friend.id: friend for friend in all.friends}
        groups = {group.id: group for group in all.groups}
        requests = {user.id: user for user in all.requests}
        for friend in [*self.friends.values()]:
            if friend.id not in friends:
                notices += self.remove_friend(User(id=friend.id, name=friend.name))
        for user in [*self.requests.values()]:
            if user.id not in requests and user.id not in friends:
                notices += self.remove_friend(user)
        for group in [*self.groups.values()]:
            if group.id not in groups:
                notices += self.remove_group(group.id)
        for friend in all.friends:
            notices += self.put_friend(friend)
        for group in all.groups:
            notices += self.put_group(group)
        for user in all.requests:
            notices += self.put_request(user)
        self.friends = {id: self.friends[id] for id in friends}
        self.groups = {id: self.groups[id] for id in groups}
        return notices

    def put_friend(self, friend: Friend) -> list[RosterNotice]:
        self.requests.pop(friend.id, None)
        before = self.friends.get(friend.id)
        self.friends[friend.id] = friend
        self._names[friend.name.lower()] = friend.id
        self.conversations[friend.conversation] = friend
        if before is None:
            return [FriendAdded(friend)]
        self.friends[friend.id] = msgspec.structs.replace(
            friend, seq=max(before.seq, friend.seq), read=max(before.read, friend.read)
        )
        return [] if before.state is friend.state else [PresenceChanged(friend)]

    def remove_friend(self, user: User) -> list[RosterNotice]:
        """Removes a friend, or a friend request."""
        if self.requests.pop(user.id, None) is not None:
            return [RequestWithdrawn(user)]
        friend = self.friends.pop(user.id, None)
        return [] if friend is None else [FriendRemoved(friend)]

    def put_request(self, user: User) -> list[RosterNotice]:
        if user.id in self.requests:
            return []
        self.requests[user.id] = user
        return [FriendRequested(user)]

    def put_group(self, group: Group) -> list[RosterNotice]:
        self.conversations[group.id] = group
        before = self.groups.get(group.id)
        if before is None:
            self.groups[group.id] = group
            return [GroupAdded(group)]
        self.groups[group.id] = msgspec.structs.replace(
            group, seq=max(before.seq, group.seq), read=max(before.read, group.read)
        )
        return [GroupChanged(group)] if _properties(before) != _properties(group) else []

    def remove_group(self, id: int) -> list[RosterNotice]:
        group = self.groups.pop(id, None)
        return [] if group is None else [GroupRemoved(group)]

    def put_state(self, user: int, state: PresenceState) -> list[RosterNotice]:
        friend = self.friends.get(user)
        if friend is None or friend.state is state:
            return []
        friend = self.friends[user] = msgspec.structs.replace(friend, state=state)
        return [PresenceChanged(friend)]

    def advance_head(self, conversation: int, seq: int) -> None:
        """The conversation's head is at least this."""
        self._advance(conversation, seq, 0)

    def advance_read(self, conversation: int, read: int) -> None:
        """The user has read the conversation at least up to here."""
        self._advance(conversation, 0, read)

    def _advance(self, conversation: int, seq: int, read: int) -> None:
        group = self.groups.get(conversation)
        if group is not None:
            self.groups[conversation] = msgspec.structs.replace(
                group, seq=max(group.seq, seq), read=max(group.read, read)
            )
            return
        friend = self.friend_of(conversation)
        if friend is not None:
            self.friends[friend.id] = msgspec.structs.replace(
                friend, seq=max(friend.seq, seq), read=max(friend.read, read)
            )


def _properties(group: Group) -> tuple[str, str, str, int]:
    """What GroupChanged tells of; not the head and the read mark, which change all the time."""
    return group.name, group.description, group.role, group.since
