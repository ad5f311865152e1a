"""The signers of all kinds of stores, and the links to the files of a model."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from dvc_studio_models.server.links.clouds import SIGNERS
from dvc_studio_models.server.links.local import FolderSigner, Signer
from dvc_studio_models.server.stores.places import LOCAL
from dvc_studio_models.server.waiting.deadlines import waiting_for_remotes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from dvc_studio_models.server.catalog.recorded import StoredFile
    from dvc_studio_models.server.links.local import MakeLink
    from dvc_studio_models.server.stores.remotes import Store


class Signers:
    """Signs links to files, wherever they are stored."""

    def __init__(self, folders: FolderSigner, *, expires_s: int) -> None:
        """Store the signer of local folders, and the life of links in seconds."""
        self.folders = folders
        self._expires_s = expires_s
        self._by_protocol: dict[str, Signer] = {LOCAL: folders, **SIGNERS}

    @classmethod
    def from_environment(cls, *, expires_s: int) -> Signers:
        """Sign links to local folders with the key in the environment, if any."""
        return cls(FolderSigner.from_environment(), expires_s=expires_s)

    @property
    def protocols(self) -> Collection[str]:
        """The kinds of stores for which links can be signed."""
        return self._by_protocol

    def sign(
        self, files: Sequence[StoredFile], base_url: str, user: str = ""
    ) -> dict[str, str]:
        """Return the link to each file, by its path.

        Args:
            files: What to sign.
            base_url: How the client reached this server, without the final slash.
            user: Who asks, for the log of downloads from this server.

        Raises:
            RemoteUnreadableError: A store's service cannot be reached.
            SigningError: There are no credentials that allow it.
            BusyError: Too many requests wait for DVC remotes.
            StorageSilentError: Another thread has been waiting for it for too long.
        """
        makers = self._link_makers(files, base_url, user)
        if makers is None:
            with waiting_for_remotes():
                return self._sign(files, base_url, user)
        return {file.path: makers[file.store](file.object) for file in files}

    def _link_makers(
        self, files: Sequence[StoredFile], base_url: str, user: str
    ) -> Mapping[Store, MakeLink] | None:
        """Return the link maker of each store; None if a service must be contacted."""
        makers: dict[Store, MakeLink] = {}
        for store in {file.store for file in files}:
            maker = self._link_maker(store, base_url, user)
            if maker is None:
                return None
            makers[store] = maker
        return makers

    def _link_maker(self, store: Store, base_url: str, user: str) -> MakeLink | None:
        life = self._expires_s
        if store.protocol == LOCAL:
            return self.folders.link_maker(
                store, base_url=base_url, expires_s=life, user=user
            )
        signer = self._by_protocol[store.protocol]
        return signer.link_maker(store, base_url=base_url, expires_s=life)

    def _sign(
        self, files: Sequence[StoredFile], base_url: str, user: str
    ) -> dict[str, str]:
        """Sign links, after contacting the stores' services if needed."""
        links: dict[str, str] = {}
        # All of one store at once: files come sorted by path, mostly from one store.
        for store, group in itertools.groupby(files, key=lambda file: file.store):
            together = list(group)
            objects = [file.object for file in together]
            if maker := self._link_maker(store, base_url, user):
                signed = [*map(maker, objects)]
            else:
                signed = self._by_protocol[store.protocol].sign(
                    store, objects, base_url=base_url, expires_s=self._expires_s
                )
            links.update(zip((file.path for file in together), signed, strict=True))
        return links
