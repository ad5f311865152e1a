"""Pull registered models through DVC Studio, verified, to their paths in the repo.

    cli/          arguments, text, JSON, bars, completion: one module per command
    operations/   the steps of pull, status, list and lock; no I/O of their own
    sources/      where a model's files come from: Studio, or the clone by itself
    registry/     what Git records: URL, GTO tags, DVC files at a commit, pins
    transfer/     signed URLs -> verified files: threads, ranges, retries, hashing
    http/         all HTTP of the client: Studio, storage, connections
    store/        DVC's cache, state and remotes; part files
    files/        safe changes of local files: paths, folders, transactions, receipts
    server/       the self-hosted API: catalog/ (repos -> files), links/ (files -> URLs)
    errors        every error that users can see
    model         values: names, versions, files, options, results
    background    threads: a bounded pool, and work that cannot be interrupted
    plugin        how the command is added to dvc; __main__ is dvc-models without it

``tests/test_layers.py`` checks which package may import which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvc_studio_models.operations.pull import download_urls, pull

__version__ = "0.1.0"
__all__ = ["download_urls", "pull"]


def __getattr__(name: str) -> object:
    """Import the Python API on first use, so that ``dvc --help`` stays fast."""
    if name in __all__:
        from dvc_studio_models.operations import pull as operation

        return getattr(operation, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
