"""A simulated host runs the core's write coalescer, with thresholds that a run meets."""

from collections import Counter

import pytest

from chat.core.delivery.write_coalescing import Flush, WriteCoalescer
from sim.report.run_report import Plan
from sim.run import run_plan


def test_runs_have_shared_writes_and_large_fan_outs_with_and_without_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: Counter[str] = Counter()
    flush = WriteCoalescer.flush

    def watched(coalescer: WriteCoalescer, unanswered_jobs: int) -> Flush:
        result = flush(coalescer, unanswered_jobs)
        seen["shared writes"] += bool(result.shared)
        seen["pauses"] += result.pause_ms is not None
        seen["parts without a pause"] += coalescer.flush_due
        return result

    monkeypatch.setattr(WriteCoalescer, "flush", watched)
    for seed in (1, 2):
        assert run_plan(Plan(seed, steps_ms=20_000)).violation is None
    assert seen["shared writes"] > 10
    assert seen["pauses"] > 1
    assert seen["parts without a pause"] > 1
