"""The simulator: whole clusters in one process, on a virtual clock, from one seed.

Imports run in this order, and never back:

    cluster  <-  workload, faults, checkers  <-  report  <-  run, story, pool, hunt  <-  cli

`mutants` imports none of these: a mutant is planted before the code that it changes is loaded.
"""
