"""Servers under measurement and the stores that they run on.

Puts no load on them; imports bench.results, bench.load and deploy.servers.
"""
