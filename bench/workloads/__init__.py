"""The workloads: each prepares targets, puts load on them and returns figures.

Nothing below it may import it; only `bench.__main__` does.
"""
