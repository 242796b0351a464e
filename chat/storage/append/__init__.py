"""Appending texts, the hot path: group commit, and the append cache that saves it questions.

The cache may make an append faster, and never change its outcome.
"""
