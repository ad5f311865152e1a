"""Pull registered models through DVC Studio, verified, to their paths in the repo.

    cli/          argv <-> text, JSON, bars, completion: one module a command
    operations/   the order of things: pull, status, list, lock; no I/O of their own
    sources/      where a model's files come from: Studio, or the clone by itself
    registry/     what the clone's Git says: URL, GTO tags, DVC files at a commit
    transfer/     signed URLs -> verified files: threads, ranges, retries, hashing
    http/         every byte of HTTP that the client speaks: Studio, storage, sockets
    store/        DVC's cache, state and remotes; part files
    files/        the local file system, safely: paths, folders, placing, receipts
    server/       the self-hosted API: catalog/ (repos -> files), links/ (files -> URLs)
    errors        every failure that a user can meet
    model         values: names, versions, files, options, results
    background    threads: a bounded pool, and work that cannot be interrupted
    plugin        how the command is added to dvc; __main__ is dvc-models without it

Imports follow the arrows of ``tests/test_layers.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvc_studio_models.operations.pull import download_urls, pull

__version__ = "0.1.0"
__all__ = ["download_urls", "pull"]


def __getattr__(name: str) -> object:
    """Load the interface when it is used: ``dvc --help`` needs none of it."""
    if name in __all__:
        from dvc_studio_models.operations import pull as operation

        return getattr(operation, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
