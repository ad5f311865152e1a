"""Adding files to ``.gitignore``, through scmrepo, as ``dvc add`` does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class IgnoreError(Exception):
    """A path could not be added to ``.gitignore``; the message says why."""


def add_to_gitignore(root: Path, paths: Iterable[str]) -> list[Path]:
    """Add paths to the ``.gitignore`` files beside them.

    Args:
        root: Of the clone.
        paths: Of files and folders, relative to the root.

    Returns:
        The ``.gitignore`` files that were changed.

    Raises:
        IgnoreError: One is a symlink, or the file system or scmrepo refuses.
    """
    from scmrepo.exceptions import SCMError
    from scmrepo.git import Git

    changed: dict[Path, None] = {}
    try:
        # libgit2, the other backend, rejects repositories that Git accepts.
        scm = Git(
            os.fspath(root), search_parent_directories=False, backends=["dulwich"]
        )
        try:
            for path in paths:
                target = root / path
                gitignore = target.parent / scm.GITIGNORE
                if gitignore.is_symlink():
                    msg = f"'{gitignore}' is a symlink, which Git does not read"
                    raise IgnoreError(msg)
                if scm.ignore(os.fspath(target)):
                    changed[gitignore] = None
        finally:
            scm.close()  # type: ignore[no-untyped-call]
    except OSError as error:
        reason = error.strerror or str(error)
        raise IgnoreError(reason.lower()) from None
    except SCMError as error:
        raise IgnoreError(str(error)) from None
    return list(changed)
