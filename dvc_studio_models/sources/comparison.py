"""Comparing hashes with those that a commit recorded for a model. No I/O of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.registry.recorded import is_inside
from dvc_studio_models.store.dvc.objects import tree_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dvc_studio_models.model import Digest
    from dvc_studio_models.registry.recorded import (
        Listing,
        RecordedModel,
        RecordedOutput,
    )

    ReadListing = Callable[[RecordedOutput], Listing | None]
    """A function that returns the files in a folder; None if they cannot be listed."""


def is_recorded(
    record: RecordedModel,
    digests: Mapping[str, Digest | None],
    read_listing: ReadListing,
) -> bool | None:
    """Compare the hashes of a model's files with a commit's.

    Args:
        record: What the commit recorded.
        digests: By the files' paths; None where a file's hash is not known yet.
        read_listing: For a model that is part of a folder.

    Returns:
        None if a hash is not known yet, was never recorded, or is in a listing that
        cannot be read. Files that Git stores may be missing.
    """
    left = dict(digests)
    verdicts = []
    for output in record.outputs:
        inside = {path: left.pop(path) for path in list(left) if output.holds(path)}
        verdicts.append(_is_output(record, output, inside, read_listing))
    verdicts += [
        left.pop(file.path) == file.digest
        for file in record.git_files
        if file.path in left and file.digest
    ]
    if left or False in verdicts:
        return False
    return None if None in verdicts else True


def _is_output(
    record: RecordedModel,
    output: RecordedOutput,
    digests: Mapping[str, Digest | None],
    read_listing: ReadListing,
) -> bool | None:
    known = {path: digest for path, digest in digests.items() if digest}
    if output.digest is None or len(known) < len(digests):
        return None
    values = {path: digest.value for path, digest in known.items()}
    if not output.is_folder:
        return values == {output.path: output.digest.value}
    if is_inside(output.path, record.path):
        inner = {path[len(output.path) + 1 :]: known[path] for path in known}
        return bool(inner) and tree_digest(inner).value == output.digest.value
    listing = read_listing(output)
    if listing is None:
        return None
    recorded = {f"{output.path}/{path}": d.value for path, d in listing.items()}
    part = {p: v for p, v in recorded.items() if is_inside(p, record.path)}
    return bool(part) and values == part
