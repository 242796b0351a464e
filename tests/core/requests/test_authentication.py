"""Register, login and resume within the budgets of an address, a user and an account."""

import json

from chat.core.ports import events as ev
from chat.core.ports import operations as op
from chat.protocol.errors import ErrorCode
from tests.core.node_harness import NodeHarness, Peer

FLOOD = "2001:db8:bad::"
WRONG_TOKEN = "0" * 64


def wrong_login(peer: Peer, user: str = "unknown") -> None:
    peer.ask("login", user=user, password="wrong password")


def checks_under_way(harness: NodeHarness) -> int:
    return sum(isinstance(asked, op.CheckPassword) for _, _, asked in harness.held)


# ---------------------------------------------------------------------- an address


def test_registrations_of_a_network_are_limited_and_the_wait_that_is_told_is_enough() -> None:
    harness = NodeHarness(registration_burst=3, registrations_per_minute=6)
    replies = [
        harness.connect(address=f"{FLOOD}{number}").call(
            "register", name=f"user-{number}", password="a password"
        )
        for number in range(4)
    ]
    assert [reply["type"] for reply in replies] == ["registered"] * 3 + ["error"]
    assert replies[-1]["code"] == "rate_limited"
    assert replies[-1]["retry_after_ms"] == 10_000
    again = harness.connect(address=f"{FLOOD}ffff")
    harness.pass_time(9_999)
    assert again.open
    assert again.call("register", name="dan", password="a password")["type"] == "error"
    harness.pass_time(1)
    again = harness.connect(address=f"{FLOOD}fffe")
    assert again.call("register", name="dan", password="a password")["type"] == "registered"
    other = harness.connect(address="2001:db8:bad:1::1")
    assert other.call("register", name="eve", password="a password")["type"] == "registered"


def test_a_refused_registration_asks_for_nothing() -> None:
    harness = NodeHarness(registration_burst=1, registrations_per_minute=1)
    harness.register("ann")
    harness.hold_answers = lambda asked: True
    harness.connect().ask("register", name="bob", password="a password")
    harness.run()
    assert not harness.held


def test_resumes_with_wrong_tokens_are_limited_by_address() -> None:
    harness = NodeHarness(failed_resumes_per_minute=3)
    harness.register("ann")
    ann = harness.login("ann")
    token = ann.pushes("logged_in")[0]["token"]
    guesser = harness.connect(address="10.9.9.9")
    codes = [guesser.call("resume", token=WRONG_TOKEN)["code"] for _ in range(4)]
    assert codes == ["bad_credentials"] * 3 + ["rate_limited"]
    # The right token is not told from a wrong one then.
    assert guesser.call("resume", token=token)["retry_after_ms"] == 20_000
    other = harness.connect(address="10.9.9.8")
    assert other.call("resume", token=token)["type"] == "logged_in"
    harness.pass_time(20_000)
    guesser = harness.connect(address="10.9.9.9")
    assert guesser.call("resume", token=token)["type"] == "logged_in"


def test_wrong_tokens_at_once_are_all_counted() -> None:
    harness = NodeHarness(failed_resumes_per_minute=2)
    harness.hold_answers = lambda asked: isinstance(asked, op.FindDevice)
    peers = [harness.connect() for _ in range(6)]
    for peer in peers:
        peer.ask("resume", token=WRONG_TOKEN)
    harness.run()
    harness.hold_answers = lambda asked: False
    harness.answer_held()
    assert all(peer.got[-1]["code"] == "bad_credentials" for peer in peers)
    # Six of them failed, and it is four that are too many.
    assert harness.connect().call("resume", token=WRONG_TOKEN)["retry_after_ms"] == 150_000


def test_passwords_over_the_budget_of_an_address_are_checked_later_and_not_refused() -> None:
    harness = NodeHarness(login_burst=4, logins_per_second=2)
    harness.register("ann")
    harness.pass_time(60_000)
    peers = [harness.connect(address="10.9.9.9") for _ in range(8)]
    for number, peer in enumerate(peers):
        wrong_login(peer, f"unknown-{number}")
    harness.run()

    def answered() -> int:
        return sum(peer.got[-1].get("code") == "bad_credentials" for peer in peers)

    assert answered() == 4
    for wanted in range(5, 9):
        harness.pass_time(499)
        assert answered() == wanted - 1
        harness.pass_time(1)
        assert answered() == wanted
    assert not harness.nodes[0].node.resource_counts().get("operations that wait")


def test_a_login_from_another_address_does_not_wait_for_those_of_a_flood() -> None:
    """Twenty addresses with twenty connections each have wrong passwords checked; the next password
    but one of each thread is that of the address which has asked for nothing yet."""
    harness = NodeHarness(password_hashes=2)
    harness.register("ann")
    harness.hold_answers = lambda asked: isinstance(asked, op.CheckPassword)
    for address in range(20):
        for _ in range(20):
            wrong_login(harness.connect(address=f"10.1.{address}.1"))
    harness.run()
    ann = harness.connect(address="10.2.2.2")
    ann.ask("login", user="ann", password="secret-ann")
    harness.run()
    assert checks_under_way(harness) == 2
    checked = 0
    while ann.got[-1]["type"] != "logged_in":
        host, ticket, asked = harness.held.popleft()
        host.feed(ev.Answer(ticket, harness.answer(asked)))
        harness.run()
        checked += 1
        assert checked <= 2 + 20 + 1, "one of each address, and what is under way"
    assert ann.open


def test_an_innocent_user_at_the_address_of_a_flood_logs_in_while_it_lasts() -> None:
    """Twenty connections of the address fail to log in, again and again. The innocent login has the
    place of one that has failed, and its password is checked in its turn."""
    harness = NodeHarness()
    harness.register("ann")
    harness.pass_time(60_000)
    peers = [harness.connect(address=f"{FLOOD}{number:x}") for number in range(1, 21)]
    for _ in range(3):
        for peer in peers:
            if peer.open:
                wrong_login(peer)
        harness.run()
        harness.pass_time(100)
    ann = harness.connect(address=f"{FLOOD}a11")
    assert ann.open
    ann.ask("login", user="ann", password="secret-ann")
    for _ in range(100):
        for peer in peers:
            if peer.open:
                wrong_login(peer)
        harness.pass_time(50)
        if ann.got[-1]["type"] == "logged_in":
            break
    assert ann.got[-1]["type"] == "logged_in"
    assert not [line for line in ann.got if line.get("code") in ("busy", "rate_limited")]


def test_a_password_of_a_closed_connection_is_not_checked_and_nothing_is_left_over() -> None:
    harness = NodeHarness(login_burst=1, logins_per_second=1, password_hashes=1)
    first, second = harness.connect(), harness.connect()
    wrong_login(first)
    wrong_login(second)
    harness.run()
    assert harness.nodes[0].node.resource_counts()["operations that wait"] == 1
    second.hang_up()
    harness.run()
    assert "operations that wait" not in harness.nodes[0].node.resource_counts()
    first.hang_up()
    asked = []
    harness.hold_answers = lambda operation: bool(asked.append(operation))  # type: ignore[func-returns-value]
    harness.pass_time(60_000)
    assert not [one for one in asked if isinstance(one, op.CheckPassword)]
    assert not harness.nodes[0].node.resource_counts()


# ---------------------------------------------------------------------- a user and an account


def test_failed_logins_are_counted_by_account_and_address() -> None:
    harness = NodeHarness(failed_logins_per_minute=2)
    (ann,) = harness.register("ann")
    peer = harness.connect(address=f"{FLOOD}1")
    for user in ("ann", ann):
        reply = peer.call("login", user=user, password="wrong password")
        assert reply["code"] == "bad_credentials"
    neighbour = harness.connect(address=f"{FLOOD}2")
    reply = neighbour.call("login", user="ANN", password="secret-ann")
    assert (reply["code"], reply["retry_after_ms"]) == ("rate_limited", 30_000)
    elsewhere = harness.connect(address="10.0.0.9")
    assert elsewhere.call("login", user="ann", password="secret-ann")["type"] == "logged_in"


def test_logins_and_resumes_are_charged_to_the_user_who_logs_in() -> None:
    harness = NodeHarness(cost_burst=30, cost_per_second=1, connections_per_device=100)
    harness.register("ann", "bob")
    ann = harness.login("ann")
    token = ann.pushes("logged_in")[0]["token"]
    for _ in range(2):
        assert harness.connect().call("resume", token=token)["type"] == "logged_in"
    for request in ({"type": "resume", "token": token}, {"type": "login", "user": "ann"}):
        if request["type"] == "login":
            request["password"] = "secret-ann"
        peer = harness.connect()
        reply = peer.call(request.pop("type"), **request)
        assert (reply["code"], reply["retry_after_ms"]) == ("rate_limited", 10_000)
        assert peer.call("ping")["type"] == "pong", "it may try again"
    assert ann.call("mark_read", conversation=1, seq=1)["code"] == "rate_limited"
    harness.login("bob")
    harness.pass_time(10_000)
    assert harness.connect().call("resume", token=token)["type"] == "logged_in"


def test_a_login_that_the_store_refuses_leaves_no_one_authenticating() -> None:
    harness = NodeHarness()
    harness.register("ann")
    harness.fail = lambda asked: (
        op.Refused(ErrorCode.UNAVAILABLE) if isinstance(asked, op.OpenDevice) else None
    )
    peer = harness.connect()
    assert peer.call("login", user="ann", password="secret-ann")["code"] == "unavailable"
    peer.hang_up()
    harness.pass_time(60_000)
    assert not harness.nodes[0].node.resource_counts()


# ---------------------------------------------------------------------- the rows of replies


def test_rows_are_charged_when_the_reply_is_sent_and_as_many_as_it_has() -> None:
    """The states of the members are asked for between the rows and the reply."""
    harness = NodeHarness(cost_burst=100, cost_per_second=1, rows_per_cost=1)
    harness.register("ann", "bob", "cyd")
    ann, bob, cyd = (harness.login(name) for name in ("ann", "bob", "cyd"))
    group = ann.call("create_group", name="den")["group"]["id"]
    for peer in (bob, cyd):
        assert peer.call("join_group", group=group)["type"] == "joined"
    harness.pass_time(200_000)
    ann = harness.login("ann")
    (logged_in,) = ann.pushes("logged_in")
    ann_id, now_ms = logged_in["user"]["id"], harness.now_ms
    budget = harness.nodes[0].node._context.budgets.requests
    assert budget.ready(ann_id, now_ms, 89) and not budget.ready(ann_id, now_ms, 90)
    harness.hold_answers = lambda asked: isinstance(asked, op.FindPresence)
    ann.ask("members", group=group)
    harness.run()
    assert budget.ready(ann_id, now_ms, 84) and not budget.ready(ann_id, now_ms, 85)
    harness.hold_answers = lambda asked: False
    harness.answer_held()
    assert len(ann.got[-1]["members"]) == 3
    assert budget.ready(ann_id, now_ms, 81) and not budget.ready(ann_id, now_ms, 82)


def test_requests_over_the_budget_are_refused_in_order_with_others() -> None:
    harness = NodeHarness(cost_burst=30, cost_per_second=1)
    harness.register("ann")
    ann = harness.login("ann")
    lines = [
        {"type": "create_group", "name": "den"},
        {"type": "profile"},
        {"type": "ping"},
    ]
    ann.write(
        b"".join(
            json.dumps({**line, "id": number}).encode() + b"\n" for number, line in enumerate(lines)
        )
    )
    harness.run()
    replies = [(line["re"], line["type"]) for line in ann.got if "re" in line][-3:]
    assert replies == [(0, "group_created"), (1, "error"), (2, "pong")]
