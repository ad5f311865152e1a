"""Links that a store's own service accepts: S3, Azure, Google Cloud, plain http.

fsspec signs them with the credentials of DVC's remote, which stay here. It makes the
first link of every second; the others of that second are made by our own code, ten to
a hundred times faster, but only if that code makes fsspec's link byte for byte.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit
from weakref import WeakKeyDictionary

from dvc_studio_models.server.errors.remotes import (
    RemoteUnreadableError,
    SigningError,
)
from dvc_studio_models.server.errors.requests import (
    RefusedError,
)
from dvc_studio_models.server.waiting.single_flight import SingleFlightCache

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dvc_studio_models.server.links.local import MakeLink, Signer
    from dvc_studio_models.server.stores.remotes import Store

    LikeFsspec = Callable[[Any, str, str, str], MakeLink]
    """fsspec's file system, folder, object in it, its link -> links to others there."""

logger = logging.getLogger(f"dvc.{__name__}")

SECRET_S = 10
"""The longest wait, in seconds, for the credentials of a machine in a cloud."""

_NO_SECRET = {
    *("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"),  # botocore's
    *("AuthError", "ValueError"),  # DVC's for Azure, and Azure's
    *("DefaultCredentialsError", "AttributeError", "FileNotFoundError"),  # Google's
}
"""Names of the errors of a missing key; their packages may not be installed."""

_UNQUOTED = "!#$%&'()*+,/:;=?@[]~"  # stay as they are in a URL, quoted already or not


class PlainSigner:
    """Unsigned links to public stores."""

    def link_maker(self, store: Store, *, base_url: str, expires_s: int) -> MakeLink:
        """Return links that never expire, whatever ``expires_s`` is."""
        del base_url, expires_s
        folder = quote(store.remote.path.rstrip("/"), safe=_UNQUOTED)
        return lambda name: f"{folder}/{name}"

    def sign(
        self, store: Store, objects: Sequence[str], *, base_url: str, expires_s: int
    ) -> list[str]:
        """Make links; no service is needed for that."""
        make = self.link_maker(store, base_url=base_url, expires_s=expires_s)
        return [*map(make, objects)]


class CloudSigner:
    """Links that fsspec signs."""

    def __init__(self, needs: str, like_fsspec: LikeFsspec | None = None) -> None:
        """Store how links are signed.

        Args:
            needs: The credentials that signing needs, for error messages.
            like_fsspec: Signs other objects as fsspec signed one.
        """
        self._needs = needs
        self._like_fsspec = like_fsspec
        self._makers: WeakKeyDictionary[Store, SingleFlightCache[MakeLink | None]] = (
            WeakKeyDictionary()
        )

    def link_maker(
        self, store: Store, *, base_url: str, expires_s: int
    ) -> MakeLink | None:
        """Return a function that makes links, if fsspec has made this second's."""
        del base_url
        makers = self._makers.get(store)
        return makers.peek(_now(expires_s)) if makers else None

    def sign(
        self, store: Store, objects: Sequence[str], *, base_url: str, expires_s: int
    ) -> list[str]:
        """Make links to the store's service; ``base_url`` is not used.

        Raises:
            RemoteUnreadableError: The service cannot be reached.
            SigningError: There are no credentials that allow it.
            StorageSilentError: Another thread has been waiting for it for too long.
        """
        del base_url
        try:
            return [*map(self._find_maker(store, objects[0], expires_s), objects)]
        except RefusedError:
            raise
        except Exception as exc:  # every service has errors of its own
            logger.exception("cannot sign links for the DVC remote '%s'", store.name)
            if _NO_SECRET.intersection(kind.__name__ for kind in type(exc).__mro__):
                raise SigningError(store.name, self._needs) from exc
            raise RemoteUnreadableError(store.name, exc) from exc

    def _find_maker(self, store: Store, name: str, expires_s: int) -> MakeLink:
        folder = store.remote.path.rstrip("/")
        fs = store.remote.fs.fs

        def sign(name: str) -> str:
            link: str = fs.sign(f"{folder}/{name}", expiration=expires_s)
            return link

        like_fsspec = self._like_fsspec
        if like_fsspec is None or store.is_versioned:
            return sign
        makers = self._makers.setdefault(store, SingleFlightCache(1))
        maker = makers.get(
            _now(expires_s), lambda: _checked(like_fsspec, fs, folder, name, sign(name))
        )
        return maker or sign


def _now(expires_s: int) -> tuple[int, int]:
    """Return the signing time and lifetime of a batch of links."""
    return int(time.time()), expires_s


def _checked(
    like_fsspec: LikeFsspec, fs: Any, folder: str, name: str, link: str
) -> MakeLink | None:
    """Return a function that makes links, if it reproduces fsspec's link."""
    try:
        make = like_fsspec(fs, folder, name, link)
        if make(name) == link:
            return make
    except Exception as exc:  # noqa: BLE001 - it reads private attributes of others
        logger.debug("signing link by link: %s", type(exc).__name__)
    return None


def like_s3(fs: Any, folder: str, name: str, link: str) -> MakeLink:
    """Sign for S3, by version 4 or 2, whichever ``link`` was signed by."""
    bucket = folder.partition("/")[0]

    async def find_secret() -> str:
        client = await fs.get_s3(bucket)
        found = await client._request_signer._credentials.get_frozen_credentials()
        secret: str = found.secret_key
        return secret

    found = asyncio.run_coroutine_threadsafe(find_secret(), fs.loop)
    secret = found.result(SECRET_S).encode()
    address, _, query = link.partition("?")
    root = address.removesuffix(name)
    parts = urlsplit(root)
    if "X-Amz-Signature" in query:
        return _like_s3_v4(root, parts.netloc, parts.path, query, secret)
    in_host = parts.netloc.startswith(f"{bucket}.")
    path = f"/{bucket}{parts.path}" if in_host else parts.path
    return _like_s3_v2(root, path, query, secret)


def _like_s3_v4(root: str, host: str, path: str, query: str, secret: bytes) -> MakeLink:
    unsigned, _, _ = query.partition("&X-Amz-Signature=")
    fields = _fields(query)
    _, *scope = fields["X-Amz-Credential"].split("/")
    key = b"AWS4" + secret
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    head = f"AWS4-HMAC-SHA256\n{fields['X-Amz-Date']}\n{'/'.join(scope)}"
    sorted_query = "&".join(sorted(unsigned.split("&")))
    rest = f"{sorted_query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"

    def make(name: str) -> str:
        request = f"GET\n{path}{name}\n{rest}".encode()
        to_sign = f"{head}\n{hashlib.sha256(request).hexdigest()}".encode()
        signature = hmac.digest(key, to_sign, "sha256").hex()
        return f"{root}{name}?{unsigned}&X-Amz-Signature={signature}"

    return make


def _like_s3_v2(root: str, path: str, query: str, secret: bytes) -> MakeLink:
    before, _, after = query.partition("&Signature=")
    after = after.partition("&")[2]
    fields = _fields(query)
    token = fields.get("x-amz-security-token")
    headers = f"x-amz-security-token:{token}\n" if token else ""
    head = f"GET\n\n\n{fields['Expires']}\n{headers}{path}"

    def make(name: str) -> str:
        digest = hmac.digest(secret, f"{head}{name}".encode(), "sha1")
        signature = quote(base64.b64encode(digest), safe="")
        return f"{root}{name}?{before}&Signature={signature}&{after}"

    return make


def like_azure(fs: Any, folder: str, name: str, link: str) -> MakeLink:
    """Sign for Azure, with one shared access signature per blob."""
    from azure.storage.blob import (  # type: ignore[import-not-found,unused-ignore]
        generate_blob_sas,
    )

    address, _, query = link.partition("?")
    root = address.removesuffix(name)
    expiry = _fields(query)["se"]
    container, _, inside = folder.partition("/")
    account, key = _azure_key(fs)

    def make(name: str) -> str:
        signature = generate_blob_sas(
            account,
            container,
            f"{inside}/{name}" if inside else name,
            account_key=key,
            permission="r",
            expiry=expiry,
        )
        return f"{root}{name}?{signature}"

    return make


def _azure_key(fs: Any) -> tuple[str, str]:
    if not fs.connection_string:
        return fs.account_name, fs.account_key
    pairs = (pair.partition("=") for pair in fs.connection_string.split(";"))
    fields = {name.strip().lower(): value for name, _, value in pairs}
    return fields["accountname"], fields["accountkey"]


def _fields(query: str) -> Mapping[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}


SIGNERS: Mapping[str, Signer] = {
    "azure": CloudSigner(
        "an account's key ('account_key', or in 'connection_string')", like_azure
    ),
    "gs": CloudSigner("a service account's key ('credentialpath')"),
    "http": PlainSigner(),
    "https": PlainSigner(),
    "s3": CloudSigner(
        "an access key ('access_key_id', or as configured for the AWS CLI)", like_s3
    ),
}
"""DVC's name for a kind of store -> the signer of its links."""
