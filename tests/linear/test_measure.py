"""The measurement finds parsers that are not linear, and none that is."""

import re
from collections.abc import Callable

import pytest

from tests.linear.families import JSON, Family
from tests.linear.measure import CountedBytes, TooMuchWork, check_steps, check_time, steps

LENGTH = 65_536
BOUND_S = 0.05
BACKTRACKING_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
"""A string that is not terminated is tried from each of its quotes, to its end."""
EXPONENTIAL = re.compile(rb"(?:\r?\n|\n\r?)+!")


class Joining:
    """A splitter that joins what is unfinished with each piece."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        *lines, self.rest = (self.rest + data).split(b"\n")
        return lines


def by_bytes(data: bytes) -> None:
    splitter = Joining()
    for start in range(len(data)):
        splitter.feed(data[start : start + 1])


def count_down(data: bytes) -> None:
    while data:
        data = data[1:]


def depth(data: bytes) -> int:
    """A loop that looks at what is before each byte."""
    return max((data.count(b"[", 0, end) for end in range(0, len(data), 8)), default=0)


def linear(data: bytes) -> int:
    return sum(1 for byte in data if byte == 34)


PLANTED: list[Callable[[bytes], object]] = [
    lambda data: BACKTRACKING_STRING.sub(b"", data),
    lambda data: EXPONENTIAL.search(data),
    by_bytes,
    count_down,
    depth,
]


@pytest.mark.parametrize("run", PLANTED, ids=range(len(PLANTED)))
def test_work_that_is_not_linear_is_found(run: Callable[[bytes], object]) -> None:
    """By one of the families at least."""
    for family in JSON:
        try:
            check_time(run, family.make, LENGTH, BOUND_S)
        except TooMuchWork:
            return
    raise AssertionError("no family shows it")


@pytest.mark.parametrize("run", [by_bytes, count_down])
def test_bytes_that_are_copied_over_and_over_are_counted(run: Callable[[bytes], object]) -> None:
    with pytest.raises(TooMuchWork):
        check_steps(run, Family(b"", b"x", b"").make, 4_096, 200)


def test_linear_work_is_not_taken_for_more() -> None:
    for family in JSON[:40]:
        check_time(linear, family.make, LENGTH, BOUND_S)
        check_steps(linear, family.make, 4_096, 10)


def test_work_over_its_bound_is_found() -> None:
    with pytest.raises(TooMuchWork, match="take"):
        check_time(linear, Family(b"", b"x", b"").make, 1_000_000, 0.001)


def test_steps_are_the_same_each_time() -> None:
    data = b"x" * 1_000
    assert steps(by_bytes, data) == steps(by_bytes, data) > 1_000 * 1_000 / 2


def test_slices_and_sums_are_counted() -> None:
    CountedBytes.copied = 0
    data = CountedBytes(b"abcdef")
    assert data[1:4] + b"x" == b"bcdx"
    assert b"x" + data[:2] == b"xab"
    assert data[0] == ord("a")
    assert CountedBytes.copied == 3 + 4 + 2 + 3
