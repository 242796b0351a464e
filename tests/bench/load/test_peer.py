"""The load generator notices every wrong answer of a server."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.load.peer import Chat, CheckFailed, Peer, text


@contextmanager
def _peer() -> Iterator[Peer]:
    async def make() -> Peer:
        return Peer(Chat("chat", "k"), "bob")

    with asyncio.Runner() as runner:
        yield runner.run(make())


def _message(number: int, *, seq: int | None = None) -> bytes:
    return (
        b'{"type":"message","conversation":1,"seq":%d,"kind":"text",'
        b'"from":{"id":1,"name":"ann"},"text":"%b","at":1}\n'
    ) % (number + 1 if seq is None else seq, text(number))


def _sent(number: int, *, seq: int | None = None) -> bytes:
    seq = number + 1 if seq is None else seq
    return b'{"type":"sent","re":%d,"conversation":1,"seq":%d,"at":1}\n' % (number, seq)


def test_all_in_order_is_counted() -> None:
    with _peer() as peer:
        for start in range(0, 100, 7):
            peer.check(b"".join(_message(n) for n in range(start, start + 7)))
        assert peer.texts.next == peer.seqs.next - 1 == 105


def test_other_lines_in_between_are_no_harm() -> None:
    with _peer() as peer:
        peer.check(_message(0) + b'{"type":"presence","user":1,"state":"online"}\n' + _message(1))
        assert peer.texts.next == 2


@pytest.mark.parametrize("numbers", [[0, 2], [0, 1, 1], [0, 2, 1], [1], [0, 1, 0]])
def test_lost_repeated_and_swapped_texts_are_noticed(numbers: list[int]) -> None:
    with _peer() as peer, pytest.raises(CheckFailed, match="came"):
        peer.check(b"".join(_message(number) for number in numbers))
    with _peer() as peer, pytest.raises(CheckFailed, match="texts"):
        peer.check(b"".join(_message(n, seq=place) for place, n in enumerate(numbers, 1)))
    with _peer() as peer, pytest.raises(CheckFailed, match="seqs"):
        peer.check(b"".join(_message(place, seq=n + 1) for place, n in enumerate(numbers)))
    with _peer() as peer, pytest.raises(CheckFailed, match="replies"):
        peer.check(b"".join(_sent(n, seq=place) for place, n in enumerate(numbers, 1)))


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"error","re":1,"code":"busy","message":"Later."}\n',
        b'{"type":"message","conversation":1,"seq":1,"kind":"text","text":"hello"}\n',
        b'{"type":"draining","retry_after_ms":1}\n',
        b"\n",
    ],
)
def test_lines_that_must_not_come_are_noticed(line: bytes) -> None:
    with _peer() as peer, pytest.raises(CheckFailed):
        peer.check(_message(0) + line)
