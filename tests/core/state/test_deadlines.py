"""What is due when."""

from hypothesis import given
from hypothesis import strategies as st

from chat.core.state.deadlines import Deadlines


@given(st.lists(st.integers(0, 50)), st.integers(0, 60))
def test_what_is_due_comes_in_order_and_nothing_else(times: list[int], now_ms: int) -> None:
    deadlines: Deadlines[int] = Deadlines()
    for place, at_ms in enumerate(times):
        deadlines.set(at_ms, place)
    assert deadlines.next_ms() == (min(times) if times else None)
    came = []
    while (number := deadlines.pop_due(now_ms)) is not None:
        came.append(number)
    due = sorted((at_ms, number) for number, at_ms in enumerate(times) if at_ms <= now_ms)
    assert came == [number for _, number in due]
    assert len(deadlines) == len(times) - len(due)
