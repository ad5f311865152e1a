"""Pull registered models through DVC Studio, verified, to their paths in the repo.

The rooms of the house, each with one kind of I/O, importing only downwards:

    cli, plugin, server  argv, DVC's parser, HTTP    what people and programs talk to
    api                  no I/O                      the same for Python programs
    flow, status         no I/O of its own           the flow: ask, plan, fetch, place
    preparation, outcome no I/O of its own           its beginning, and what is told
    placed               no I/O of its own           receipts, hashes for DVC
    survey               no I/O of its own           what is there, what it needs
    sources              no I/O of its own           Studio, or the clone by itself
    ask, verification    no I/O of its own           an answer, held to lock and Git
    pins, lockfile       the lock file               what is asked for, and pinned
    registry             Git, by git or scmrepo      tags, DVC files at a commit
    git_files            the clone                   files that Git itself keeps
    listings             cache, DVC remote           what is in a folder
    config               environment, DVC's config   settings
    studio               HTTP to Studio              name -> files with signed URLs
    transfer, download   threads                     files -> verified parts
    attempt, setbacks    no I/O of its own           one try at a file, and the next
    storage, answer      HTTP to storage             one range, or why not
    sizes                HTTP to storage             sizes alone
    parts, part, verify  part files                  claim, record, hash
    follow, disk         copies and flushes          what survives a power cut
    keepers, location    no I/O of its own           who keeps the files of models
    imports              repos of imports            contents, at the import's commit
    remote               the user's DVC remote       contents by their hashes
    beside               a thread                    what cannot be interrupted
    cache, linking       DVC's cache                 taking in, linking out
    locking              DVC's lock                  holding it, or why not
    project              DVC's own object            opening it, or why not
    objects              DVC's cache and state       which of it counts, known hashes
    workspace, receipts  the user's files            safe placing, what was placed
    progress             the terminal                bars and lines
    transport            HTTP sessions               retry table, words for failures
    plan, paths          no I/O                      decisions
    model, errors        no I/O                      values and failures
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvc_studio_models.api import download_urls, pull

__version__ = "0.1.0"
__all__ = ["download_urls", "pull"]


def __getattr__(name: str) -> object:
    """Load the interface when it is used: ``dvc --help`` needs none of it."""
    if name in __all__:
        from dvc_studio_models import api

        return getattr(api, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
