"""Cores and memory: servers and load generator run on different cores."""

import os
import time

from bench.results.machine import (
    LOAD_CORE,
    SERVER_CORE,
    busy_s,
    memory_kib,
    on_core,
    resident_kib,
)


def test_servers_run_on_another_core_than_the_load_that_starts_them() -> None:
    cores = sorted(os.sched_getaffinity(0))
    with on_core(LOAD_CORE):
        load = os.sched_getaffinity(0)
        with on_core(SERVER_CORE):
            servers = os.sched_getaffinity(0)
        assert os.sched_getaffinity(0) == load
    assert (len(servers), len(load)) == (1, 1)
    assert servers <= set(cores)
    assert (servers != load) == (len(cores) > 1)
    assert sorted(os.sched_getaffinity(0)) == cores


def test_a_core_is_busy_for_as_long_as_a_process_computes_on_it() -> None:
    with on_core(SERVER_CORE):
        busy, used = busy_s(SERVER_CORE), time.process_time()
        while time.process_time() < used + 0.2:
            pass
        assert busy_s(SERVER_CORE) - busy >= 0.15


def test_a_process_has_resident_memory() -> None:
    rss_kib, _ = memory_kib(os.getpid())
    assert abs(resident_kib(os.getpid()) - rss_kib) < rss_kib / 2
