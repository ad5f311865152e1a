"""The files of a version, by the lists of folders that the DVC cache has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.registry.recorded import expand

if TYPE_CHECKING:
    from dvc_studio_models.operations.inventory import Inventory
    from dvc_studio_models.registry.recorded import (
        Listing,
        RecordedFile,
        RecordedModel,
        RecordedOutput,
    )


def list_files(
    record: RecordedModel, inventory: Inventory
) -> tuple[RecordedFile, ...] | None:
    """List the files of a version that DVC tracks; None if a list is missing."""
    listings = {}
    for output in folders_of(record):
        listing = read_cached(output, inventory)
        if listing is None or output.digest is None:
            return None
        listings[output.digest] = listing
    return expand(record, listings)


def folders_of(record: RecordedModel) -> list[RecordedOutput]:
    """Return the outputs whose list of files is an object of its own."""
    return [each for each in record.outputs if each.is_folder and not each.files]


def read_cached(output: RecordedOutput, inventory: Inventory) -> Listing | None:
    """Read the list of a folder's files from the cache; None if it lacks it."""
    assert output.digest  # noqa: S101 - it is a folder
    return inventory.project_of(output.path).read_tree(output.digest)
