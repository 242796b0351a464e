"""Reports of runs: coverage, summary, the smallest failing plan, the diagram.

A report reads results and traces; it never changes a run.
"""
