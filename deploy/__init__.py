"""Deployment: a cluster on one machine, server programs for tests, and files for production.

Nothing of the server may import it, and it imports nothing of the server: nodes are processes here.
"""
