"""Listing the files in a folder that DVC tracks: from the cache, or the DVC remote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.errors import LocalDiskError, StudioModelsError
from dvc_studio_models.log import get_logger
from dvc_studio_models.model import CACHE, REMOTE
from dvc_studio_models.store.dvc.objects import parse_tree
from dvc_studio_models.store.dvc.store import DvcStore

if TYPE_CHECKING:
    from dvc_studio_models.model import PullOptions
    from dvc_studio_models.registry.recorded import Listing, RecordedOutput
    from dvc_studio_models.sources.comparison import ReadListing
    from dvc_studio_models.store.base import Store

logger = get_logger(__name__)


def listing_reader(store: Store, kind: str, options: PullOptions) -> ReadListing:
    """Return a function that lists the files in a folder; None if it cannot.

    With Studio as the source, a DVC remote that is a local folder is read too. One in a
    cloud is read only for a pin, because most users of Studio have no access to it.

    Args:
        store: Of the DVC project.
        kind: Of the source, one of :data:`model.SOURCES`.
        options: Whether a pin is wanted.
    """

    def read(output: RecordedOutput) -> Listing | None:
        if output.digest is None:
            return None
        found = store.read_tree(output.digest)
        if found is not None or kind == CACHE or not isinstance(store, DvcStore):
            return found
        from dvc_studio_models.store.dvc.remote import is_folder

        if not (options.lock or kind == REMOTE or is_folder(store.repo, output.remote)):
            return None
        try:
            return read_remote_listing(store, output, save=not options.dry_run)
        except StudioModelsError as error:
            reason = str(error).replace("\n", " ")
            logger.debug("cannot list '%s': %s", output.path, reason)
            return None

    return read


def read_remote_listing(
    store: DvcStore, output: RecordedOutput, *, save: bool
) -> Listing:
    """List the files in a folder, from the DVC remote.

    Args:
        store: Of the DVC project.
        output: The folder.
        save: Whether to add the listing to the cache.

    Raises:
        RemoteConfigError: There is no remote that can be used.
        DvcRemoteError: It did not deliver.
        IntegrityError: It delivered no listing.
    """
    from dvc_studio_models.store.dvc.remote import DvcRemote

    assert output.digest  # noqa: S101 - only what has a hash has a listing
    remote = DvcRemote(store.repo, output.remote, output.path)
    raw = remote.read_tree(output.digest, output.path)
    listing = parse_tree(raw, output.digest)
    if save:
        try:
            store.add_tree(listing, output.digest)
        except LocalDiskError as error:  # it is read again the next time
            logger.debug("%s", error)
    return listing
