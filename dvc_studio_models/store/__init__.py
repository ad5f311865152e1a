"""DVC's cache, state and remotes, and the part files of downloads.

Owns all that belongs to DVC on disk, through DVC's own code. Promises that only
verified content enters the cache, that DVC's state gets the hashes of placed files, and
that downloads are kept until they are in the cache or the workspace.
"""

__all__ = [
    "base",
    "dvc",
    "light",
    "objects",
    "part",
    "parts",
    "project",
    "remote",
]
