"""Benchmarks: throughput, latency and cost of nodes, compared with baseline servers.

Order of imports, lowest first: results, load, targets, workloads, __main__. A node is measured from
outside, as a process; nothing here may run a part of one in its own process.
"""
