"""Puts a new clone in the place of a damaged mirror."""

from __future__ import annotations

import os
import shutil
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
    shutil.rmtree(place.clone, ignore_errors=True)  # of a killed process
    place.clone.mkdir(mode=0o700)  # the repo may be private
    try:
        clone_mirror(url, place.clone, patience=patience)
        if damage := find_damage(place.clone):
            raise UnreadableRepoError(os.fspath(place.clone), damage)
        if place.repo.is_dir():
            place.repo.rename(place.old)
        place.clone.rename(place.repo)
        finish_replacement(place)
    finally:
        shutil.rmtree(place.clone, ignore_errors=True)
