"""Servers and load generator run on different cores."""

import os

from bench.results.machine import LOAD_CORE, SERVER_CORE, on_core


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
