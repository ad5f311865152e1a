"""The order of the steps of each command: one module for each.

``pull`` reads from top to bottom; ``steps`` has its steps, which ``status`` uses too.
``status`` and ``inventory`` compare and list; ``update`` renews a lock file; ``cache``
lists, removes and verifies what is in a cache. Promises that a pull which fails leaves
the workspace as it was. Other packages do all input and output.
"""

__all__ = [
    "cache.choice",
    "cache.listing",
    "cache.prune",
    "cache.verify",
    "cache.versions",
    "diff",
    "inventory",
    "pull",
    "show",
    "status",
    "update",
    "which",
]
