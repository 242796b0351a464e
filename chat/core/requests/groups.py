"""Groups: to create, join, leave, rename and delete one, and its members.

A change of membership is one transaction, which appends entries to the group's log and changes
rosters. A user who joins is attached to the log before the entry of the joining, and so gets it as
every member does. A user who leaves is detached by the entry of the leaving, and so the entries
come before the roster.
"""

from chat.core.delivery.fan_out import FanOut
from chat.core.ports.bus_messages import EntryBusMessage, group_channel
from chat.core.ports.operations import (
    CreateGroup,
    DeleteGroup,
    FindPresence,
    GroupChanged,
    JoinGroup,
    LeaveGroup,
    PresenceFound,
    ReadMembers,
    RenameGroup,
)
from chat.core.requests.calls import Call, Calls, Steps
from chat.core.requests.friends import complete_own_roster
from chat.core.roster.roster_sync import RosterSync
from chat.core.state.context import Context
from chat.protocol.messages import (
    CreateGroupRequest,
    DeleteGroupRequest,
    DoneReply,
    Group,
    GroupCreatedReply,
    GroupDeletedPush,
    JoinedReply,
    JoinGroupRequest,
    LeaveGroupRequest,
    Member,
    MembersReply,
    MembersRequest,
    PresenceState,
    RenameGroupRequest,
)


class Groups:
    """What a user may ask about groups."""

    def __init__(
        self, context: Context, calls: Calls, fan_out: FanOut, roster_sync: RosterSync
    ) -> None:
        self._context = context
        self._fan_out = fan_out
        self._roster_sync = roster_sync
        calls.handle(CreateGroupRequest, self.create_group)
        calls.handle(JoinGroupRequest, self.join_group)
        calls.handle(LeaveGroupRequest, self.leave_group)
        calls.handle(DeleteGroupRequest, self.delete_group)
        calls.handle(RenameGroupRequest, self.rename_group)
        calls.handle(MembersRequest, self.members)

    def create_group(self, call: Call, request: CreateGroupRequest) -> Steps:
        config = self._context.config
        create = CreateGroup(
            call.user.id,
            request.name,
            request.description,
            call.now_ms,
            most_owned=config.groups_owned,
            most_joined=config.groups_joined,
        )
        changed = yield from call.commit(create)
        reply = GroupCreatedReply(re=request.id, group=_group(changed))
        yield from self._tell_of_joining(call, changed, reply)

    def join_group(self, call: Call, request: JoinGroupRequest) -> Steps:
        most_joined = self._context.config.groups_joined
        join = JoinGroup(call.user.id, request.group, call.now_ms, most_joined)
        changed = yield from call.commit(join)
        reply = JoinedReply(re=request.id, group=_group(changed))
        yield from self._tell_of_joining(call, changed, reply)

    def leave_group(self, call: Call, request: LeaveGroupRequest) -> Steps:
        leave = LeaveGroup(call.user.id, request.group, call.now_ms)
        yield from self._tell(call, (yield from call.commit(leave)))

    def delete_group(self, call: Call, request: DeleteGroupRequest) -> Steps:
        delete = DeleteGroup(call.user.id, request.group, call.now_ms)
        yield from self._tell(call, (yield from call.commit(delete)))

    def rename_group(self, call: Call, request: RenameGroupRequest) -> Steps:
        user, group = call.user.id, request.group
        rename = RenameGroup(user, group, request.name, request.description, call.now_ms)
        yield from self._tell(call, (yield from call.commit(rename)))

    def members(self, call: Call, request: MembersRequest) -> Steps:
        rows = (yield from call.ask(ReadMembers(call.user.id, request.group))).members
        yield from call.turn(len(rows))
        found = yield from call.attempt(FindPresence(tuple(row.id for row in rows)))
        online = set(found.online) if isinstance(found, PresenceFound) else set()
        online |= {row.id for row in rows if self._is_here(row.id)}
        members = tuple(
            Member(
                id=row.id,
                name=row.name,
                role=row.role,
                state=PresenceState.ONLINE if row.id in online else PresenceState.OFFLINE,
            )
            for row in rows
        )
        call.charge_rows(len(members))
        call.reply(MembersReply(re=request.id, group=request.group, members=members))

    # ------------------------------------------------------------------ steps of the above

    def _tell_of_joining(
        self, call: Call, changed: GroupChanged, reply: GroupCreatedReply | JoinedReply
    ) -> Steps:
        """The roster, the reply, the entry of the joining. If the roster has to be read for it, the
        entry does not wait for that, and the asking user gets it from the log."""
        self._roster_sync.changed(changed.changes, changed.entries)
        user = call.session.user
        lacks = user is not None and self._roster_sync.lacks(user, changed.changes)
        if lacks:
            self._deliver(changed)
            yield from complete_own_roster(call, self._roster_sync, changed.changes)
        call.reply(reply)
        self._tell_if_left(call, changed)
        if not lacks:
            self._deliver(changed)

    def _tell(self, call: Call, changed: GroupChanged) -> Steps:
        """The entries, the rosters, the reply."""
        self._deliver(changed)
        self._roster_sync.changed(changed.changes)
        yield from complete_own_roster(call, self._roster_sync, changed.changes)
        call.reply(DoneReply(re=call.id))

    def _deliver(self, changed: GroupChanged) -> None:
        """The entries that the transaction appended, here and on other nodes."""
        for entry in changed.entries:
            self._fan_out.entry(entry)
            channels = (group_channel(entry.conversation),)
            self._context.publish(channels, EntryBusMessage(entry))

    def _tell_if_left(self, call: Call, changed: GroupChanged) -> None:
        """Takes the group from the client again if the user has left it on another device
        meanwhile. A newer roster has told so before the reply, which brought the group back."""
        session = call.session
        if session.user is None or self._roster_sync.lacks(session.user, changed.changes):
            return
        if changed.group not in session.conversations:
            self._context.send(session.connection, GroupDeletedPush(group=changed.group))

    def _is_here(self, user_id: int) -> bool:
        user = self._context.users.get(user_id)
        return user is not None and bool(user.sessions)


def _group(changed: GroupChanged) -> Group:
    """The group that the asking user has become a member of."""
    (change,) = changed.changes
    assert change.group is not None
    return change.group
