"""A client session on a real node, one story each."""

import pytest

from chat.client.session import interface as io
from chat.core.ports import operations as op
from chat.protocol import messages as wire
from chat.protocol.errors import ErrorCode
from tests.client.client_harness import Client, ClientHarness

UNAVAILABLE = op.Refused(ErrorCode.UNAVAILABLE)


@pytest.fixture
def street() -> ClientHarness:
    street = ClientHarness()
    street.register("ann", "bob", "cyd")
    street.friends("ann", "bob")
    return street


def both(street: ClientHarness) -> tuple[Client, Client, int]:
    ann, bob = street.client("ann"), street.client("bob")
    ann.log_in()
    bob.log_in()
    friend = ann.session.roster.find_friend("bob")
    assert friend is not None
    return ann, bob, friend.conversation


def test_a_text_is_sent_and_applied_once_on_each_side(street: ClientHarness) -> None:
    ann, bob, conversation = both(street)
    ref = ann.chat("bob", "hello")
    street.run()
    (settled,) = ann.outcomes[ref]
    assert settled == io.SendSettled(ref, "ann0-1", conversation, 1)
    for client in (ann, bob):
        (entry,) = client.applied[conversation]
        assert (entry.seq, entry.text, entry.from_.name) == (1, "hello", "ann")
    assert ann.applied[conversation][0].key == "ann0-1"


def test_a_number_and_a_name_are_the_same_queue(street: ClientHarness) -> None:
    ann, _, conversation = both(street)
    for number in range(6):
        ann.chat("BOB" if number % 2 else 2, str(number))
    street.run()
    assert ann.texts(conversation) == list("012345")


def test_what_was_in_flight_is_sent_again_with_the_same_key(street: ClientHarness) -> None:
    ann, bob, conversation = both(street)
    ref = ann.chat(2, "hello")
    street.flow(ann, up=True, size=1 << 20)
    street.cut(ann)  # the node has it, the client has no answer
    street.pass_time(2_000)
    assert isinstance(ann.outcomes[ref][0], io.SendSettled)
    assert ann.texts(conversation) == bob.texts(conversation) == ["hello"]
    assert [entry.key for entry in street.log(conversation)] == ["ann0-1"]


def test_an_error_that_waiting_helps_is_waited_for(street: ClientHarness) -> None:
    ann, bob, conversation = both(street)
    street.fail = lambda operation: UNAVAILABLE if isinstance(operation, op.Append) else None
    refs = [ann.chat(2, text) for text in ("one", "two")]
    street.pass_time(3_000)
    assert ann.told(io.SendDelayed)
    assert not ann.outcomes
    street.fail = lambda operation: None
    street.pass_time(3_000)
    assert [len(ann.outcomes[ref]) for ref in refs] == [1, 1]
    assert bob.texts(conversation) == ["one", "two"]


def test_more_than_the_limit_is_kept_and_sent_later(street: ClientHarness) -> None:
    ann, bob, conversation = both(street)
    for number in range(100):
        ann.chat(2, str(number))
    street.run()
    assert 0 < len(ann.outcomes) < 100
    street.pass_time(20_000)
    assert bob.texts(conversation) == [str(number) for number in range(100)]


def test_a_text_that_waits_holds_back_nothing_said_to_others(street: ClientHarness) -> None:
    ann, bob, conversation = both(street)
    ann.ask(wire.CreateGroupRequest(id=0, name="gophers"))
    street.run()
    (group,) = ann.session.roster.groups
    street.fail = lambda operation: (
        UNAVAILABLE if isinstance(operation, op.Append) and operation.to else None
    )
    ann.chat(2, "later")
    ann.group_chat(group, "now")
    street.run()
    assert (ann.texts(conversation), ann.texts(group)) == ([], ["now"])
    street.fail = lambda operation: None
    street.pass_time(2_000)
    assert bob.texts(conversation) == ["later"]


def test_another_error_gives_the_text_back(street: ClientHarness) -> None:
    ann, _, _ = both(street)
    ref = ann.chat("cyd", "hello")
    street.run()
    (failed,) = ann.outcomes[ref]
    assert isinstance(failed, io.SendFailed)
    assert (failed.text, failed.code) == ("hello", ErrorCode.NOT_FRIENDS)
    assert ann.session.unsettled == 0


def test_after_a_break_the_stream_goes_on_at_the_cursor(street: ClientHarness) -> None:
    ann, bob, conversation = both(street)
    for number in range(5):
        ann.chat(2, str(number))
        street.run()
        if number == 2:
            street.down.add(0)
            street.cut(bob)
            street.think()
    street.down.clear()
    street.pass_time(5_000)
    assert bob.texts(conversation) == list("01234")
    assert [notice.again for notice in bob.told(io.LoggedIn)] == [False, True]  # type: ignore[union-attr]


def test_a_restarted_node_makes_no_difference(street: ClientHarness) -> None:
    ann, bob, conversation = both(street)
    ann.chat(2, "before")
    street.run()
    street.restart(0)
    ann.chat(2, "after")
    street.pass_time(5_000)
    assert bob.texts(conversation) == ["before", "after"]


def test_a_gap_is_never_applied_but_healed(street: ClientHarness) -> None:
    ann, bob, conversation = both(street)
    ann.chat(2, "one")
    street.run()
    assert bob.wire is not None
    bob.handle(
        io.BytesReceived(
            bob.wire.number,
            b'{"type":"message","conversation":%d,"seq":3,"kind":"text",'
            b'"from":{"id":1,"name":"ann"},"text":"not yet","at":1}\n' % conversation,
        )
    )
    assert not bob.session.online
    ann.chat(2, "two")
    street.pass_time(2_000)
    assert bob.texts(conversation) == ["one", "two"]


def test_silence_is_looked_into_and_ended(street: ClientHarness) -> None:
    ann, bob, conversation = both(street)
    assert bob.wire is not None
    bob.wire.frozen = True
    ann.chat(2, "hello")
    street.pass_time(19_000)
    assert bob.texts(conversation) == []
    street.pass_time(12_000)
    assert bob.texts(conversation) == ["hello"]


def test_a_session_that_says_nothing_is_kept(street: ClientHarness) -> None:
    ann, bob, _ = both(street)
    street.pass_time(300_000)
    assert len(ann.told(io.LoggedIn)) == len(bob.told(io.LoggedIn)) == 1
    assert ann.session.online


def test_a_ping_is_answered_by_an_empty_line(street: ClientHarness) -> None:
    ann, _, _ = both(street)
    assert ann.wire is not None
    ann.handle(io.BytesReceived(ann.wire.number, b'{"type":"ping"}\n'))
    assert list(ann.wire.to_node) == [b"\n"]
    street.run()
    street.pass_time(60_000)
    assert ann.session.online
    assert len(ann.told(io.LoggedIn)) == 1


def test_a_draining_node_is_left_and_come_back_to(street: ClientHarness) -> None:
    ann, bob, conversation = both(street)
    assert ann.wire is not None
    ann.chat(2, "one")
    ann.handle(io.BytesReceived(ann.wire.number, b'{"type":"draining","retry_after_ms":3000}\n'))
    ann.chat(2, "two")
    street.pass_time(2_900)
    assert not ann.session.online
    assert bob.texts(conversation) == ["one"]
    street.pass_time(1_000)
    assert bob.texts(conversation) == ["one", "two"]


def test_a_token_that_is_not_taken_is_replaced_by_a_login(street: ClientHarness) -> None:
    ann, bob, conversation = both(street)
    street.store.execute("DELETE FROM devices")
    street.cut(ann)
    ann.chat(2, "still here")
    street.pass_time(2_000)
    assert bob.texts(conversation) == ["still here"]
    assert not ann.told(io.LoginFailed)


def test_a_login_in_place_of_a_token_misses_nothing(street: ClientHarness) -> None:
    """A login starts at what another device has read; the cursor of this one is below that."""
    ann, bob, conversation = both(street)
    second = street.client("bob")
    second.shows = True
    second.log_in()
    street.cut(bob)
    street.down.add(0)
    street.think()
    for text in ("one", "two"):
        ann.chat(2, text)
    street.run()
    street.pass_time(1_000)
    assert second.texts(conversation) == ["one", "two"]
    street.store.execute("DELETE FROM devices")
    street.down.clear()
    street.pass_time(10_000)
    assert bob.texts(conversation) == ["one", "two"]


def test_a_wrong_password_is_told(street: ClientHarness) -> None:
    ann = street.client("ann")
    ann.handle(io.LogIn("ann", "not-the-secret"))
    street.run()
    (failed,) = ann.told(io.LoginFailed)
    assert isinstance(failed, io.LoginFailed)
    assert failed.code is ErrorCode.BAD_CREDENTIALS
    ann.log_in()
    assert ann.session.online


def test_register_then_login(street: ClientHarness) -> None:
    dot = street.client("dot")
    dot.handle(io.Register("ann", "secret-dot"))
    street.run()
    (failed,) = dot.told(io.RegisterFailed)
    assert isinstance(failed, io.RegisterFailed)
    assert failed.code is ErrorCode.NAME_TAKEN
    dot.handle(io.Register("dot", "secret-dot"))
    street.run()
    assert dot.told(io.Registered) == [io.Registered(wire.User(id=4, name="dot"))]
    street.pass_time(30_000)  # the node lets go of who does not log in; that is no news
    dot.log_in()
    assert dot.session.online


def test_a_register_whose_answer_is_lost_is_told_as_not_known(street: ClientHarness) -> None:
    dot = street.client("dot")
    street.hold_answers = lambda operation: isinstance(operation, op.CreateUser)
    dot.handle(io.Register("dot", "secret-dot"))
    street.run()
    street.cut(dot)
    street.run()
    (failed,) = dot.told(io.RegisterFailed)
    assert isinstance(failed, io.RegisterFailed)
    assert failed.code is None


def test_a_join_whose_answer_was_lost_counts_as_done(street: ClientHarness) -> None:
    ann, bob, _ = both(street)
    created = ann.ask(wire.CreateGroupRequest(id=0, name="gophers"))
    street.run()
    done = ann.outcome(created)
    assert isinstance(done, io.RequestDone)
    assert isinstance(done.reply, wire.GroupCreatedReply)
    group = done.reply.group.id
    joined = bob.ask(wire.JoinGroupRequest(id=0, group=group))
    street.flow(bob, up=True, size=1 << 20)
    street.cut(bob)
    street.pass_time(5_000)
    again = bob.outcome(joined)
    assert isinstance(again, io.RequestDone)
    assert isinstance(again.reply, wire.JoinedReply)
    assert again.reply.group.id == group
    assert [entry.kind for entry in street.log(group)] == ["joined", "joined"]


def test_a_group_is_not_made_twice(street: ClientHarness) -> None:
    ann, _, _ = both(street)
    created = ann.ask(wire.CreateGroupRequest(id=0, name="gophers"))
    street.flow(ann, up=True, size=1 << 20)
    street.cut(ann)
    street.pass_time(5_000)
    outcome = ann.outcome(created)
    assert isinstance(outcome, io.RequestFailed)
    assert outcome.code is None
    assert [group.name for group in ann.session.roster.groups.values()] == ["gophers"]


def test_whoever_leaves_and_comes_back_goes_on_at_the_new_joining(street: ClientHarness) -> None:
    ann, bob, _ = both(street)
    ann.ask(wire.CreateGroupRequest(id=0, name="gophers"))
    street.run()
    (group,) = ann.session.roster.groups
    for request in (
        wire.JoinGroupRequest(id=0, group=group),
        wire.LeaveGroupRequest(id=0, group=group),
    ):
        bob.ask(request)
        street.run()
    ann.group_chat(group, "not for bob")
    street.run()
    bob.ask(wire.JoinGroupRequest(id=0, group=group))
    street.run()
    ann.group_chat(group, "for bob")
    street.run()
    assert [(entry.seq, entry.kind) for entry in bob.applied[group]] == [
        (2, "joined"),
        (3, "left"),
        (5, "joined"),
        (6, "text"),
    ]
    assert len(bob.told(io.LoggedIn)) == 1


def test_read_marks_are_gathered(street: ClientHarness) -> None:
    ann, bob, _ = both(street)
    bob.shows = True
    for number in range(20):
        ann.chat(2, str(number))
    street.pass_time(10_000)
    receipts = [notice.seq for notice in ann.told(io.ReadBy)]  # type: ignore[union-attr]
    assert receipts[-1] == 20
    assert receipts == sorted(receipts)
    assert len(receipts) <= 3
    assert bob.session.roster.friends[1].read == 20


def test_what_was_shown_does_not_come_again_at_the_next_login(street: ClientHarness) -> None:
    ann, bob, conversation = both(street)
    bob.shows = True
    ann.chat(2, "one")
    ann.chat(2, "two")
    street.run()
    bob.handle(io.LogOut())
    street.run()
    assert bob.told(io.LoggedOut)
    ann.chat(2, "three")
    street.run()
    again = street.client("bob")
    again.log_in()
    assert again.texts(conversation) == ["three"]
    (entry,) = [n for n in again.notices if isinstance(n, io.EntryApplied)]
    assert entry.backlog
    assert again.notices.index(entry) < again.notices.index(io.CaughtUp())


def test_logging_out_gives_back_what_was_not_sent(street: ClientHarness) -> None:
    ann, _, _ = both(street)
    street.down.add(0)
    street.cut(ann)
    street.think()
    ref = ann.chat(2, "too late")
    ann.handle(io.LogOut())
    (failed,) = ann.outcomes[ref]
    assert isinstance(failed, io.SendFailed)
    assert (failed.text, failed.unknown) == ("too late", False)
    assert ann.session.next_deadline_ms() is None
    street.down.clear()
    ann.log_in()
    assert ann.session.online


def test_the_roster_follows_the_news(street: ClientHarness) -> None:
    ann, bob, _ = both(street)
    cyd = street.client("cyd")
    cyd.log_in()
    cyd.ask(wire.AddFriendRequest(id=0, user="ann"))
    street.run()
    assert list(ann.session.roster.requests) == [3]
    ann.ask(wire.AddFriendRequest(id=0, user=3))
    street.run()
    assert list(ann.session.roster.friends) == [2, 3]
    assert not ann.session.roster.requests
    assert cyd.told(io.FriendAdded)
    ann.ask(wire.RemoveFriendRequest(id=0, user="bob"))
    street.run()
    assert list(ann.session.roster.friends) == [3]
    assert bob.told(io.FriendRemoved)


def test_a_change_that_was_missed_is_told_after_the_reconnect(street: ClientHarness) -> None:
    ann, bob, _ = both(street)
    cyd = street.client("cyd")
    cyd.log_in()
    street.down.add(0)
    street.cut(bob)
    street.think()
    ann.ask(wire.CreateGroupRequest(id=0, name="gophers"))
    ann.ask(wire.RemoveFriendRequest(id=0, user=2))
    cyd.ask(wire.AddFriendRequest(id=0, user="bob"))
    street.run()
    street.down.clear()
    street.pass_time(2_000)
    assert len(bob.told(io.FriendRemoved)) == 1
    assert bob.told(io.FriendRequested) == [io.FriendRequested(wire.User(id=3, name="cyd"))]


def test_cursors_that_do_not_fit_into_a_line_are_left_out_and_nothing_is_missed() -> None:
    street = ClientHarness(login_line_bytes=280)
    street.register("ann", "bob")
    ann = street.client("ann")
    ann.log_in()
    for number in range(30):
        ann.ask(wire.CreateGroupRequest(id=0, name=f"group {number}"))
    street.run()
    street.cut(ann)
    ann.group_chat(7, "hello")
    street.pass_time(30_000)
    for group in ann.session.roster.groups:
        seqs = [entry.seq for entry in ann.applied[group]]
        assert seqs == [entry.seq for entry in street.log(group)]
    assert not ann.told(io.LoginFailed)


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense\n",
        b"\xff\xfe\n",
        b'{"type":"sent","re":1}\n',
        b"[" * 5000 + b"\n",
        b'{"type":"error","code":"bad_frame","message":"what?"}\n',
    ],
)
def test_what_cannot_be_understood_ends_the_connection(street: ClientHarness, line: bytes) -> None:
    ann, bob, conversation = both(street)
    assert ann.wire is not None
    ann.handle(io.BytesReceived(ann.wire.number, line))
    assert not ann.session.online
    ann.chat(2, "still here")
    street.pass_time(2_000)
    assert bob.texts(conversation) == ["still here"]


def test_a_push_of_a_new_kind_is_left_out(street: ClientHarness) -> None:
    ann, _, _ = both(street)
    assert ann.wire is not None
    ann.handle(io.BytesReceived(ann.wire.number, b'{"type":"weather","sky":"blue"}\n'))
    assert ann.session.online


def test_another_protocol_is_not_spoken(street: ClientHarness) -> None:
    ann = street.client("ann")
    ann.handle(io.LogIn("ann", "secret-ann"))
    ann.handle(io.Connected(1))
    ann.handle(
        io.BytesReceived(
            1,
            b'{"type":"welcome","protocol":9,"node":"n","now":1,"limits":{"login_line_bytes":1,'
            b'"line_bytes":1,"in_flight":1,"sends_per_second":1,"send_burst":1,"ping_ms":1,'
            b'"dead_ms":1}}\n',
        )
    )
    (failed,) = ann.told(io.LoginFailed)
    assert "version 9" in failed.message  # type: ignore[union-attr]
    assert ann.session.next_deadline_ms() is None


def test_the_wait_between_dials_grows_to_a_bound() -> None:
    street = ClientHarness()
    street.down.add(0)
    ann = street.client("ann")
    ann.log_in()
    street.pass_time(600_000)
    waits = [
        notice.retry_in_ms
        for notice in ann.notices
        if isinstance(notice, io.ConnectionState) and notice.state is io.Link.WAITING
    ]
    assert max(waits) <= 10_000
    assert max(waits[:3]) <= 800
    assert 60 < len(waits) < 240
