"""Pull registered models through DVC Studio, verified, to their paths in the repo.

Programs use the names in ``__all__``: functions, and the types of their results. For
contributors, the packages:

    api/          the Python interface
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
    interrupts    Ctrl-C and SIGTERM of a command that owes a JSON document
    model         values: names, versions, files, options, results
    log           the package's logger; the warnings of one call
    background    threads: a bounded pool, and work that cannot be interrupted
    plugin        how the command is added to dvc; __main__ is dvc-models without it

``tests/test_layers.py`` checks which package may import which.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvc_studio_models.api.models import list_models, show, status, update
    from dvc_studio_models.api.pull import download_urls, pull
    from dvc_studio_models.model import (
        FileResult,
        ListedModel,
        ModelDetails,
        ModelRef,
        ModelResult,
        ModelStatus,
        Pin,
        PullResult,
        RegisteredVersion,
        StatusResult,
        TagEvent,
        WorkspaceState,
    )
    from dvc_studio_models.operations.show import CacheState, ShownModel, ShowResult
    from dvc_studio_models.operations.update import ModelUpdate, UpdateResult

__version__ = "0.1.0.dev0"
__all__ = [
    "CacheState",
    "FileResult",
    "ListedModel",
    "ModelDetails",
    "ModelRef",
    "ModelResult",
    "ModelStatus",
    "ModelUpdate",
    "Pin",
    "PullResult",
    "RegisteredVersion",
    "ShowResult",
    "ShownModel",
    "StatusResult",
    "TagEvent",
    "UpdateResult",
    "WorkspaceState",
    "download_urls",
    "list_models",
    "pull",
    "show",
    "status",
    "update",
]


def _missing_calls() -> list[str]:
    """Return the names of what safe changes of files need and Python lacks here."""
    calls = ("open", "stat", "mkdir", "link", "rename", "unlink", "rmdir")
    needed = ("O_DIRECTORY", "O_NOFOLLOW", *calls)
    missing = [name for name in needed if not hasattr(os, name)]
    relative = {getattr(os, name) for name in calls if hasattr(os, name)}
    if not relative <= os.supports_dir_fd:
        missing.append("dir_fd")
    try:
        import fcntl  # noqa: F401 - Windows has none
    except ImportError:
        missing.append("fcntl")
    return missing


if _missing := ", ".join(_missing_calls()):
    _message = (
        "dvc-studio-models cannot place files safely on this system, where Python has "
        f"no {_missing}: use Linux or macOS, or WSL on Windows"
    )
    # Of "python -m dvc_studio_models" while it looks for __main__
    _given = sys.orig_argv[-len(sys.argv)] if sys.argv[:1] == ["-m"] else ""
    if _given == __name__ or (_given[:1] == "-" and _given.endswith(f"m{__name__}")):
        from _dvc_studio_models_startup.unsupported import refuse

        sys.exit(refuse(_message, sys.argv[1:]))
    raise ImportError(_message, name=__name__)

_MODULES = {
    "api.models": ("list_models", "show", "status", "update"),
    "api.pull": ("download_urls", "pull"),
    "operations.show": ("CacheState", "ShowResult", "ShownModel"),
    "operations.update": ("ModelUpdate", "UpdateResult"),
}
"""Where a name is defined; all others are values of ``model``."""


def __getattr__(name: str) -> object:
    """Import the Python API on first use, so that ``dvc --help`` stays fast."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    import importlib

    where = next((at for at, names in _MODULES.items() if name in names), "model")
    return getattr(importlib.import_module(f"{__name__}.{where}"), name)


def __dir__() -> list[str]:
    """List the Python API too, which is not loaded yet."""
    return sorted({*globals(), *__all__})
