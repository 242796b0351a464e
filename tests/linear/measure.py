"""How much work a function does, and how that grows with its input.

Two measures, since neither sees everything:

- *Steps* are counted: lines of Python that are executed, and bytes that are copied by slicing and
  joining. They are the same in each run, and blind to the work inside of C.
- *Time* is that of this thread on the processor, and sees all work. It is noisy: so the least of
  several runs counts, only work above a floor is compared, and the bound on the growth is generous.

Linear work at four times the length takes four times as much, quadratic work sixteen times. Both
checks begin with short inputs and stop at a limit, so that a function with exponential work fails
and does not hang.
"""

import gc
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, ClassVar, SupportsIndex, TypeVar, overload

InputT = TypeVar("InputT")

GROWTH: float = 8.0
"""Four times the length takes less than this many times the work."""
FLOOR_S = 0.003
"""Less work than this is not compared."""
LIMIT_S = 1.0
"""More work than this is broken off."""
RUNS = 3


class TooMuchWork(AssertionError):
    """The work is not linear, or over its bound."""


@contextmanager
def broken_off_after(limit_s: float) -> Iterator[None]:
    """Raises TooMuchWork in what takes more time on the processor; regular expressions notice."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise TooMuchWork(f"broken off after {limit_s:g} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def check_time(
    run: Callable[[InputT], object],
    make: Callable[[int], InputT],
    length: int,
    bound_s: float,
) -> None:
    """Raises TooMuchWork if the time for `length` is over the bound, or grows too fast up to it."""
    with broken_off_after(LIMIT_S):
        for shorter in (8, 16, 24, 32, length // 16, length // 4, length):
            time_s = _time_s(run, make(shorter))
            if time_s > LIMIT_S / 4:
                raise TooMuchWork(f"{shorter} bytes take {time_s:.1f} s")
        if time_s <= FLOOR_S:
            return
    large_s = _least_time_s(run, make(length))
    if large_s <= FLOOR_S:
        return
    small_s = _least_time_s(run, make(length // 4))
    if large_s >= GROWTH * small_s:
        raise TooMuchWork(
            f"{length // 4} bytes take {small_s * 1e3:.1f} ms, {length} take {large_s * 1e3:.1f}"
        )
    if large_s > bound_s:
        raise TooMuchWork(f"{length} bytes take {large_s * 1e3:.1f} ms")


def _least_time_s(run: Callable[[InputT], object], data: InputT) -> float:
    return min(_time_s(run, data) for _ in range(RUNS))


def _time_s(run: Callable[[InputT], object], data: InputT) -> float:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        start_s = time.thread_time()
        run(data)
        return time.thread_time() - start_s
    finally:
        if was_enabled:
            gc.enable()


def check_steps(
    run: Callable[[bytes], object], make: Callable[[int], bytes], length: int, bound: int
) -> None:
    """Raises TooMuchWork if there are more than `bound` steps for each byte, or if their number
    grows too fast up to `length`."""
    small, large = steps(run, make(length // 4)), steps(run, make(length))
    if large > GROWTH * small:
        raise TooMuchWork(f"{length // 4} bytes take {small} steps, {length} bytes {large}")
    if large > bound * length:
        raise TooMuchWork(f"{length} bytes take {large} steps")


def steps(run: Callable[[bytes], object], data: bytes) -> int:
    """Lines executed and bytes copied while the data is handled."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    CountedBytes.copied = 0
    counted = CountedBytes(data)
    sys.settrace(trace)
    try:
        run(counted)
    finally:
        sys.settrace(before)
    return lines + CountedBytes.copied


class CountedBytes(bytes):
    """Bytes that count how many of them are copied. Their slices and sums are counted, too."""

    copied: ClassVar[int] = 0

    def __add__(self, other: Any) -> "CountedBytes":
        return self._counted(bytes(self) + bytes(other))

    def __radd__(self, other: Any) -> "CountedBytes":
        if isinstance(other, bytearray):
            return NotImplemented  # it grows in place
        return self._counted(bytes(other) + bytes(self))

    @overload
    def __getitem__(self, key: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> "CountedBytes": ...
    def __getitem__(self, key: SupportsIndex | slice) -> "int | CountedBytes":
        if isinstance(key, slice):
            return self._counted(bytes(self)[key])
        return bytes(self)[key]

    @staticmethod
    def _counted(data: bytes) -> "CountedBytes":
        CountedBytes.copied += len(data)
        return CountedBytes(data)
