"""Client sessions on a real node, one story each."""

import pytest

from chat.client.session.ports import events, notices
from chat.core.ports import operations as op
from chat.protocol import messages as wire
from chat.protocol.errors import ErrorCode
from tests.client.client_harness import EVERYTHING_BYTES, Client, ClientHarness

UNAVAILABLE = op.Refused(ErrorCode.UNAVAILABLE)


@pytest.fixture
def harness() -> ClientHarness:
    harness = ClientHarness()
    harness.register("ann", "bob", "cyd")
    harness.friends("ann", "bob")
    return harness


def both(harness: ClientHarness) -> tuple[Client, Client, int]:
    ann, bob = harness.client("ann"), harness.client("bob")
    ann.log_in()
    bob.log_in()
    friend = ann.session.roster.find_friend("bob")
    assert friend is not None
    return ann, bob, friend.conversation


def test_a_text_is_sent_and_applied_once_on_each_side(harness: ClientHarness) -> None:
    ann, bob, conversation = both(harness)
    ref = ann.chat("bob", "hello")
    harness.run()
    (settled,) = ann.outcomes[ref]
    assert settled == notices.SendSettled(ref, "ann0-1", conversation, 1)
    for client in (ann, bob):
        (entry,) = client.applied[conversation]
        assert (entry.seq, entry.text, entry.from_.name) == (1, "hello", "ann")
    assert ann.applied[conversation][0].key == "ann0-1"


def test_a_number_and_a_name_are_the_same_queue(harness: ClientHarness) -> None:
    ann, _, conversation = both(harness)
    for number in range(6):
        ann.chat("BOB" if number % 2 else 2, str(number))
    harness.run()
    assert ann.texts(conversation) == list("012345")


def test_a_send_in_flight_is_sent_again_with_the_same_key(harness: ClientHarness) -> None:
    ann, bob, conversation = both(harness)
    ref = ann.chat(2, "hello")
    harness.transfer(ann, to_node=True, max_bytes=EVERYTHING_BYTES)
    harness.disconnect(ann)  # the node has it, the client has no answer
    harness.pass_time(2_000)
    assert isinstance(ann.outcomes[ref][0], notices.SendSettled)
    assert ann.texts(conversation) == bob.texts(conversation) == ["hello"]
    assert [entry.key for entry in harness.log(conversation)] == ["ann0-1"]


def test_a_send_that_is_unavailable_is_sent_again_later(harness: ClientHarness) -> None:
    ann, bob, conversation = both(harness)
    harness.fail = lambda operation: UNAVAILABLE if isinstance(operation, op.Append) else None
    refs = [ann.chat(2, text) for text in ("one", "two")]
    harness.pass_time(3_000)
    assert ann.told(notices.SendDelayed)
    assert not ann.outcomes
    harness.fail = lambda operation: None
    harness.pass_time(3_000)
    assert [len(ann.outcomes[ref]) for ref in refs] == [1, 1]
    assert bob.texts(conversation) == ["one", "two"]


def test_sends_over_the_rate_limit_are_sent_later(harness: ClientHarness) -> None:
    ann, bob, conversation = both(harness)
    for number in range(100):
        ann.chat(2, str(number))
    harness.run()
    assert 0 < len(ann.outcomes) < 100
    harness.pass_time(20_000)
    assert bob.texts(conversation) == [str(number) for number in range(100)]


def test_a_text_that_waits_holds_back_no_other_target(harness: ClientHarness) -> None:
    ann, bob, conversation = both(harness)
    ann.request(wire.CreateGroupRequest(id=0, name="gophers"))
    harness.run()
    (group,) = ann.session.roster.groups
    harness.fail = lambda operation: (
        UNAVAILABLE if isinstance(operation, op.Append) and operation.to else None
    )
    ann.chat(2, "later")
    ann.group_chat(group, "now")
    harness.run()
    assert (ann.texts(conversation), ann.texts(group)) == ([], ["now"])
    harness.fail = lambda operation: None
    harness.pass_time(2_000)
    assert bob.texts(conversation) == ["later"]


def test_a_send_that_is_refused_for_good_gives_the_text_back(harness: ClientHarness) -> None:
    ann, _, _ = both(harness)
    ref = ann.chat("cyd", "hello")
    harness.run()
    (failed,) = ann.outcomes[ref]
    assert isinstance(failed, notices.SendFailed)
    assert (failed.text, failed.code) == ("hello", ErrorCode.NOT_FRIENDS)
    assert ann.session.unsettled == 0


def test_after_a_reconnect_the_stream_goes_on_at_the_cursor(harness: ClientHarness) -> None:
    ann, bob, conversation = both(harness)
    for number in range(5):
        ann.chat(2, str(number))
        harness.run()
        if number == 2:
            harness.down.add(0)
            harness.disconnect(bob)
            harness.handle_events()
    harness.down.clear()
    harness.pass_time(5_000)
    assert bob.texts(conversation) == list("01234")
    assert [notice.reconnected for notice in bob.told(notices.LoggedIn)] == [False, True]  # type: ignore[union-attr]


def test_a_restarted_node_makes_no_difference(harness: ClientHarness) -> None:
    ann, bob, conversation = both(harness)
    ann.chat(2, "before")
    harness.run()
    harness.restart(0)
    ann.chat(2, "after")
    harness.pass_time(5_000)
    assert bob.texts(conversation) == ["before", "after"]


def test_a_gap_is_never_applied_but_healed(harness: ClientHarness) -> None:
    ann, bob, conversation = both(harness)
    ann.chat(2, "one")
    harness.run()
    assert bob.link is not None
    bob.handle(
        events.BytesReceived(
            bob.link.number,
            b'{"type":"message","conversation":%d,"seq":3,"kind":"text",'
            b'"from":{"id":1,"name":"ann"},"text":"not yet","at":1}\n' % conversation,
        )
    )
    assert not bob.session.online
    ann.chat(2, "two")
    harness.pass_time(2_000)
    assert bob.texts(conversation) == ["one", "two"]


def test_a_silent_connection_is_pinged_and_given_up(harness: ClientHarness) -> None:
    ann, bob, conversation = both(harness)
    assert bob.link is not None
    bob.link.frozen = True
    ann.chat(2, "hello")
    harness.pass_time(19_000)
    assert bob.texts(conversation) == []
    harness.pass_time(12_000)
    assert bob.texts(conversation) == ["hello"]


def test_an_idle_session_keeps_its_connection(harness: ClientHarness) -> None:
    ann, bob, _ = both(harness)
    harness.pass_time(300_000)
    assert len(ann.told(notices.LoggedIn)) == len(bob.told(notices.LoggedIn)) == 1
    assert ann.session.online


def test_a_ping_is_answered_by_an_empty_line(harness: ClientHarness) -> None:
    ann, _, _ = both(harness)
    assert ann.link is not None
    ann.handle(events.BytesReceived(ann.link.number, b'{"type":"ping"}\n'))
    assert list(ann.link.to_node) == [b"\n"]
    harness.run()
    harness.pass_time(60_000)
    assert ann.session.online
    assert len(ann.told(notices.LoggedIn)) == 1


def test_a_draining_node_is_left_and_dialled_again_when_it_said(harness: ClientHarness) -> None:
    ann, bob, conversation = both(harness)
    assert ann.link is not None
    ann.chat(2, "one")
    ann.handle(
        events.BytesReceived(ann.link.number, b'{"type":"draining","retry_after_ms":3000}\n')
    )
    ann.chat(2, "two")
    harness.pass_time(2_900)
    assert not ann.session.online
    assert bob.texts(conversation) == ["one"]
    harness.pass_time(1_000)
    assert bob.texts(conversation) == ["one", "two"]


def test_a_refused_token_is_replaced_by_the_password(harness: ClientHarness) -> None:
    ann, bob, conversation = both(harness)
    harness.store.execute("DELETE FROM devices")
    harness.disconnect(ann)
    ann.chat(2, "still here")
    harness.pass_time(2_000)
    assert bob.texts(conversation) == ["still here"]
    assert not ann.told(notices.LoginFailed)


def test_a_login_in_place_of_a_token_misses_nothing(harness: ClientHarness) -> None:
    """A login starts at what another device has read; the cursor of this one is below that."""
    ann, bob, conversation = both(harness)
    second = harness.client("bob")
    second.marks_read = True
    second.log_in()
    harness.disconnect(bob)
    harness.down.add(0)
    harness.handle_events()
    for text in ("one", "two"):
        ann.chat(2, text)
    harness.run()
    harness.pass_time(1_000)
    assert second.texts(conversation) == ["one", "two"]
    harness.store.execute("DELETE FROM devices")
    harness.down.clear()
    harness.pass_time(10_000)
    assert bob.texts(conversation) == ["one", "two"]


def test_a_wrong_password_is_told(harness: ClientHarness) -> None:
    ann = harness.client("ann")
    ann.handle(events.LogIn("ann", "not-the-secret"))
    harness.run()
    (failed,) = ann.told(notices.LoginFailed)
    assert isinstance(failed, notices.LoginFailed)
    assert failed.code is ErrorCode.BAD_CREDENTIALS
    ann.log_in()
    assert ann.session.online


def test_register_then_login(harness: ClientHarness) -> None:
    dot = harness.client("dot")
    dot.handle(events.Register("ann", "secret-dot"))
    harness.run()
    (failed,) = dot.told(notices.RegisterFailed)
    assert isinstance(failed, notices.RegisterFailed)
    assert failed.code is ErrorCode.NAME_TAKEN
    dot.handle(events.Register("dot", "secret-dot"))
    harness.run()
    assert dot.told(notices.Registered) == [notices.Registered(wire.User(id=4, name="dot"))]
    harness.pass_time(30_000)  # the node closes the connection, since it does not log in
    dot.log_in()
    assert dot.session.online


def test_a_register_whose_answer_is_lost_is_told_as_not_known(harness: ClientHarness) -> None:
    dot = harness.client("dot")
    harness.hold_answers = lambda operation: isinstance(operation, op.CreateUser)
    dot.handle(events.Register("dot", "secret-dot"))
    harness.run()
    harness.disconnect(dot)
    harness.run()
    (failed,) = dot.told(notices.RegisterFailed)
    assert isinstance(failed, notices.RegisterFailed)
    assert failed.code is None


def test_a_join_whose_answer_was_lost_counts_as_done(harness: ClientHarness) -> None:
    ann, bob, _ = both(harness)
    created = ann.request(wire.CreateGroupRequest(id=0, name="gophers"))
    harness.run()
    done = ann.outcome(created)
    assert isinstance(done, notices.RequestDone)
    assert isinstance(done.reply, wire.GroupCreatedReply)
    group = done.reply.group.id
    joined = bob.request(wire.JoinGroupRequest(id=0, group=group))
    harness.transfer(bob, to_node=True, max_bytes=EVERYTHING_BYTES)
    harness.disconnect(bob)
    harness.pass_time(5_000)
    again = bob.outcome(joined)
    assert isinstance(again, notices.RequestDone)
    assert isinstance(again.reply, wire.JoinedReply)
    assert again.reply.group.id == group
    assert [entry.kind for entry in harness.log(group)] == ["joined", "joined"]


def test_a_group_is_not_made_twice(harness: ClientHarness) -> None:
    ann, _, _ = both(harness)
    created = ann.request(wire.CreateGroupRequest(id=0, name="gophers"))
    harness.transfer(ann, to_node=True, max_bytes=EVERYTHING_BYTES)
    harness.disconnect(ann)
    harness.pass_time(5_000)
    outcome = ann.outcome(created)
    assert isinstance(outcome, notices.RequestFailed)
    assert outcome.code is None
    assert [group.name for group in ann.session.roster.groups.values()] == ["gophers"]


def test_a_member_who_joins_again_goes_on_at_the_new_joining(harness: ClientHarness) -> None:
    ann, bob, _ = both(harness)
    ann.request(wire.CreateGroupRequest(id=0, name="gophers"))
    harness.run()
    (group,) = ann.session.roster.groups
    for request in (
        wire.JoinGroupRequest(id=0, group=group),
        wire.LeaveGroupRequest(id=0, group=group),
    ):
        bob.request(request)
        harness.run()
    ann.group_chat(group, "not for bob")
    harness.run()
    bob.request(wire.JoinGroupRequest(id=0, group=group))
    harness.run()
    ann.group_chat(group, "for bob")
    harness.run()
    assert [(entry.seq, entry.kind) for entry in bob.applied[group]] == [
        (2, "joined"),
        (3, "left"),
        (5, "joined"),
        (6, "text"),
    ]
    assert len(bob.told(notices.LoggedIn)) == 1


def test_read_marks_are_gathered(harness: ClientHarness) -> None:
    ann, bob, _ = both(harness)
    bob.marks_read = True
    for number in range(20):
        ann.chat(2, str(number))
    harness.pass_time(10_000)
    receipts = [notice.seq for notice in ann.told(notices.ReadBy)]  # type: ignore[union-attr]
    assert receipts[-1] == 20
    assert receipts == sorted(receipts)
    assert len(receipts) <= 3
    assert bob.session.roster.friends[1].read == 20


def test_entries_that_were_read_do_not_come_again_at_the_next_login(harness: ClientHarness) -> None:
    ann, bob, conversation = both(harness)
    bob.marks_read = True
    ann.chat(2, "one")
    ann.chat(2, "two")
    harness.run()
    bob.handle(events.LogOut())
    harness.run()
    assert bob.told(notices.LoggedOut)
    ann.chat(2, "three")
    harness.run()
    again = harness.client("bob")
    again.log_in()
    assert again.texts(conversation) == ["three"]
    (entry,) = [n for n in again.notices if isinstance(n, notices.EntryApplied)]
    assert entry.backlog
    assert again.notices.index(entry) < again.notices.index(notices.CaughtUp())


def test_logging_out_gives_back_what_was_not_sent(harness: ClientHarness) -> None:
    ann, _, _ = both(harness)
    harness.down.add(0)
    harness.disconnect(ann)
    harness.handle_events()
    ref = ann.chat(2, "too late")
    ann.handle(events.LogOut())
    (failed,) = ann.outcomes[ref]
    assert isinstance(failed, notices.SendFailed)
    assert (failed.text, failed.unknown) == ("too late", False)
    assert ann.session.next_deadline_ms() is None
    harness.down.clear()
    ann.log_in()
    assert ann.session.online


def test_the_roster_follows_the_pushes(harness: ClientHarness) -> None:
    ann, bob, _ = both(harness)
    cyd = harness.client("cyd")
    cyd.log_in()
    cyd.request(wire.AddFriendRequest(id=0, user="ann"))
    harness.run()
    assert list(ann.session.roster.requests) == [3]
    ann.request(wire.AddFriendRequest(id=0, user=3))
    harness.run()
    assert list(ann.session.roster.friends) == [2, 3]
    assert not ann.session.roster.requests
    assert cyd.told(notices.FriendAdded)
    ann.request(wire.RemoveFriendRequest(id=0, user="bob"))
    harness.run()
    assert list(ann.session.roster.friends) == [3]
    assert bob.told(notices.FriendRemoved)


def test_a_change_that_was_missed_is_told_after_the_reconnect(harness: ClientHarness) -> None:
    ann, bob, _ = both(harness)
    cyd = harness.client("cyd")
    cyd.log_in()
    harness.down.add(0)
    harness.disconnect(bob)
    harness.handle_events()
    ann.request(wire.CreateGroupRequest(id=0, name="gophers"))
    ann.request(wire.RemoveFriendRequest(id=0, user=2))
    cyd.request(wire.AddFriendRequest(id=0, user="bob"))
    harness.run()
    harness.down.clear()
    harness.pass_time(2_000)
    assert len(bob.told(notices.FriendRemoved)) == 1
    assert bob.told(notices.FriendRequested) == [
        notices.FriendRequested(wire.User(id=3, name="cyd"))
    ]


def test_cursors_that_do_not_fit_into_a_line_are_left_out_and_nothing_is_missed() -> None:
    harness = ClientHarness(login_line_bytes=280)
    harness.register("ann", "bob")
    ann = harness.client("ann")
    ann.log_in()
    for number in range(30):
        ann.request(wire.CreateGroupRequest(id=0, name=f"group {number}"))
    harness.run()
    harness.disconnect(ann)
    ann.group_chat(7, "hello")
    harness.pass_time(30_000)
    for group in ann.session.roster.groups:
        seqs = [entry.seq for entry in ann.applied[group]]
        assert seqs == [entry.seq for entry in harness.log(group)]
    assert not ann.told(notices.LoginFailed)


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
def test_a_line_that_is_not_the_protocol_ends_the_connection(
    harness: ClientHarness, line: bytes
) -> None:
    ann, bob, conversation = both(harness)
    assert ann.link is not None
    ann.handle(events.BytesReceived(ann.link.number, line))
    assert not ann.session.online
    ann.chat(2, "still here")
    harness.pass_time(2_000)
    assert bob.texts(conversation) == ["still here"]


def test_a_push_of_an_unknown_type_is_left_out(harness: ClientHarness) -> None:
    ann, _, _ = both(harness)
    assert ann.link is not None
    ann.handle(events.BytesReceived(ann.link.number, b'{"type":"weather","sky":"blue"}\n'))
    assert ann.session.online


def test_another_version_of_the_protocol_is_refused(harness: ClientHarness) -> None:
    ann = harness.client("ann")
    ann.handle(events.LogIn("ann", "secret-ann"))
    ann.handle(events.Connected(1))
    ann.handle(
        events.BytesReceived(
            1,
            b'{"type":"welcome","protocol":9,"node":"n","now":1,"limits":{"login_line_bytes":1,'
            b'"line_bytes":1,"in_flight":1,"sends_per_second":1,"send_burst":1,"ping_ms":1,'
            b'"dead_ms":1}}\n',
        )
    )
    (failed,) = ann.told(notices.LoginFailed)
    assert "version 9" in failed.message  # type: ignore[union-attr]
    assert ann.session.next_deadline_ms() is None


def test_the_wait_between_dials_grows_to_a_bound() -> None:
    harness = ClientHarness()
    harness.down.add(0)
    ann = harness.client("ann")
    ann.log_in()
    harness.pass_time(600_000)
    waits = [
        notice.retry_in_ms
        for notice in ann.notices
        if isinstance(notice, notices.ConnectionChanged)
        and notice.status is notices.ConnectionStatus.WAITING
    ]
    assert max(waits) <= 10_000
    assert max(waits[:3]) <= 800
    assert 60 < len(waits) < 240
