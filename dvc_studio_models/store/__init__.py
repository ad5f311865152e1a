"""DVC's cache, state and remotes, and the part files of downloads.

    open     the store for a folder
    base     the interface of a store, and what all stores share
    plain    the store without a cache
    dvc/     the store of a DVC project: cache, links, state, remotes, lock
    parts/   part files, which a later pull resumes

Owns all that belongs to DVC on disk, through DVC's own code. Promises that only
verified content enters the cache, that DVC's state gets the hashes of placed files, and
that downloads are kept until they are in the cache or the workspace.
"""

__all__ = [
    "base",
    "dvc.light",
    "dvc.objects",
    "dvc.project",
    "dvc.remote",
    "dvc.store",
    "open",
    "parts.folder",
    "parts.part",
]
