"""Stories of people on nodes that share a store and a bus."""

import msgspec
import pytest

from chat.core.node import Node
from chat.core.ports import events as ev
from chat.core.ports import operations as op
from chat.core.ports.effects import AnyEffect
from chat.core.ports.events import AnyEvent
from chat.core.upkeep.admission import LINGER_MS
from tests.core.node_harness import UNAVAILABLE, NodeHarness, Peer


def login_fields(name: str) -> dict[str, str]:
    return {"user": name, "password": f"secret-{name}"}


@pytest.fixture
def harness() -> NodeHarness:
    return NodeHarness(nodes=2)


# ---------------------------------------------------------------------------- accounts


def test_a_name_is_taken_whatever_its_case(harness: NodeHarness) -> None:
    harness.register("ann")
    reply = harness.connect().call("register", name="ANN", password="12345678")
    assert reply["code"] == "name_taken"


def test_login_by_number_and_by_name_in_any_case(harness: NodeHarness) -> None:
    (ann,) = harness.register("ann")
    for who in (ann, "ann", "Ann"):
        reply = harness.connect().call("login", user=who, password="secret-ann")
        assert reply["user"] == {"id": ann, "name": "ann"}


def test_an_unknown_user_and_a_wrong_password_look_the_same(harness: NodeHarness) -> None:
    harness.register("ann")
    replies = [
        harness.connect().call("login", user=u, password="wrong wrong") for u in ("ann", "zoe")
    ]
    assert [r["code"] for r in replies] == ["bad_credentials"] * 2


def test_five_failed_logins_a_minute_and_the_wait_that_is_named_is_enough(
    harness: NodeHarness,
) -> None:
    harness.register("ann")
    for _ in range(5):
        harness.connect().call("login", user="ann", password="wrong wrong")
    refused = harness.connect().call("login", **login_fields("ann"))
    assert refused["code"] == "rate_limited"
    harness.pass_time(refused["retry_after_ms"])
    assert harness.login("ann").open


def test_twenty_connections_of_an_address_may_be_anonymous(harness: NodeHarness) -> None:
    harness.register("ann")
    logged_in = [harness.login("ann") for _ in range(25)]
    peers = [harness.connect() for _ in range(20)]
    assert all(peer.open for peer in peers + logged_in)
    refused = harness.connect()
    assert refused.got[-1]["code"] == "busy"
    assert harness.connect(address="10.0.0.2").open
    harness.pass_time(LINGER_MS)
    assert not refused.open
    assert all(peer.open for peer in peers + logged_in)
    peers[0].hang_up()
    harness.run()
    assert harness.connect().open


def test_a_logout_ends_the_token_and_the_connection_may_log_in_again(harness: NodeHarness) -> None:
    harness.register("ann", "bob")
    ann = harness.login("ann")
    token = ann.got[-1]["token"]
    assert ann.call("logout")["type"] == "done"
    assert ann.call("profile")["code"] == "not_logged_in"
    assert harness.connect().call("resume", token=token)["code"] == "bad_credentials"
    assert ann.call("login", **login_fields("bob"))["user"]["name"] == "bob"


def test_ten_requests_in_one_segment_are_answered_in_order(harness: NodeHarness) -> None:
    conversation = befriended(harness)
    ann = harness.login("ann")
    ann.forget()
    kinds = [
        "ping",
        "profile",
        "chat",
        "chat",
        "nonsense",
        "chat",
        "snapshot",
        "chat",
        "ping",
        "chat",
    ]
    fields = {"chat": {"to": "bob", "text": "hi"}}
    for number, kind in enumerate(kinds):
        key = {"key": f"k{number}"} if kind == "chat" else {}
        ann.ask(kind, **fields.get(kind, {}), **key)
    harness.run()
    replies = [line for line in ann.got if "re" in line]
    assert [line["re"] for line in replies] == sorted(line["re"] for line in replies)
    assert len(replies) == len(kinds)
    assert [r["seq"] for r in replies if r["type"] == "sent"] == [1, 2, 3, 4, 5]
    assert ann.texts(conversation) == []


# ---------------------------------------------------------------------------- friends


def befriended(harness: NodeHarness) -> int:
    harness.register("ann", "bob")
    return harness.friends("ann", "bob")


def test_add_friend_both_ways_across_nodes(harness: NodeHarness) -> None:
    ann_id, bob_id = harness.register("ann", "bob")
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    assert ann.call("add_friend", user=bob_id)["type"] == "done"
    assert bob.pushes("friend_request")[0]["user"] == {"id": ann_id, "name": "ann"}
    assert ann.call("chat", to=bob_id, text="hi", key="k")["code"] == "not_friends"
    assert bob.call("add_friend", user="ANN")["type"] == "done"
    (friend,) = ann.pushes("friend")
    assert friend["friend"]["name"] == "bob"
    assert friend["friend"]["state"] == "online" or ann.pushes("presence")[0]["state"] == "online"
    sent = ann.call("chat", to=bob_id, text="hi", key="k")
    assert (sent["conversation"], sent["seq"]) == (friend["friend"]["conversation"], 1)
    (message,) = bob.pushes("message")
    assert (message["text"], message["from"], message["seq"]) == (
        "hi",
        {"id": ann_id, "name": "ann"},
        1,
    )
    assert "key" not in message


def test_removing_a_friend_ends_the_chat_on_both_sides(harness: NodeHarness) -> None:
    befriended(harness)
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    assert bob.call("remove_friend", user="ann")["type"] == "done"
    assert ann.pushes("friend_removed")[0]["user"]["name"] == "bob"
    assert ann.call("chat", to="bob", text="hi", key="k")["code"] == "not_friends"
    assert all(not node.node._streams.conversations for node in harness.nodes)


def test_a_block_stops_the_chat_and_not_the_friendship(harness: NodeHarness) -> None:
    befriended(harness)
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    assert bob.call("block", user="ann")["type"] == "done"
    assert ann.call("chat", to="bob", text="hi", key="k")["code"] == "blocked"
    assert bob.call("unblock", user="ann")["type"] == "done"
    assert ann.call("chat", to="bob", text="hi", key="k")["type"] == "sent"


def test_everything_for_one_who_was_away_in_order_and_once(harness: NodeHarness) -> None:
    conversation = befriended(harness)
    ann = harness.login("ann")
    texts = [f"text {n}" for n in range(40)]
    for number, text in enumerate(texts):
        ann.call("chat", to="bob", text=text, key=f"k{number}")
    bob = harness.login("bob", 1)
    harness.run()
    assert bob.texts(conversation) == texts
    bob.call("mark_read", conversation=conversation, seq=40)
    bob.hang_up()
    again = harness.login("bob", 0)
    harness.run()
    assert again.texts(conversation) == []


def test_the_same_key_again_gives_the_first_seq_and_no_second_entry(harness: NodeHarness) -> None:
    conversation = befriended(harness)
    ann, bob = harness.login("ann"), harness.login("bob", 1)
    first = ann.call("chat", to="bob", text="hi", key="k")
    again = ann.call("chat", to="bob", text="hi", key="k")
    assert (first["seq"], first["at"]) == (again["seq"], again["at"])
    assert ann.call("chat", to="bob", text="other", key="k")["code"] == "key_conflict"
    assert bob.texts(conversation) == ["hi"]


def test_other_devices_of_the_sender_get_the_entry_with_its_key(harness: NodeHarness) -> None:
    conversation = befriended(harness)
    ann, second, third = harness.login("ann", 0), harness.login("ann", 0), harness.login("ann", 1)
    ann.call("chat", to="bob", text="hi", key="k7")
    assert ann.texts(conversation) == []
    for device in (second, third):
        (message,) = device.pushes("message")
        assert message["key"] == "k7"


def test_a_reply_that_is_lost_with_its_commit_ends_the_connection(harness: NodeHarness) -> None:
    befriended(harness)
    ann = harness.login("ann")
    harness.fail = lambda operation: (
        op.CommitUnknown() if isinstance(operation, op.Append) else None
    )
    number = ann.ask("chat", to="bob", text="hi", key="k")
    harness.run()
    assert not ann.open
    assert not [line for line in ann.got if line.get("re") == number]


def test_a_sent_that_waits_for_its_place_does_not_follow_the_end(harness: NodeHarness) -> None:
    befriended(harness)
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    harness.lose_messages = lambda channel: True
    bob.call("chat", to="ann", text="one", key="b1")
    harness.fail = lambda operation: (
        UNAVAILABLE
        if isinstance(operation, op.ReadLog)
        else op.CommitUnknown()
        if isinstance(operation, op.Append) and operation.key == "a2"
        else None
    )
    waiting = ann.ask("chat", to="bob", text="two", key="a1")
    ann.ask("chat", to="bob", text="three", key="a2")
    harness.run()
    assert not ann.open
    assert not [line for line in ann.got if line.get("re") == waiting]


def test_while_the_store_is_down_writes_are_unavailable_at_once(harness: NodeHarness) -> None:
    befriended(harness)
    ann = harness.login("ann")
    harness.fail = lambda operation: UNAVAILABLE
    reply = ann.call("chat", to="bob", text="hi", key="k")
    assert (reply["code"], reply["retry_after_ms"] > 0) == ("unavailable", True)
    harness.fail = lambda operation: None
    assert ann.call("chat", to="bob", text="hi", key="k")["type"] == "sent"


# ---------------------------------------------------------------------------- lost hints


def test_a_lost_bus_message_is_found_by_the_sweep(harness: NodeHarness) -> None:
    conversation = befriended(harness)
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    harness.lose_messages = lambda channel: True
    ann.call("chat", to="bob", text="hi", key="k")
    assert bob.texts(conversation) == []
    for _ in range(3):
        harness.pass_time(10_000)
        bob.call("ping")
    assert bob.texts(conversation) == ["hi"]


def test_a_lost_bus_message_shows_as_a_gap_with_the_next(harness: NodeHarness) -> None:
    conversation = befriended(harness)
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    harness.lose_messages = lambda channel: True
    ann.call("chat", to="bob", text="one", key="k1")
    harness.lose_messages = lambda channel: False
    ann.call("chat", to="bob", text="two", key="k2")
    assert bob.texts(conversation) == ["one", "two"]


def test_lost_news_of_a_friend_is_found_by_the_sweep(harness: NodeHarness) -> None:
    harness.register("ann", "bob")
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    harness.lose_messages = lambda channel: True
    ann.call("add_friend", user="bob")
    assert bob.pushes("friend_request") == []
    for _ in range(3):
        harness.pass_time(10_000)
        bob.call("ping")
    assert len(bob.pushes("friend_request")) == 1


def test_without_a_bus_everything_arrives_within_about_a_second() -> None:
    harness = NodeHarness(nodes=2, bus=False)
    conversation = befriended(harness)
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    harness.lose_messages = lambda channel: True
    ann.call("chat", to="bob", text="hi", key="k")
    harness.pass_time(1_100)
    assert bob.texts(conversation) == ["hi"]


def test_when_the_bus_is_back_heads_are_compared_at_once(harness: NodeHarness) -> None:
    conversation = befriended(harness)
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    harness.nodes[1].feed(ev.BusDown())
    harness.lose_messages = lambda channel: True
    ann.call("chat", to="bob", text="hi", key="k")
    harness.nodes[1].feed(ev.BusUp())
    harness.run()
    assert bob.texts(conversation) == ["hi"]


# ---------------------------------------------------------------------------- presence, receipts


def test_friends_hear_who_comes_and_who_stays_away(harness: NodeHarness) -> None:
    befriended(harness)
    ann = harness.login("ann", 0)
    bob = harness.login("bob", 1)
    assert ann.pushes("presence") == [{"type": "presence", "user": 2, "state": "online"}]
    bob.hang_up()
    harness.pass_time(2_000)
    bob = harness.login("bob", 1)
    harness.pass_time(5_000)
    assert len(ann.pushes("presence")) == 1, "a quick return is no news"
    bob.hang_up()
    harness.pass_time(4_000)
    assert ann.pushes("presence")[-1]["state"] == "offline"


def test_a_user_is_online_while_any_node_has_them(harness: NodeHarness) -> None:
    befriended(harness)
    ann, here, there = harness.login("ann", 0), harness.login("bob", 0), harness.login("bob", 1)
    here.hang_up()
    harness.pass_time(5_000)
    assert [p["state"] for p in ann.pushes("presence")] == ["online"]
    there.hang_up()
    harness.pass_time(5_000)
    assert ann.pushes("presence")[-1]["state"] == "offline"


def test_who_became_a_friend_while_one_was_leaving_hears_it_too(harness: NodeHarness) -> None:
    others = [f"other{number}" for number in range(8)]
    harness.register("ann", "bob", *others)
    ann = harness.login("ann", 0)
    for name in others:  # The sweep has enough to do.
        harness.login(name, 1)
    bob = harness.login("bob", 1)
    bob.call("add_friend", user="ann")
    bob.hang_up()
    ann.call("add_friend", user="bob")
    harness.run()
    assert ann.pushes("presence")[-1]["state"] == "online"
    harness.pass_time(4_000)
    assert ann.pushes("presence")[-1]["state"] == "offline"


def test_an_old_answer_says_nothing_of_a_friend_it_was_not_asked_about(
    harness: NodeHarness,
) -> None:
    harness.register("ann", "bob", "cyd")
    harness.friends("ann", "cyd")
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    bob.call("add_friend", user="ann")
    harness.hold_answers = lambda asked: isinstance(asked, op.FindPresence) and asked.users == (3,)
    harness.pass_time(31_000)
    assert harness.held, "the sweep asks about cyd"
    ann.call("add_friend", user="bob")
    assert ann.pushes("presence") == [{"type": "presence", "user": 2, "state": "online"}]
    harness.answer_held()
    assert len(ann.pushes("presence")) == 1


def test_receipts_go_to_the_friend_and_to_ones_other_devices(harness: NodeHarness) -> None:
    conversation = befriended(harness)
    ann, bob, other = harness.login("ann", 0), harness.login("bob", 1), harness.login("bob", 1)
    ann.call("chat", to="bob", text="hi", key="k")
    bob.call("mark_read", conversation=conversation, seq=1)
    receipt = {"type": "receipt", "conversation": conversation, "user": 2, "seq": 1}
    assert (ann.pushes("receipt"), other.pushes("receipt")) == ([receipt], [receipt])
    assert bob.pushes("receipt") == []


# ---------------------------------------------------------------------------- limits


def test_sends_over_the_limit_are_told_when_to_come_again() -> None:
    harness = NodeHarness(sends_per_second=20, send_burst=5)
    befriended(harness)
    ann = harness.login("ann")
    replies = [ann.call("chat", to="bob", text="hi", key=f"k{n}") for n in range(6)]
    assert [r["type"] for r in replies] == ["sent"] * 5 + ["error"]
    harness.pass_time(replies[-1]["retry_after_ms"])
    assert ann.call("chat", to="bob", text="hi", key="k5")["type"] == "sent"


def test_a_peer_that_asks_faster_than_it_is_answered_has_to_wait() -> None:
    harness = NodeHarness(line_burst=4_000, cost_burst=100_000)
    befriended(harness)
    ann = harness.login("ann")
    harness.hold_answers = lambda operation: isinstance(operation, op.Append | op.ReadRoster)
    for _ in range(3_000):
        ann.ask("snapshot", padding="x" * 100)
    harness.run()
    assert ann.paused
    assert len(harness.held) == 1
    harness.hold_answers = lambda operation: False
    harness.answer_held()
    assert not ann.paused
    assert len([line for line in ann.got if line["type"] == "snapshot"]) == 3_000


def test_a_slow_reader_costs_a_number_and_comes_back(harness: NodeHarness) -> None:
    conversation = befriended(harness)
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    bob.node.feed(ev.WriteBufferFull(bob.connection))
    harness.run()
    for number in range(30):
        ann.call("chat", to="bob", text=f"text {number}", key=f"k{number}")
    assert bob.texts(conversation) == []
    bob.node.feed(ev.WriteBufferDrained(bob.connection, 0))
    harness.run()
    assert bob.texts(conversation) == [f"text {number}" for number in range(30)]


def test_a_reader_that_makes_no_progress_is_let_go(harness: NodeHarness) -> None:
    befriended(harness)
    bob = harness.login("bob", 1)
    bob.node.feed(ev.WriteBufferFull(bob.connection))
    for buffered_bytes in (900_000, 600_000, 500_000):
        for _ in range(3):
            harness.pass_time(15_000)
            bob.write(b'{"type":"ping","id":1}\n')
        bob.node.feed(ev.WriteBufferDrained(bob.connection, buffered_bytes))
        harness.run()
        assert bob.open
    for _ in range(5):
        harness.pass_time(15_000)
        if bob.open:
            bob.write(b'{"type":"ping","id":1}\n')
    assert not bob.open


# ---------------------------------------------------------------------------- the end


def test_a_drain_answers_what_is_under_way_and_sends_everyone_off(harness: NodeHarness) -> None:
    befriended(harness)
    ann = harness.login("ann")
    harness.hold_answers = lambda operation: isinstance(operation, op.Append)
    number = ann.ask("chat", to="bob", text="hi", key="k")
    harness.run()
    ann.node.feed(ev.Drain(200))
    harness.run()
    assert ann.got[-1] == {"type": "draining", "retry_after_ms": 200}
    assert ann.open
    harness.answer_held()
    assert (ann.got[-1]["type"], ann.got[-1]["re"]) == ("sent", number)
    assert not ann.open
    late = harness.connect()
    assert (late.got[-1]["type"], late.open) == ("draining", False)


def test_nothing_is_left_when_everyone_is_gone(harness: NodeHarness) -> None:
    befriended(harness)
    peers: list[Peer] = [harness.login(name, node) for name in ("ann", "bob") for node in (0, 1)]
    peers[0].call("create_group", name="all")
    for peer in peers:
        peer.hang_up()
    harness.pass_time(60_000)
    for host in harness.nodes:
        node = host.node
        assert node.resource_counts() == {}
        assert not host.subscribed and not host.online
        assert node.next_deadline_ms() is None


def test_the_same_events_give_the_same_effects_byte_for_byte(harness: NodeHarness) -> None:
    befriended(harness)
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    ann.call("chat", to="bob", text="hi", key="k")
    bob.hang_up()
    harness.pass_time(30_000)
    for host in harness.nodes:
        again = Node(host.node._context.config)
        for event, now_ms, effects in host.log:
            copy = msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=AnyEvent)
            replayed = again.handle(copy, now_ms)
            assert replayed == effects
            written = msgspec.msgpack.encode(effects)
            assert msgspec.msgpack.decode(written, type=list[AnyEffect]) == effects
