"""DVC's cache, state and remotes, and the part files of downloads.

    base     the interface of a store, and what all stores share
    plain    the store without a cache
    hidden   the hidden folder beside targets outside of DVC projects
    usage    records of the model versions in a cache, and their last use
    dvc/     the store of a DVC project: cache, links, state, remotes, lock
    user/    the store of all other folders: a cache of the user's
    parts/   part files, which a later pull resumes
    upkeep/  what is in a cache, and the removal of what nothing needs

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
    "parts.folder",
    "parts.part",
    "plain",
    "upkeep.folder",
    "upkeep.workspace",
    "usage",
    "user.location",
    "user.project",
    "user.store",
]
