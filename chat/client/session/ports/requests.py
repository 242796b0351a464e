"""The requests that go through the session's request queue, and their replies.

All of them but `chat` and `group_chat`, which go through the outbox, and but those that the session
makes by itself: `login`, `resume`, `logout`, `mark_read`, `ping`.
"""

from chat.protocol.messages import (
    AddFriendRequest,
    BlockRequest,
    CreateGroupRequest,
    DeleteGroupRequest,
    DoneReply,
    EntriesReply,
    GroupCreatedReply,
    HistoryRequest,
    JoinedReply,
    JoinGroupRequest,
    LeaveGroupRequest,
    MembersReply,
    MembersRequest,
    ProfileReply,
    ProfileRequest,
    RemoveFriendRequest,
    RenameGroupRequest,
    SnapshotReply,
    SnapshotRequest,
    UnblockRequest,
)

QueuedRequest = (
    ProfileRequest
    | SnapshotRequest
    | MembersRequest
    | HistoryRequest
    | AddFriendRequest
    | RemoveFriendRequest
    | BlockRequest
    | UnblockRequest
    | CreateGroupRequest
    | JoinGroupRequest
    | LeaveGroupRequest
    | DeleteGroupRequest
    | RenameGroupRequest
)
"""`id` is given by the session; the value that a new request has there is replaced."""

QueuedReply = (
    ProfileReply
    | SnapshotReply
    | MembersReply
    | EntriesReply
    | DoneReply
    | GroupCreatedReply
    | JoinedReply
)
