"""The requests of those who are logged in, and what becomes of each.

A request is taken by the method of its name, which asks the store; its outcome comes to the
method that the record under the ticket names. One outcome, one reply: what the request was for,
or the error. A commit whose reply was lost ends the connection, since nobody can say which it is.
"""

from typing import Final, TypeVar

from chat.core.delivery.fan_out import FanOut
from chat.core.ports.bus_messages import EntryBusMessage, group_channel, user_channel
from chat.core.ports.operations import (
    AddFriend,
    AnyOutcome,
    Append,
    Appended,
    Block,
    CloseDevice,
    CreateGroup,
    DeleteGroup,
    Done,
    FindPresence,
    FriendshipChanged,
    GroupChanged,
    HistoryRead,
    JoinGroup,
    LeaveGroup,
    LogEntry,
    MarkRead,
    MembersRead,
    PresenceFound,
    ProfileRead,
    ReadHistory,
    ReadMarked,
    ReadMembers,
    ReadProfile,
    ReadRoster,
    Refused,
    RemoveFriend,
    RosterRead,
    Unblock,
    Unknown,
)
from chat.core.requests.authentication import Authentication, token_sha256
from chat.core.roster.roster_sync import RosterSync
from chat.core.state.context import Context, error_frame
from chat.core.state.pending import (
    AppendAsked,
    FriendshipAsked,
    GroupAsked,
    HistoryAsked,
    LogoutAsked,
    MembersAsked,
    MembersPresence,
    ProfileAsked,
    ReadAsked,
    SnapshotAsked,
    Waiter,
)
from chat.core.state.rate_limiter import RateLimiter
from chat.core.state.session import Session
from chat.core.state.user import LocalUser
from chat.protocol.codec import encode, encode_sent
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import (
    AddFriendRequest,
    BlockRequest,
    ChatRequest,
    CreateGroupRequest,
    DeleteGroupRequest,
    DoneReply,
    EntriesReply,
    Entry,
    EntryKind,
    GroupChatRequest,
    GroupCreatedReply,
    GroupDeletedPush,
    HistoryRequest,
    JoinedReply,
    JoinGroupRequest,
    LeaveGroupRequest,
    LogoutRequest,
    MarkReadRequest,
    Member,
    MembersReply,
    MembersRequest,
    PingRequest,
    PongReply,
    PresenceState,
    ProfileReply,
    ProfileRequest,
    RemoveFriendRequest,
    SnapshotReply,
    SnapshotRequest,
    UnblockRequest,
    User,
)
from chat.protocol.rules import RULES, Input, Verdict

# Members of enumerations are looked up slowly, so those of the hot path are constants.
_TEXT: Final = EntryKind.TEXT
_TAKES_ANSWERS: Final = tuple([row[Input.ANSWER].verdict is Verdict.ACCEPT for row in RULES])
Success = TypeVar("Success", bound=AnyOutcome)


class Requests:
    """What each request asks for, and what each outcome is answered by."""

    def __init__(
        self, context: Context, delivery: FanOut, people: RosterSync, entrance: Authentication
    ) -> None:
        self._context = context
        self._delivery = delivery
        self._people = people
        self._entrance = entrance
        config = context.config
        self._sends: RateLimiter[int] = RateLimiter(
            per_second=config.sends_per_second, burst=config.send_burst
        )

    # ------------------------------------------------------------------ sends

    def may_send(self, session: Session) -> bool:
        """Whether the user has a send left for now."""
        user = session.user
        return user is not None and self._sends.ready(user.id, self._context.now_ms)

    def chat(self, session: Session, request: ChatRequest) -> None:
        self._append(session, request, request.to, None)

    def group_chat(self, session: Session, request: GroupChatRequest) -> None:
        self._append(session, request, None, request.group)

    def _append(
        self,
        session: Session,
        request: ChatRequest | GroupChatRequest,
        to: int | str | None,
        group: int | None,
    ) -> None:
        context = self._context
        user = session.user
        assert user is not None
        now_ms = context.now_ms
        if not self._sends.take(user.id, now_ms):
            wait_ms = self._sends.wait_ms(user.id, now_ms)
            context.reply(session, error_frame(ErrorCode.RATE_LIMITED, request.id, wait_ms=wait_ms))
            return
        session.sending.add(request.key)
        append = Append(user.id, to, group, request.text, request.key, now_ms)
        context.query(AppendAsked(session.connection, request.id, user.name, append), append)

    def appended(self, record: AppendAsked, outcome: AnyOutcome) -> None:
        """The entry is in the log: everyone is told, whether or not its sender is still there."""
        session = self._asking(record)
        append = record.append
        if session is not None:
            session.sending.discard(append.key)
        if isinstance(outcome, Appended):
            conversation, seq = outcome.conversation, outcome.seq
            entry = LogEntry(
                conversation,
                seq,
                _TEXT,
                append.sender,
                record.sender_name,
                append.text,
                outcome.at_ms,
                append.key,
            )
            sent = encode_sent(record.re, conversation, seq, outcome.at_ms)
            self._delivery.appended(session, entry, sent)
            if not self._context.config.alone:
                if outcome.recipient is None:
                    channels: tuple[str, ...] = (group_channel(conversation),)
                else:
                    channels = (user_channel(append.sender), user_channel(outcome.recipient))
                self._context.publish(channels, EntryBusMessage(entry))
        elif session is not None:
            self._fail(session, record, outcome)
        if session is not None and session.stopped:
            self._delivery.unstop(session)

    # ------------------------------------------------------------------ oneself

    def ping(self, session: Session, request: PingRequest) -> None:
        self._context.reply(session, encode(PongReply(re=request.id)))

    def logout(self, session: Session, request: LogoutRequest) -> None:
        record = LogoutAsked(session.connection, request.id)
        self._context.query(record, CloseDevice(token_sha256(session.token)))

    def logged_out(self, record: LogoutAsked, outcome: AnyOutcome) -> None:
        session = self._asking(record)
        if session is not None and self._succeeded(session, record, outcome, Done):
            self._people.leave(session)
            self._entrance.forget(session)
            session.token = ""
            session.step(Input.UNIDENTIFIED, self._context.now_ms)
            self._context.reply(session, encode(DoneReply(re=record.re)))

    def profile(self, session: Session, request: ProfileRequest) -> None:
        record = ProfileAsked(session.connection, request.id)
        self._context.query(record, ReadProfile(_user(session).id))

    def profile_read(self, record: ProfileAsked, outcome: AnyOutcome) -> None:
        session = self._asking(record)
        if session is None:
            return
        read = self._succeeded(session, record, outcome, ProfileRead)
        if read:
            reply = ProfileReply(
                re=record.re,
                user=read.user,
                registered_at=read.registered_at_ms,
                devices=read.devices,
                friends=read.friends,
                groups=read.groups,
            )
            self._context.reply(session, encode(reply))

    def snapshot(self, session: Session, request: SnapshotRequest) -> None:
        user = _user(session).id
        record = SnapshotAsked(session.connection, request.id, user)
        self._context.query(record, ReadRoster(user))

    def snapshot_read(self, record: SnapshotAsked, outcome: AnyOutcome) -> None:
        session = self._asking(record)
        if session is None:
            return
        read = self._succeeded(session, record, outcome, RosterRead)
        if read:
            user = _user(session)
            self._people.apply(user, read.roster)
            # A group that the log has told this connection it has left may still be in the roster.
            here = session.conversations
            reply = SnapshotReply(
                re=record.re,
                friends=tuple(user.friend(row) for row in user.friends.values()),
                groups=tuple(group for group in user.roster.groups if group.id in here),
                requests=user.roster.requests,
            )
            self._context.reply(session, encode(reply))

    # ------------------------------------------------------------------ friends

    def add_friend(self, session: Session, request: AddFriendRequest) -> None:
        user = _user(session).id
        record = FriendshipAsked(session.connection, request.id, user)
        self._context.query(record, AddFriend(user, request.user, self._context.now_ms))

    def remove_friend(self, session: Session, request: RemoveFriendRequest) -> None:
        user = _user(session).id
        record = FriendshipAsked(session.connection, request.id, user)
        self._context.query(record, RemoveFriend(user, request.user))

    def block(self, session: Session, request: BlockRequest) -> None:
        user = _user(session).id
        record = FriendshipAsked(session.connection, request.id, user)
        self._context.query(record, Block(user, request.user))

    def unblock(self, session: Session, request: UnblockRequest) -> None:
        user = _user(session).id
        record = FriendshipAsked(session.connection, request.id, user)
        self._context.query(record, Unblock(user, request.user))

    def friendship_changed(self, record: FriendshipAsked, outcome: AnyOutcome) -> None:
        if isinstance(outcome, FriendshipChanged):
            self._people.changed(record.user, outcome.roster, outcome.touched)
        session = self._asking(record)
        if session is not None and self._succeeded(session, record, outcome, FriendshipChanged):
            self._context.reply(session, encode(DoneReply(re=record.re)))

    # ------------------------------------------------------------------ groups

    def create_group(self, session: Session, request: CreateGroupRequest) -> None:
        user = _user(session).id
        create = CreateGroup(user, request.name, request.description, self._context.now_ms)
        self._context.query(GroupAsked(session.connection, request.id, user, "created"), create)

    def join_group(self, session: Session, request: JoinGroupRequest) -> None:
        user = _user(session).id
        record = GroupAsked(session.connection, request.id, user, "joined")
        self._context.query(record, JoinGroup(user, request.group, self._context.now_ms))

    def leave_group(self, session: Session, request: LeaveGroupRequest) -> None:
        user = _user(session).id
        record = GroupAsked(session.connection, request.id, user, "done")
        self._context.query(record, LeaveGroup(user, request.group, self._context.now_ms))

    def delete_group(self, session: Session, request: DeleteGroupRequest) -> None:
        user = _user(session).id
        record = GroupAsked(session.connection, request.id, user, "done")
        self._context.query(record, DeleteGroup(user, request.group, self._context.now_ms))

    def group_changed(self, record: GroupAsked, outcome: AnyOutcome) -> None:
        """The log of the group grew, and rosters changed; then the reply."""
        if isinstance(outcome, GroupChanged):
            for entry in outcome.entries:
                self._delivery.entry(entry)
                self._context.publish((group_channel(entry.conversation),), EntryBusMessage(entry))
            self._people.changed(record.user, outcome.roster, outcome.touched)
        session = self._asking(record)
        if session is None:
            return
        changed = self._succeeded(session, record, outcome, GroupChanged)
        if changed is None:
            return
        reply: DoneReply | GroupCreatedReply | JoinedReply = DoneReply(re=record.re)
        if record.reply != "done":
            (group,) = (group for group in changed.roster.groups if group.id == changed.group)
            if record.reply == "joined":
                reply = JoinedReply(re=record.re, group=group)
            else:
                reply = GroupCreatedReply(re=record.re, group=group)
        self._context.reply(session, encode(reply))
        if record.reply != "done" and changed.group not in session.conversations:
            # It was left on another device meanwhile, as a newer roster has told.
            self._context.send(session.connection, GroupDeletedPush(group=changed.group))

    def members(self, session: Session, request: MembersRequest) -> None:
        record = MembersAsked(session.connection, request.id, request.group)
        self._context.query(record, ReadMembers(_user(session).id, request.group))

    def members_read(self, record: MembersAsked, outcome: AnyOutcome) -> None:
        session = self._asking(record)
        if session is None:
            return
        read = self._succeeded(session, record, outcome, MembersRead)
        if read:
            waits = MembersPresence(record.connection, record.re, record.group, read.members)
            self._context.query(waits, FindPresence(tuple(row.id for row in read.members)))

    def members_found(self, record: MembersPresence, outcome: AnyOutcome) -> None:
        session = self._asking(record)
        if session is None:
            return
        online = set(outcome.online) if isinstance(outcome, PresenceFound) else set()
        online |= {row.id for row in record.members if self._is_here(row.id)}
        members = tuple(
            Member(
                id=row.id,
                name=row.name,
                role=row.role,
                state=PresenceState.ONLINE if row.id in online else PresenceState.OFFLINE,
            )
            for row in record.members
        )
        reply = MembersReply(re=record.re, group=record.group, members=members)
        self._context.reply(session, encode(reply))

    def _is_here(self, user_id: int) -> bool:
        user = self._context.users.get(user_id)
        return user is not None and bool(user.sessions)

    # ------------------------------------------------------------------ logs

    def history(self, session: Session, request: HistoryRequest) -> None:
        if request.before is not None and request.after is not None:
            sentence = "Give `before` or `after`, not both."
            frame = error_frame(ErrorCode.BAD_MESSAGE, request.id, sentence)
            self._context.reply(session, frame)
            return
        user = _user(session).id
        record = HistoryAsked(session.connection, request.id, user, request.conversation)
        read = ReadHistory(user, request.conversation, request.before, request.after, request.limit)
        self._context.query(record, read)

    def history_read(self, record: HistoryAsked, outcome: AnyOutcome) -> None:
        session = self._asking(record)
        if session is None:
            return
        read = self._succeeded(session, record, outcome, HistoryRead)
        if read:
            entries = tuple(_entry(entry, record.user) for entry in read.entries)
            reply = EntriesReply(
                re=record.re, conversation=record.conversation, entries=entries, more=read.more
            )
            self._context.reply(session, encode(reply))

    def mark_read(self, session: Session, request: MarkReadRequest) -> None:
        user = _user(session).id
        record = ReadAsked(session.connection, request.id, user, request.conversation)
        self._context.query(record, MarkRead(user, request.conversation, request.seq))

    def read_marked(self, record: ReadAsked, outcome: AnyOutcome) -> None:
        if isinstance(outcome, ReadMarked):
            self._people.marked(
                record.user, record.conversation, outcome.seq, outcome.other, record.connection
            )
        session = self._asking(record)
        if session is not None and self._succeeded(session, record, outcome, ReadMarked):
            self._context.reply(session, encode(DoneReply(re=record.re)))

    # ------------------------------------------------------------------ outcomes

    def _asking(self, record: Waiter) -> Session | None:
        """The session that waits for this reply, if it is still there."""
        session = self._context.sessions.get(record.connection)
        if session is None or not _TAKES_ANSWERS[session.state]:
            return None
        return session

    def _succeeded(
        self, session: Session, record: Waiter, outcome: AnyOutcome, success: type[Success]
    ) -> Success | None:
        """The outcome if it is the one hoped for; else the request is answered here."""
        if isinstance(outcome, success):
            return outcome
        self._fail(session, record, outcome)
        return None

    def _fail(self, session: Session, record: Waiter, outcome: AnyOutcome) -> None:
        if isinstance(outcome, Unknown):
            self._context.close(session, Input.ANSWER_UNKNOWN)
            return
        assert isinstance(outcome, Refused), f"{outcome} does not answer {record}"
        self._context.refuse(session, record.re, outcome)


def _user(session: Session) -> LocalUser:
    assert session.user is not None
    return session.user


def _entry(entry: LogEntry, reader: int) -> Entry:
    return Entry(
        seq=entry.seq,
        kind=entry.kind,
        from_=User(id=entry.sender, name=entry.sender_name),
        text=entry.text,
        at=entry.at_ms,
        key=entry.key if entry.sender == reader else None,
    )
