"""Generates code and documents from spec/messages.yaml: read, check, then one module an output.

Imports nothing of ours but the specification's model: what it writes must not depend on what it
has written before.
"""
