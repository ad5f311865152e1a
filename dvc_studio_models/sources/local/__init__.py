"""The source that needs no Studio: the clone, DVC's cache and DVC's remotes.

``source`` is the source itself: ``location`` finds a model by tags and Git, ``remotes``
fetches from where DVC stores it, ``imports`` from the repo of a ``dvc import``.
``git_files`` reads files that Git stores and ``listings`` the files of a folder, for
models of Studio too.
"""

__all__ = ["git_files", "listings", "source"]
