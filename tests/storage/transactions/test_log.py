"""Reading logs, histories and heads; marking read; keys."""

from hypothesis import given
from hypothesis import strategies as st

from chat.core.ports.operations import (
    Append,
    Appended,
    DeleteGroup,
    HeadsRead,
    HistoryRead,
    JoinGroup,
    LeaveGroup,
    LogEntry,
    LogRead,
    MarkRead,
    ReadHeads,
    ReadHistory,
    ReadLog,
    ReadMarked,
    RemoveFriend,
)
from chat.protocol.messages import EntryKind
from chat.storage.append.batch import append_batch
from chat.storage.append.cache import AppendCache
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.dispatch import execute
from tests.storage.stores import (
    NOW_MS,
    befriend,
    make_group,
    memory_store,
    read_all,
    refused,
    register_users,
    roster,
    say,
    say_group,
    sent,
)


def test_a_text_is_kept_as_it_was_said(store: DatabaseConnection) -> None:
    ann, bob = register_users(store, 2)
    conversation = befriend(store, ann, bob)
    text = "tabs\tand\nlines, ☺ 𝄞, 'quotes', 100% ?, \\n " + "ü" * 3_950
    assert sent(store, say(ann, "Bob", text, "Key-1", 5)) == Appended(conversation, 1, 5, bob)
    assert sent(store, say(bob, ann, "yes", "Key-1", 6)) == Appended(conversation, 2, 6, ann)
    assert read_all(store, conversation) == (
        LogEntry(conversation, 1, EntryKind.TEXT, ann, "Ann", text, 5, "Key-1"),
        LogEntry(conversation, 2, EntryKind.TEXT, bob, "bob", "yes", 6, "Key-1"),
    )


def test_a_key_is_one_send(store: DatabaseConnection) -> None:
    ann, bob, cyd = register_users(store, 3)
    conversation = befriend(store, ann, bob)
    befriend(store, ann, cyd)
    group = make_group(store, ann)
    first = sent(store, say(ann, bob, "hi", "k", 5))
    again = Appended(conversation, first.seq, 5, bob, repeated=True)
    assert execute(store, say(ann, bob, "hi", "k", 9)) == again
    assert execute(store, say(ann, "bob", "hi", "k", 9)) == again
    for other in (
        say(ann, bob, "hi!", "k"),
        say(ann, cyd, "hi", "k"),
        say(ann, "nobody", "hi", "k"),
        say_group(ann, group, "hi", "k"),
    ):
        assert execute(store, other) == refused("key_conflict")
    # Keys are the sender's own, and a letter's case counts.
    assert sent(store, say(bob, ann, "hi", "k")).seq == 2
    assert sent(store, say(ann, bob, "hi", "K")).seq == 3
    assert sent(store, say(ann, bob, "hi", "k2")).seq == 4


def test_what_was_stored_once_stays_sent(store: DatabaseConnection) -> None:
    ann, bob = register_users(store, 2)
    conversation = befriend(store, ann, bob)
    group = make_group(store, ann, bob)
    sent(store, say(ann, bob, "hi", "k", 5))
    sent(store, say_group(bob, group, "hi", "k", 5))
    execute(store, RemoveFriend(bob, ann))
    execute(store, LeaveGroup(bob, group, NOW_MS))
    assert execute(store, say(ann, bob, "hi", "k")) == Appended(
        conversation, 1, 5, bob, repeated=True
    )
    assert execute(store, say_group(bob, group, "hi", "k")) == Appended(group, 3, 5, repeated=True)
    execute(store, DeleteGroup(ann, group, NOW_MS))
    assert execute(store, say_group(bob, group, "hi", "k")) == Appended(group, 3, 5, repeated=True)


def test_a_log_is_read_in_pages(store: DatabaseConnection) -> None:
    (ann,) = register_users(store, 1)
    group = make_group(store, ann)
    for number in range(2, 6):
        sent(store, say_group(ann, group, f"text {number}", f"k{number}"))
    log = read_all(store, group)
    assert execute(store, ReadLog(group, 0, 2)) == LogRead(log[:2], 5)
    assert execute(store, ReadLog(group, 2, 2)) == LogRead(log[2:4], 5)
    assert execute(store, ReadLog(group, 4, 2)) == LogRead(log[4:], 5)
    assert execute(store, ReadLog(group, 5, 2)) == LogRead((), 5)
    assert execute(store, ReadLog(group, 9, 2)) == LogRead((), 5)
    assert execute(store, ReadLog(999, 0, 2)) == LogRead((), 0)


seqs = st.integers(1, 12)


@given(
    since=st.integers(2, 6),
    before=st.none() | seqs,
    after=st.none() | st.integers(0, 12),
    limit=st.integers(1, 12),
)
def test_a_history_is_a_window_on_what_the_member_may_see(
    since: int, before: int | None, after: int | None, limit: int
) -> None:
    store = memory_store()
    ann, bob = register_users(store, 2)
    group = make_group(store, ann)
    append_batch(
        store,
        AppendCache(),
        [say_group(ann, group, key=str(number)) for number in range(since - 1)],
    )
    execute(store, JoinGroup(bob, group, NOW_MS))
    append_batch(
        store, AppendCache(), [say_group(bob, group, key=str(number)) for number in range(4)]
    )
    seen = [entry for entry in read_all(store, group) if entry.seq > since]
    outcome = execute(store, ReadHistory(bob, group, before, after, limit))
    assert isinstance(outcome, HistoryRead)
    if after is not None:
        wanted = [entry for entry in seen if entry.seq > after]
        page = wanted[:limit]
    else:
        wanted = [entry for entry in seen if before is None or entry.seq < before]
        page = wanted[-limit:]
    assert outcome == HistoryRead(tuple(page), more=len(wanted) > limit)
    store.close()


def test_a_history_of_nothing_is_refused(store: DatabaseConnection) -> None:
    (ann,) = register_users(store, 1)
    assert execute(store, ReadHistory(ann, 999, None, None, 10)) == refused("not_member")
    assert execute(store, MarkRead(ann, 999, 1)) == refused("not_member")


def test_a_read_mark_never_goes_back_nor_past_the_head(store: DatabaseConnection) -> None:
    ann, bob = register_users(store, 2)
    conversation = befriend(store, ann, bob)
    group = make_group(store, ann, bob)
    append_batch(store, AppendCache(), [say(ann, bob, key=str(number)) for number in range(5)])
    version = roster(store, bob).version
    for seq, mark in ((3, 3), (2, 3), (4, 4), (99, 5), (1, 5)):
        assert execute(store, MarkRead(bob, conversation, seq)) == ReadMarked(mark, ann)
        assert roster(store, bob).friends[0].read == mark
    assert roster(store, ann).friends[0].read == 0
    assert execute(store, MarkRead(bob, group, 99)) == ReadMarked(2, None)
    assert roster(store, bob).groups[0].read == 2
    assert roster(store, bob).version == version


def test_heads_and_versions_of_what_there_is(store: DatabaseConnection) -> None:
    ann, bob = register_users(store, 2)
    conversation = befriend(store, ann, bob)
    group = make_group(store, ann)
    sent(store, say(ann, bob))
    asked = ReadHeads((group, 999, conversation), (ann, 999))
    assert execute(store, asked) == HeadsRead(
        {group: 1, conversation: 1}, {ann: roster(store, ann).version}
    )
    many = tuple(range(1, 3_000))
    outcome = execute(store, ReadHeads(many, many))
    assert isinstance(outcome, HeadsRead)
    assert set(outcome.conversations) == {group, conversation}
    assert set(outcome.versions) == {ann, bob}
    assert execute(store, ReadHeads((), ())) == HeadsRead({}, {})


def test_a_full_batch_is_one_transaction(store: DatabaseConnection) -> None:
    ann, bob, cyd = register_users(store, 3)
    direct = befriend(store, ann, bob)
    group = make_group(store, ann, bob)
    batch: list[Append] = []
    for number in range(64):
        key = f"k{number}"
        batch += [
            say(ann, bob, key=f"direct {key}".replace(" ", "-")),
            say_group(ann, group, key=key),
            say_group(bob, group, key=key),
            say_group(cyd, group, key=key),
        ]
    cache = AppendCache()
    outcomes = append_batch(store, cache, batch)
    assert [o.seq for o in outcomes[0::4] if isinstance(o, Appended)] == list(range(1, 65))
    in_group = [o.seq for o in outcomes if isinstance(o, Appended) and o.conversation == group]
    assert in_group == list(range(3, 131))
    assert outcomes[3::4] == [refused("not_member")] * 64
    assert len(read_all(store, direct)) == 64
    assert len(read_all(store, group)) == 130
    repeated = append_batch(store, cache, batch)
    assert all(o.repeated for o in repeated if isinstance(o, Appended))
    assert len(read_all(store, group)) == 130
