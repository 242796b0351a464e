"""The tables by which operations find their transactions. Each module of transactions ends with its
own; chat/storage/dispatch.py puts them together.

`READS` and `WRITES` carry out one operation, by its type. `READS_TOGETHER` carry out all the reads
of one type that stand in a batch, at little more than the cost of one.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from chat.core.ports.operations import StoreOutcome
from chat.storage.backends.connection import DatabaseConnection

Transactions: TypeAlias = dict[type, Callable[[DatabaseConnection, Any], StoreOutcome]]
BatchReads: TypeAlias = dict[type, Callable[[DatabaseConnection, Any], Sequence[StoreOutcome]]]
