"""The errors of the store, in terms that the transactions and all databases share.

The backends raise these in place of their drivers' own exceptions. Each says what the caller may
do next, and whether anything can have been stored.
"""


class StoreError(Exception):
    """Base of all errors of the store. Nothing was stored, unless a subclass says otherwise."""


class Deadlock(StoreError):
    """The database ended this transaction so that another could go on. Run all of it again."""


class LockTimeout(StoreError):
    """A lock was not to be had in time. Roll back, then run all of the transaction again."""


class DuplicateKey(StoreError):
    """Another transaction has just stored that unique key. Roll back; the next run will see it."""


class Stale(StoreError):
    """What a statement expected to find is not so any more. Roll back, and read it anew."""


class LostConnection(StoreError):
    """The connection cannot be used any more; close it and open another.

    `maybe_committed`: the commit had been sent and its reply never came, so the transaction may
    be stored and may not.
    """

    def __init__(self, message: str, *, maybe_committed: bool = False) -> None:
        super().__init__(message)
        self.maybe_committed = maybe_committed


class StoreUnavailable(StoreError):
    """The database cannot be reached or cannot write at the moment."""


class StoreCannotOpen(StoreError):
    """An operator has to put something right first. The text is one sentence: cause and remedy."""


class StoreNotThere(StoreCannotOpen):
    """The database does not answer now, but may later, when it has started."""


class SchemaTooNew(StoreCannotOpen):
    """The store was made by a later version of this program."""
