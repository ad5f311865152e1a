"""Signed links to stored objects; anybody may fetch an object by its link.

Those of this module lead to this server's own ``/objects``; :mod:`clouds` has the
signers of stores whose own service accepts signed links.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, unquote

from dvc_studio_models.server.errors.requests import (
    LinkError,
)
from dvc_studio_models.server.links.signing_key import signing_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dvc_studio_models.server.stores.remotes import Store

    MakeLink = Callable[[str], str]
    """An object's path in its store -> a link to it."""

OBJECTS = "/objects"
"""The path under which the server sends the objects of local folders."""

_STORE = re.compile(r"(?:@(?P<version>[0-9a-f]{40,64}):)?(?P<name>.*)", re.DOTALL)
_NUMBER = re.compile("[0-9]{1,20}")
_OBJECT = re.compile(r"(?:files/md5/)?[0-9a-f]{2}/[0-9a-f]{30}")


class Signer(Protocol):
    """Makes links for one kind of store."""

    def link_maker(
        self, store: Store, *, base_url: str, expires_s: int
    ) -> MakeLink | None:
        """Return a function that makes links; None if a service must be contacted."""

    def sign(
        self, store: Store, objects: Sequence[str], *, base_url: str, expires_s: int
    ) -> list[str]:
        """Make a link to each of the objects; this may be slow.

        Args:
            store: Where they are.
            objects: Their paths in it, at least one.
            base_url: How the client reached this server, without the final slash.
            expires_s: Life of the links, in seconds.

        Raises:
            RemoteUnreadableError: The store's service cannot be reached.
            SigningError: The server has no credentials that allow it.
        """


class FolderSigner:
    """Links to this server's own ``/objects``, for stores that are local folders."""

    def __init__(self, key: bytes, *, now: Callable[[], float] = time.time) -> None:
        self._key = key
        self._now = now

    @classmethod
    def from_environment(cls) -> FolderSigner:
        """Use the key in the environment, else a random one."""
        return cls(signing_key())

    def link_maker(
        self, store: Store, *, base_url: str, expires_s: int, user: str = ""
    ) -> MakeLink:
        """Return links whose path ends in the object's id, as on any DVC remote.

        Args:
            store: Where the objects are.
            base_url: How the client reached this server, without the final slash.
            expires_s: Life of the links, in seconds.
            user: Who asks, for the log of downloads: a link is fetched without a token.
        """
        folder = f"{OBJECTS}/{store.repo}/{store_segment(store)}"
        expires = str(int(self._now()) + expires_s)
        by_user = f"user={quote(user, safe='')}&" if user else ""

        def make(name: str) -> str:
            path = f"{folder}/{name}"
            signature = self._mac(path, expires, user)
            query = f"{by_user}expires={expires}&signature={signature}"
            return f"{base_url}{path}?{query}"

        return make

    def sign(
        self, store: Store, objects: Sequence[str], *, base_url: str, expires_s: int
    ) -> list[str]:
        """Make links; no service is needed for that."""
        make = self.link_maker(store, base_url=base_url, expires_s=expires_s)
        return [*map(make, objects)]

    def check(self, path: str, *, expires: str, signature: str, user: str = "") -> None:
        """Check that this signer, or one with the same key, signed a link.

        Args:
            path: From ``/objects`` on, quoted as :meth:`sign` quotes it.
            expires: From the link, not yet trusted.
            signature: From the link.
            user: From the link, not yet trusted; empty if it has none.

        Raises:
            LinkError: The signature is wrong, or the link has expired.
        """
        expected = self._mac(path, expires, user).encode()
        is_signed = hmac.compare_digest(expected, signature.encode())
        if not (is_signed and _NUMBER.fullmatch(expires)):
            msg = "the link's signature is wrong"
            raise LinkError(msg)
        if self._now() >= int(expires):
            msg = "the link has expired"
            raise LinkError(msg)

    def _mac(self, path: str, expires: str, user: str = "") -> str:
        signed = f"{path}\n{expires}\n{user}" if user else f"{path}\n{expires}"
        raw = signed.encode("utf-8", "surrogatepass")
        return hmac.new(self._key, raw, hashlib.sha256).hexdigest()


def store_segment(store: Store) -> str:
    """Write a store as one segment of a path, quoted twice: servers unquote once."""
    name = f"{store.project}:{store.name}" if store.project else store.name
    if store.version:
        name = f"@{store.version}:{name}"
    return quote(quote(name, safe=""), safe="")


def parse_segment(segment: str) -> tuple[str, str, str | None]:
    """Read a segment, unquoted once, back into project, name and version."""
    match = _STORE.fullmatch(unquote(segment))
    assert match  # noqa: S101 - it fits any text
    project, _, name = match["name"].rpartition(":")
    return project, name, match["version"]


def is_object(path: str) -> bool:
    """Whether a path can only be that of an object, and of nothing else on disk."""
    return _OBJECT.fullmatch(path) is not None
