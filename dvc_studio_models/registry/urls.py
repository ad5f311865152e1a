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

_SAME_HOSTS = {
    "altssh.bitbucket.org": "bitbucket.org",
    "altssh.gitlab.com": "gitlab.com",
    "ssh.github.com": "github.com",
    "www.github.com": "github.com",
}
_CASELESS = {"bitbucket.org", "codeberg.org", "dev.azure.com", "github.com"}
_CASELESS_NAMES = {"bitbucket", "forgejo", "gitea", "github", "gitlab"}
"""As the first part of a host's name."""

_AZURE = "dev.azure.com"
_AZURE_WORDS = {"DefaultCollection", "_full", "_optimized"}
# Compiled when needed: most repos are on other hosts.
_CODECOMMIT = (
    r"(?i)codecommit(?:::(?P<region>[a-z0-9-]+))?://(?:[^/@]*@)?(?P<name>[^/]+)/*"
)
_CODECOMMIT_HOST = (
    r"git-codecommit(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?"
)
_BITBUCKET_HTTPS = r"(?:(?:bitbucket|git|stash)/)?scm/(?P<path>[^/]+/[^/]+)"
_BITBUCKET_PORT = "7999"
_SCM = "scm/"
_SCP_WITH_PORT = (
    r"\[(?:[^@\]/]*@)?(?P<host>\[[^\]]*\]|[^:\[\]]+)(?::(?P<port>[0-9]+))?\]"
    r":(?P<path>(?!//).+)"
)
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
    Neither do the spellings of a few hosts, nor the case of a path if its host is known
    not to mind.

    Args:
        url: A URL, an scp-like address, a path or ``owner/name``.

    Returns:
        The host in lower case, ``LOCAL`` for a path, empty for ``owner/name`` alone;
        and the path without the outer slashes.
    """
    host, port, path = _split(strip_secrets(url.strip()))
    host = _SAME_HOSTS.get(host, host)
    host, path = _azure(host, path) or _codecommit(host, path) or (host, path)
    path = _bitbucket_server(port, path) or path
    return host, path.lower() if is_caseless(host) else path


def is_caseless(host: str) -> bool:
    """Whether upper and lower case in the paths of a host are the same."""
    return host in _CASELESS or host.partition(".")[0] in _CASELESS_NAMES


def _split(url: str) -> tuple[str, str, str]:
    """Return host, port if there is one, and path."""
    is_codecommit = url[:10].lower() == "codecommit"
    if is_codecommit and (match := re.fullmatch(_CODECOMMIT, url)):
        return _codecommit_host(match["region"]), "", f"v1/repos/{match['name']}"
    if "://" in url:
        with contextlib.suppress(ValueError):  # unbalanced brackets of an IPv6 host
            parts = urlsplit(url)
            host = LOCAL if parts.scheme == "file" else parts.hostname or ""
            port = parts.netloc.rpartition(":")[2]
            return host, port, _bare(unquote(parts.path))
    if Path(url).is_absolute():
        return LOCAL, "", _bare(url)
    with_port = url[:1] == "[" and re.fullmatch(_SCP_WITH_PORT, url)
    if match := with_port or _SCP.fullmatch(url):
        port = match.groupdict().get("port") or ""
        return match["host"].strip("[]").lower(), port, _bare(match["path"])
    return "", "", _bare(url)


def _azure(host: str, path: str) -> tuple[str, str] | None:
    """Return organisation, project and repo of Azure DevOps in one form."""
    account, _, domain = host.partition(".")
    if host != _AZURE and domain not in {_AZURE, "visualstudio.com"}:
        return None
    parts = [part for part in unquote(path).split("/") if part not in _AZURE_WORDS]
    if account in {"ssh", "vs-ssh"}:
        found = parts[1:] if parts[0] == "v3" else []
    else:
        found = parts if host == _AZURE else [account, *parts]
        with contextlib.suppress(ValueError):
            found.remove("_git")
            if len(found) == 2:  # noqa: PLR2004 - the project has the repo's name
                found.append(found[-1])
    return (_AZURE, "/".join(found).lower()) if len(found) == 3 else None  # noqa: PLR2004


def _codecommit(host: str, path: str) -> tuple[str, str] | None:
    match = host.startswith("git-") and re.fullmatch(_CODECOMMIT_HOST, host)
    return (_codecommit_host(match["region"]), path) if match else None


def _codecommit_host(region: str | None) -> str:
    """Return the host of a region; without one, any host fits."""
    if region is None:
        return ""
    suffix = ".cn" if region.startswith("cn-") else ""
    return f"git-codecommit.{region.lower()}.amazonaws.com{suffix}"


def _bitbucket_server(port: str, path: str) -> str | None:
    """Return project and repo of Bitbucket Server in the form of its https URLs."""
    if _SCM in path and (match := re.fullmatch(_BITBUCKET_HTTPS, path)):
        return f"{_SCM}{match['path']}".lower()
    is_ssh = port == _BITBUCKET_PORT and path.count("/") == 1
    return f"{_SCM}{path}".lower() if is_ssh else None


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
    return may_be_same(identity(url), identity(other))


def may_be_same(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether two identities are of one repo; one without a host matches any host."""
    if one == other:
        return True
    (host, path), (other_host, other_path) = one, other
    if "" not in {host, other_host}:
        return False
    paths = {path, other_path}
    if is_caseless(host or other_host):
        paths = {each.lower() for each in paths}
    return len(paths) == 1 or len({each.removeprefix(_SCM) for each in paths}) == 1
