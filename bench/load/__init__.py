"""The load generator: checked connections, flows of texts, and clients of the baselines.

Starts no server and makes no store; imports bench.results only.
"""
