"""Puts a new clone in the place of a damaged mirror."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import UnreadableRepoError
from dvc_studio_models.registry.git.mirrors import clone_mirror, find_damage

if TYPE_CHECKING:
    from dvc_studio_models.registry.git.mirrors import Patience
    from dvc_studio_models.server.mirrors.places import MirrorPlace


def finish_replacement(place: MirrorPlace) -> None:
    """Remove an old mirror that was replaced, or put it back if it was not yet.

    Raises:
        OSError: The folder of mirrors cannot be written.
    """
    if not place.old.is_dir():
        return
    if place.repo.is_dir():
        shutil.rmtree(place.old)
    else:
        place.old.rename(place.repo)


def clone_beside(place: MirrorPlace, url: str, patience: Patience) -> None:
    """Clone a mirror whole, and only then give it its name; an old one is replaced.

    Raises:
        UnreadableRepoError: Git fails, or the new clone is damaged, too. The old one
            stays.
        LocalDiskError: The system does not let Git run.
        OSError: The folder of mirrors cannot be written.
    """
    for left in [path for path in place.data.iterdir() if place.is_clone(path.name)]:
        shutil.rmtree(left, ignore_errors=True)  # of a killed process
    # Only this user can read it: the repo may be private.
    clone = Path(tempfile.mkdtemp(prefix=place.clone_prefix, dir=place.data))
    try:
        clone_mirror(url, clone, patience=patience)
        if damage := find_damage(clone):
            raise UnreadableRepoError(os.fspath(clone), damage)
        if place.repo.is_dir():
            place.repo.rename(place.old)
        clone.rename(place.repo)
        finish_replacement(place)
    finally:
        shutil.rmtree(clone, ignore_errors=True)
