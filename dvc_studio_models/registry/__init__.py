"""The models of a Git repository: its URL, its tags, DVC's files at a commit, the lock.

Owns every read of Git, for the client and the server. ``git`` reads repositories,
``git_registry`` finds models, versions and stages by their tags (``gto``) and reads
them as commits record them (``records``). ``clone`` and ``urls`` identify the repo.
``lockfile`` reads and writes pins, ``git.ignore`` adds to ``.gitignore``. ``committed``
limits what DVC may read of a commit.

Promises the results of ``git``, GTO and DVC, a time limit on every read, and that no
program runs that a repository's config, or a committed DVC config, names.
"""

__all__ = [
    "clone",
    "commands",
    "commits",
    "committed.config",
    "git.ignore",
    "git.mirrors",
    "git.open",
    "git.reader",
    "git.tree",
    "git_registry",
    "gto.counting",
    "gto.details",
    "gto.tags",
    "lockfile",
    "outputs",
    "recorded",
    "records",
    "urls",
]
