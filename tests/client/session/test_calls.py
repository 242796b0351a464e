"""Calls by themselves: ids, the lines out and in, and since when a reply is awaited."""

import json

import pytest

from chat.client.session.calls import Calls
from chat.protocol.codec import BadMessage
from chat.protocol.messages import LogoutRequest, PingPush, PingRequest, PongReply


def ids(calls: Calls) -> list[int]:
    return [json.loads(line)["id"] for line in calls.take_output().splitlines()]


def test_a_reply_belongs_to_the_request_with_its_id() -> None:
    calls = Calls()
    ping, logout = PingRequest(id=0), LogoutRequest(id=0)
    calls.send(ping, 0)
    calls.send(logout, 0)
    assert ids(calls) == [1, 2]
    assert calls.take_output() == b""
    assert calls.answered(2, 10) is logout
    assert calls.answered(2, 10) is None
    assert calls.answered(1, 10) is ping
    assert not len(calls)


def test_ids_go_on_from_one_connection_to_the_next() -> None:
    calls = Calls()
    ping = PingRequest(id=0)
    calls.send(ping, 0)
    assert calls.connection_lost() == [ping]
    assert calls.take_output() == b""
    calls.connection_opened()
    calls.send(ping, 0)
    assert ids(calls) == [2]
    assert calls.answered(1, 0) is None


def test_a_reply_is_awaited_since_the_last_one_came() -> None:
    calls = Calls()
    assert calls.awaited_since_ms is None
    calls.send(PingRequest(id=0), 100)
    calls.send(PingRequest(id=0), 600)
    assert calls.awaited_since_ms == 100
    calls.answered(1, 900)
    assert calls.awaited_since_ms == 900
    calls.answered(2, 1_000)
    assert calls.awaited_since_ms is None


def test_messages_are_given_when_they_are_complete() -> None:
    calls = Calls()
    assert list(calls.messages(b'{"type":"ping"}\n{"type":"po')) == [PingPush()]
    assert list(calls.messages(b'ng","re":3}\n{"type":"weather"}\n')) == [PongReply(re=3)]


def test_a_line_of_an_earlier_connection_is_forgotten() -> None:
    calls = Calls()
    assert list(calls.messages(b'{"type":"pi')) == []
    calls.connection_lost()
    calls.connection_opened()
    assert list(calls.messages(b'{"type":"ping"}\n')) == [PingPush()]


def test_a_line_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.client.session.calls.MAX_LINE_BYTES", 100)
    calls = Calls()
    with pytest.raises(BadMessage, match="too long"):
        list(calls.messages(b" " * 101))
