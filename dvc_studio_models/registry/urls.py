"""URLs of Git repos: their kind, their secrets, and whether two are of one repo."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from dvc_studio_models.model import ModelRef

LOCAL = "file:"
"""Host of a path on this machine."""

_SCP = re.compile(r"(?:[^/:]*@)?(?P<host>\[[^]/]+\]|[^/:]+):(?P<path>(?!//).+)")
_SCP_LIKE = re.compile(r"[^/]*?[^/:]:(?!//)")
_SCP_PASSWORD = re.compile(r"\A([^/:@]+):[^/@]*@(?=[^/]*:)")
_USERINFO = re.compile(
    r"(?P<scheme>[a-z0-9+.-]*)://"
    # The second form has a slash in its password; no program can use that.
    r"(?P<userinfo>[^/?#]*|(?!\[)[^/?#:]*:(?!\d*(?:[/?#]|\Z)).*)@",
    re.IGNORECASE,
)


def is_url(text: str) -> bool:
    """Whether ``text`` is a URL or path of a repo, and not the name of a remote."""
    return ":" in text or "/" in text


def is_local(url: str) -> bool:
    """Whether Git interprets ``url`` as a path on this machine."""
    if "://" in url:
        return url.lower().startswith("file:")
    return not _SCP_LIKE.match(url)


def is_loopback(url: str) -> bool:
    """Whether the host of ``url`` is this machine."""
    return is_loopback_host(urlsplit(url).hostname or "")


def is_loopback_host(host: str) -> bool:
    """Whether a host's name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_valid_token(token: str) -> bool:
    """Return whether a token can be sent in a header."""
    return token.isascii() and token.isprintable() and " " not in token


def strip_secrets(url: str) -> str:
    """Remove user name and password from a repo URL, but not the user of ssh."""
    if "://" not in url:
        return _SCP_PASSWORD.sub(r"\1@", url)
    url = _USERINFO.sub(_strip_userinfo, url)
    if url.lower().startswith("http"):
        url = re.split(r"[?#]", url, maxsplit=1)[0]
    return url


def _strip_userinfo(match: re.Match[str]) -> str:
    is_ssh = "ssh" in match["scheme"].lower()
    user = match["userinfo"].partition(":")[0] if is_ssh else ""
    return f"{match['scheme']}://{user}@" if user else f"{match['scheme']}://"


def identity(url: str) -> tuple[str, str]:
    """Return host and path, which all URLs of one repo have in common.

    As for Studio, scheme, user, port, ``.git`` and the case of the host do not matter.

    Args:
        url: A URL, an scp-like address, a path or ``owner/name``.

    Returns:
        The host in lower case, ``LOCAL`` for a path, empty for ``owner/name`` alone;
        and the path without the outer slashes.
    """
    url = strip_secrets(url.strip())
    if "://" in url:
        with contextlib.suppress(ValueError):  # unbalanced brackets of an IPv6 host
            parts = urlsplit(url)
            host = LOCAL if parts.scheme == "file" else parts.hostname or ""
            return host, _bare(unquote(parts.path))
    if Path(url).is_absolute():
        return LOCAL, _bare(url)
    if match := _SCP.fullmatch(url):
        return match["host"].strip("[]").lower(), _bare(match["path"])
    return "", _bare(url)


def _bare(path: str) -> str:
    return re.sub(r"/+", "/", path).strip("/").removesuffix(".git").rstrip("/")


def key_of(ref: ModelRef) -> tuple[str, str | None]:
    """Identify a model by its name and its repo, by whatever URL; None for the clone's.

    Two repos may have models of one name.
    """
    return ref.name, repo_id(ref.repo) if ref.repo else None


def repo_id(url: str) -> str:
    """Return host and path of a repo: ``github.com/acme/models``."""
    return "/".join(identity(url))


def is_same_repo(url: str, other: str) -> bool:
    """Whether two URLs are of one repo; ``owner/name`` alone matches any host."""
    (host, path), (other_host, other_path) = identity(url), identity(other)
    return path == other_path and (host == other_host or "" in {host, other_host})
