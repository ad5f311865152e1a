"""Where a model's files come from: Studio, or the clone by itself.

A source (``base``) resolves names to files and delivers their contents; ``open``
chooses between ``studio`` and ``local``. ``registered`` lists all models.
``verification`` compares what a source serves with Git, ``resolve`` with a lock file;
``signatures`` verifies the tags.
``context`` opens the clone, its registry and DVC's stores once for a command, in the
``settings`` of the user's folder. Promises that an explicit version with another hash
in Git is refused before the first byte.
"""

__all__ = [
    "base",
    "comparison",
    "context",
    "local",
    "open",
    "registered",
    "resolve",
    "settings",
    "signatures",
    "verification",
]
