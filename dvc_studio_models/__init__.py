"""Pull registered models through DVC Studio, verified, to their paths in the repo.

The rooms of the house, each with one kind of I/O, importing only downwards:

    cli, plugin, server    argv, DVC's parser, HTTP in     what people and programs talk to
    pull                   no I/O of its own               the flow: ask, plan, fetch, place
    plan                   no I/O                          what each file needs
    config                 environment, DVC's config       settings
    git                    the clone                       repo URL, files that Git tracks
    registry               GTO tags, DVC files in Git      version, commit, recorded hash
    studio                 HTTP to Studio                  name -> files with signed URLs
    transfer, parts        HTTP to storage, part files     verified bytes
    cache                  the DVC cache and state         objects, links, known hashes
    workspace              the user's files                safe paths, placing, receipts
    progress               the terminal                    bars and lines
    model, errors          no I/O                          values and failures
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvc_studio_models.pull import pull

__version__ = "0.1.0"
__all__ = ["pull"]


def __getattr__(name: str) -> object:
    if name == "pull":
        from dvc_studio_models.pull import pull

        return pull
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
