"""The simulator: whole clusters in one process, on a virtual clock, from one seed."""
