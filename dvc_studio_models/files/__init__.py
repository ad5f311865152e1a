"""The local file system, safely: paths, folders, transactions, receipts.

Owns every write to the user's files, and the rules for their paths. Promises that
nothing outside the root is changed, that changes are made together or not at all, and
that the next pull removes what a killed one has left.
"""

__all__ = [
    "durable",
    "folders",
    "owner",
    "paths",
    "receipts",
    "scratch",
    "workspace",
]
