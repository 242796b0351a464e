"""The text for a command that is done: a sentence, or the table that was asked for."""

from chat.client.session.ports import notices
from chat.client.session.ports.requests import QueuedReply, QueuedRequest
from chat.client.session.roster import Roster
from chat.client.terminal import rendering
from chat.client.terminal.commands import Parsed
from chat.client.terminal.rendering import Clock
from chat.protocol import messages as wire


def outcome(
    parsed: Parsed, request: QueuedRequest, reply: QueuedReply, roster: Roster, clock: Clock
) -> str:
    """`request` is the request that was made of the command."""
    match reply:
        case wire.ProfileReply():
            return rendering.profile(reply, clock)
        case wire.SnapshotReply():
            return rendering.roster_lists(roster)
        case wire.MembersReply():
            return rendering.members(reply.group, reply.members, roster)
        case wire.EntriesReply():
            return rendering.history(reply.conversation, reply.entries, reply.more, roster, clock)
        case wire.GroupCreatedReply():
            group = reply.group
            title = rendering.group_title(group)
            return f"You made the group {title}; others join it with joingroup:{group.id}."
        case wire.JoinedReply():
            return f"You are in the group {rendering.group_title(reply.group)}."
        case _:
            return _done(parsed, request, roster)


def _done(parsed: Parsed, request: QueuedRequest, roster: Roster) -> str:
    name = rendering.clean(str(parsed.values[0])) if parsed.values else ""
    match request:
        case wire.AddFriendRequest(user=user):
            friend = roster.find_friend(user)
            if friend is not None:
                return f"{rendering.user_title(friend)} and you are friends."
            return f"You asked {name}; you can chat once they say yes."
        case wire.RemoveFriendRequest():
            return f"{name} and you are not friends."
        case wire.BlockRequest():
            return f"You block {name}: neither of you can chat to the other until unblock:{name}."
        case wire.UnblockRequest():
            return f"You do not block {name} any more."
        case wire.LeaveGroupRequest(group=group):
            return f"You left the group {_group(group, roster)}."
        case wire.DeleteGroupRequest(group=group):
            return f"You ended the group {_group(group, roster)}."
        case wire.RenameGroupRequest(name=new_name):
            return f"The group is called {rendering.clean(new_name)} now."
        case _:
            return f"{parsed.command.name}: done."


def _group(id: int, roster: Roster) -> str:
    group = roster.conversations.get(id)
    return rendering.group_title(group) if isinstance(group, wire.Group) else str(id)


def is_outcome(notice: notices.RosterNotice, request: QueuedRequest) -> bool:
    """Whether the change follows from the request, whose own outcome tells the user of it."""
    match request, notice:
        case wire.AddFriendRequest(user=user), notices.FriendAdded(friend):
            return _is(friend, user)
        case wire.RemoveFriendRequest(user=user), notices.FriendRemoved(friend):
            return _is(friend, user)
        case wire.RemoveFriendRequest(user=user), notices.RequestWithdrawn(asking):
            return _is(asking, user)
        case wire.CreateGroupRequest(name=name), notices.GroupAdded(group):
            return name == group.name
        case wire.JoinGroupRequest(group=id), notices.GroupAdded(group):
            return id == group.id
        case wire.LeaveGroupRequest(group=id), notices.GroupRemoved(group):
            return id == group.id
        case wire.DeleteGroupRequest(group=id), notices.GroupRemoved(group):
            return id == group.id
        case wire.RenameGroupRequest(group=id), notices.GroupChanged(group):
            return id == group.id
        case _:
            return False


def _is(one: wire.User | wire.Friend, user: int | str) -> bool:
    return user == one.id or str(user).lower() == one.name.lower()
