"""Any operations in any order: the store answers and looks as the model says."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from chat.core.ports.operations import (
    AddFriend,
    Append,
    Block,
    CreateGroup,
    DeleteGroup,
    FriendshipChanged,
    GroupChanged,
    HistoryRead,
    JoinGroup,
    LeaveGroup,
    LogEntry,
    MarkRead,
    ReadHistory,
    ReadMarked,
    Refused,
    RemoveFriend,
    RenameGroup,
    Unblock,
    UserLimit,
)
from chat.core.ports.rosters import Roster, RosterChange
from chat.core.state.user import LocalUser
from chat.protocol.rules import DirectAction, GroupAction
from chat.storage.append.batch import append_batch
from chat.storage.append.cache import AppendCache
from chat.storage.dispatch import execute
from tests.storage.model import Model
from tests.storage.stores import memory_store, read_all, register_users, roster

NAMES = ("Ann", "bob", "cyd", "dan")
MOST = 2
"""How many open requests and groups a user may have; a group more as a member."""
users = st.integers(1, len(NAMES))
others = st.one_of(users, st.sampled_from(("ann", "BOB", "Cyd", "nobody")), st.just(999))
indexes = st.integers(0, 5)
texts = st.sampled_from(("a", "b"))
keys = st.integers(0, 30).map(lambda number: f"k{number}")
appends = st.tuples(users, st.none() | others, indexes, texts, keys)


def without_heads(roster: Roster) -> Roster:
    return replace(
        roster,
        friends=tuple(replace(friend, seq=0, read=0) for friend in roster.friends),
        groups=tuple(replace(group, seq=0, read=0) for group in roster.groups),
    )


class StoreMachine(RuleBasedStateMachine):
    """The store beside its model; every rule does one transaction on both."""

    def __init__(self) -> None:
        super().__init__()
        self.store = memory_store()
        self.caches = (AppendCache(), AppendCache())
        """Of two nodes, which take turns on one connection."""
        self.model = Model()
        self.followed: dict[int, LocalUser] = {}
        """By user: the first roster, and every change that was answered since."""
        self.now_ms = 0

    @initialize(befriended=st.booleans())
    def begin(self, befriended: bool) -> None:
        for id, name in zip(register_users(self.store, len(NAMES)), NAMES, strict=True):
            self.model.register(id, name)
            self.followed[id] = LocalUser(roster(self.store, id))
        if befriended:
            self.add_friend(1, 2)
            self.add_friend(2, 1)
            self.create_group(1, "den")
            self.join_group(2, 1)

    def teardown(self) -> None:
        self.store.close()

    def conversation(self, number: int) -> int:
        """One of the conversations that exist, or none."""
        ids = [*sorted(self.model.conversations), 999]
        return ids[number % len(ids)]

    def tick(self) -> int:
        self.now_ms += 1
        return self.now_ms

    def changed(self, changes: tuple[RosterChange, ...], *users: int) -> None:
        """The rosters of exactly these users changed, and rows that were changed are as they are
        now."""
        self.model.touch(*users)
        assert [change.user for change in changes] == sorted(users)
        for change in changes:
            self.followed[change.user].take_change(change)
            now = self.model.roster(change.user)
            assert change.friend is None or change.friend in now.friends
            assert change.group is None or change.group in now.groups

    # ------------------------------------------------------------------- friendships

    @rule(user=users, other=others)
    def add_friend(self, user: int, other: int | str) -> None:
        operation = AddFriend(user, other, self.tick(), MOST, MOST)
        refusal = self.model.direct_refusal(user, other, DirectAction.ADD_FRIEND)
        found = self.model.find(other) or 0
        if not {(user, found), (found, user)} & self.model.asked.keys():
            refusal = (
                refusal
                or self.model.reached(user, UserLimit.OPEN_REQUESTS_MADE, MOST)
                or self.model.reached(found, UserLimit.OPEN_REQUESTS_RECEIVED, MOST)
            )
        outcome = execute(self.store, operation)
        if refusal is not None:
            assert outcome == refusal
            return
        changed = self.model.add_friend(user, found, operation.at_ms)
        assert isinstance(outcome, FriendshipChanged)
        if user in changed:
            (row,) = (change.friend for change in outcome.changes if change.user == user)
            assert row is not None
            self.model.meet(user, found, row.conversation)
        self.changed(outcome.changes, *changed)

    @rule(user=users, other=others)
    def remove_friend(self, user: int, other: int | str) -> None:
        refusal = self.model.direct_refusal(user, other, DirectAction.REMOVE_FRIEND)
        outcome = execute(self.store, RemoveFriend(user, other))
        if refusal is not None:
            assert outcome == refusal
            return
        found = self.model.find(other)
        assert found is not None
        assert isinstance(outcome, FriendshipChanged)
        self.changed(outcome.changes, *self.model.remove_friend(user, found))

    @rule(user=users, other=others, on=st.booleans())
    def block(self, user: int, other: int | str, on: bool) -> None:
        operation = Block(user, other) if on else Unblock(user, other)
        action = DirectAction.BLOCK if on else DirectAction.UNBLOCK
        refusal = self.model.direct_refusal(user, other, action)
        outcome = execute(self.store, operation)
        if refusal is not None:
            assert outcome == refusal
            return
        found = self.model.find(other)
        assert found is not None
        (self.model.blocks.add if on else self.model.blocks.discard)((user, found))
        assert outcome == FriendshipChanged(())

    # ------------------------------------------------------------------------ groups

    @rule(user=users, name=st.sampled_from(("den", "burrow")))
    def create_group(self, user: int, name: str) -> None:
        outcome = execute(self.store, CreateGroup(user, name, "", self.tick(), MOST, MOST + 1))
        refusal = self.model.reached(user, UserLimit.GROUPS_OWNED, MOST)
        refusal = refusal or self.model.reached(user, UserLimit.GROUPS_JOINED, MOST + 1)
        if refusal is not None:
            assert outcome == refusal
            return
        assert isinstance(outcome, GroupChanged)
        entries = self.model.create_group(user, outcome.group, name, self.now_ms)
        self.group_changed(outcome, outcome.group, entries, user)

    @rule(user=users, index=indexes)
    def join_group(self, user: int, index: int) -> None:
        group = self.conversation(index)
        refusal = self.model.group_refusal(user, group, GroupAction.JOIN_GROUP)
        refusal = refusal or self.model.reached(user, UserLimit.GROUPS_JOINED, MOST + 1)
        outcome = execute(self.store, JoinGroup(user, group, self.tick(), MOST + 1))
        if refusal is not None:
            assert outcome == refusal
            return
        entries = self.model.join_group(user, group, self.now_ms)
        self.group_changed(outcome, group, entries, user)

    @rule(user=users, index=indexes)
    def leave_group(self, user: int, index: int) -> None:
        group = self.conversation(index)
        refusal = self.model.group_refusal(user, group, GroupAction.LEAVE_GROUP)
        outcome = execute(self.store, LeaveGroup(user, group, self.tick()))
        if refusal is not None:
            assert outcome == refusal
            return
        entries, changed = self.model.leave_group(user, group, self.now_ms)
        self.group_changed(outcome, group, entries, *changed)

    @rule(user=users, index=indexes)
    def delete_group(self, user: int, index: int) -> None:
        group = self.conversation(index)
        refusal = self.model.group_refusal(user, group, GroupAction.DELETE_GROUP)
        outcome = execute(self.store, DeleteGroup(user, group, self.tick()))
        if refusal is not None:
            assert outcome == refusal
            return
        entries, changed = self.model.delete_group(user, group, self.now_ms)
        self.group_changed(outcome, group, entries, *changed)

    @rule(
        user=users,
        index=indexes,
        name=st.sampled_from(("den", "burrow", "lair")),
        description=st.sampled_from((None, "", "deep")),
    )
    def rename_group(self, user: int, index: int, name: str, description: str | None) -> None:
        group = self.conversation(index)
        refusal = self.model.group_refusal(user, group, GroupAction.RENAME_GROUP)
        outcome = execute(self.store, RenameGroup(user, group, name, description, self.tick()))
        if refusal is not None:
            assert outcome == refusal
            return
        renamed = self.model.rename_group(user, group, name, description, self.now_ms)
        entries, changed = renamed
        self.group_changed(outcome, group, entries, *changed)

    def group_changed(
        self, outcome: object, group: int, entries: list[LogEntry], *users: int
    ) -> None:
        assert isinstance(outcome, GroupChanged)
        assert (outcome.group, outcome.entries) == (group, tuple(entries))
        self.changed(outcome.changes, *users)

    # -------------------------------------------------------------------------- logs

    @rule(node=st.integers(0, 1), drawn=st.lists(appends, min_size=1, max_size=12))
    def append(self, node: int, drawn: list[tuple[int, int | str | None, int, str, str]]) -> None:
        batch = [
            Append(
                user, to, self.conversation(index) if to is None else None, text, key, self.tick()
            )
            for user, to, index, text, key in drawn
        ]
        expected = [self.model.append(append) for append in batch]
        assert append_batch(self.store, self.caches[node], batch) == expected

    @rule(user=users, index=indexes, seq=st.integers(1, 12))
    def mark_read(self, user: int, index: int, seq: int) -> None:
        conversation = self.conversation(index)
        outcome = execute(self.store, MarkRead(user, conversation, seq))
        refusal = self.model.read_refusal(user, conversation)
        if refusal is not None:
            assert outcome == refusal
            return
        assert outcome == ReadMarked(*self.model.mark_read(user, conversation, seq))

    # -------------------------------------------------------------------- what holds

    @invariant()
    def logs_are_the_models(self) -> None:
        for id, conversation in self.model.conversations.items():
            assert read_all(self.store, id) == tuple(conversation.log)

    @invariant()
    def rosters_are_the_models(self) -> None:
        for user in self.model.names:
            assert roster(self.store, user) == self.model.roster(user)

    @invariant()
    def a_roster_and_its_changes_make_the_newest_roster(self) -> None:
        """But for heads and read marks, which are no change of a roster."""
        for id, local in self.followed.items():
            followed = Roster(
                user=local.user,
                version=local.version,
                friends=tuple(local.friends[friend] for friend in sorted(local.friends)),
                groups=local.groups_in_order(),
                requests=tuple(local.requests.values()),
            )
            assert without_heads(followed) == without_heads(self.model.roster(id))

    @invariant()
    def members_see_what_is_theirs(self) -> None:
        for id, conversation in self.model.conversations.items():
            for user in self.model.names:
                outcome = execute(self.store, ReadHistory(user, id, None, None, 1_000))
                member = conversation.members.get(user)
                if member is None:
                    assert isinstance(outcome, Refused)
                else:
                    seen = conversation.log[member.since - 1 :]
                    assert outcome == HistoryRead(tuple(seen), more=False)


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=45, stateful_step_count=40, deadline=None, derandomize=True
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(drawn=st.lists(appends, min_size=1, max_size=60), cuts=st.lists(st.integers(0, 60)))
def test_a_batch_is_answered_as_one_by_one(
    drawn: list[tuple[int, int | str | None, int, str, str]], cuts: list[int]
) -> None:
    machines = [StoreMachine(), StoreMachine()]
    for machine in machines:
        machine.begin(True)
    together, alone = machines
    batch = [
        Append(user, to, together.conversation(index) if to is None else None, text, key, at_ms)
        for at_ms, (user, to, index, text, key) in enumerate(drawn)
    ]
    edges = sorted({0, len(batch), *(cut % len(batch) for cut in cuts)})
    answers = [
        outcome
        for start, end in pairwise(edges)
        for outcome in append_batch(together.store, together.caches[0], batch[start:end])
    ]
    assert answers == [execute(alone.store, append) for append in batch]
    for id in together.model.conversations:
        assert read_all(together.store, id) == read_all(alone.store, id)
    for machine in machines:
        machine.teardown()
