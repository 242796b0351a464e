"""The limits of the protocol: none is exceeded, and what is within them is not refused.

The checkers here follow what goes over each connection of a node, and keep models of their own:
token buckets in whole numbers, counts of connections, lists of what waits. The models are made
from spec/PROTOCOL.md and know nothing of how the core keeps its budgets. Of the core's state only
three fields of a session are read, which say when a request was taken: `under_way`, `channel` and
`paced`.
"""
