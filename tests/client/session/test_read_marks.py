"""Read marks by themselves: only the latest, one in flight, not too often, never back."""

from hypothesis import given
from hypothesis import strategies as st

from chat.client.session.read_marks import ReadMarks


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["want", "confirm", "accept", "lose", "refuse"]),
            st.integers(1, 30),
            st.integers(0, 700),
        )
    )
)
def test_marks_grow_one_at_a_time_and_not_too_often(
    steps: list[tuple[str, int, int]],
) -> None:
    marks, now_ms, wanted = ReadMarks(500), 0, 0
    sent: list[tuple[int, int]] = []
    in_flight = False
    for step, seq, ms in steps:
        now_ms += ms
        match step:
            case "want":
                marks.want(7, seq)
                wanted = max(wanted, seq)
            case "confirm":
                marks.confirm(7, seq)
            case "accept" if in_flight:
                marks.accepted(7, sent[-1][1])
                in_flight = False
            case "refuse" if in_flight:
                marks.refused(7, now_ms + 100)
                in_flight = False
            case "lose":
                marks.connection_lost()
                in_flight = False
        for conversation, mark in marks.take(now_ms):
            assert conversation == 7
            assert not in_flight
            assert mark == wanted
            if step != "refuse" and sent:
                assert mark >= sent[-1][1]
            sent.append((now_ms, mark))
            in_flight = True
        deadline_ms = marks.next_deadline_ms(now_ms)
        assert deadline_ms is None or now_ms < deadline_ms <= now_ms + 500


def test_a_confirmed_or_refused_mark_is_not_sent() -> None:
    marks = ReadMarks(500)
    marks.want(7, 5)
    marks.confirm(7, 6)
    assert marks.take(0) == []
    marks.want(7, 8)
    assert marks.take(0) == [(7, 8)]
    assert marks.take(1_000) == []
    marks.want(7, 9)
    assert marks.take(1_000, all_now=True) == [(7, 9)]
    marks.refused(7, None)
    assert marks.take(5_000) == []
