"""Which of a model's files are wanted: ``--include`` and ``--exclude``. No I/O.

The globs are those of ``.dvcignore`` and ``.gitignore``, read by the same library:
``*.bin`` matches in every folder, ``models/bert/**`` below one, ``/x`` at the root.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dvc_studio_models.errors import NothingSelectedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pathspec import GitIgnoreSpec

    from dvc_studio_models.model import ModelFile


def check_globs(globs: Iterable[str]) -> None:
    """Refuse globs that cannot be read.

    Raises:
        UsageError: One cannot.
    """
    for glob in globs:
        try:
            _spec([glob])
        except (ValueError, re.error):
            msg = f"'{glob}' is not a valid glob: see 'git help gitignore'"
            raise UsageError(msg) from None


def select_files(
    files: Sequence[ModelFile], *, include: Sequence[str], exclude: Sequence[str]
) -> tuple[ModelFile, ...]:
    """Keep the files that an include matches, or all, less those that are excluded.

    Args:
        files: Of one model or of several.
        include: Globs on the paths relative to the Git root, checked; none keeps all.
        exclude: The same, and stronger.

    Raises:
        NothingSelectedError: No file is left.
    """
    wanted, unwanted = _spec(include or ["*"]), _spec(exclude)
    kept = tuple(
        file
        for file in files
        if wanted.match_file(file.path) and not unwanted.match_file(file.path)
    )
    if not kept:
        raise NothingSelectedError(include, exclude)
    return kept


def _spec(globs: Sequence[str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(globs)
