"""Which of a model's files are wanted: ``--include`` and ``--exclude``. No I/O.

The globs are those of ``.dvcignore`` and ``.gitignore``, read by the same library:
``*.bin`` matches in every folder, ``models/bert/**`` below one, ``/x`` at the root.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.errors import NothingSelectedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dvc_studio_models.model import ModelFile


def select_files(
    files: Sequence[ModelFile], *, include: Sequence[str], exclude: Sequence[str]
) -> tuple[ModelFile, ...]:
    """Keep the files that an include matches, or all, less those that are excluded.

    Args:
        files: Of one model or of several.
        include: Globs on the paths relative to the Git root; none keeps all.
        exclude: The same, and stronger.

    Raises:
        NothingSelectedError: No file is left.
    """
    from pathspec import GitIgnoreSpec

    wanted = GitIgnoreSpec.from_lines(include or ["*"])
    unwanted = GitIgnoreSpec.from_lines(exclude)
    kept = tuple(
        file
        for file in files
        if wanted.match_file(file.path) and not unwanted.match_file(file.path)
    )
    if not kept:
        raise NothingSelectedError(include, exclude)
    return kept
