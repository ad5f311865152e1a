"""What is used of a committed ``.dvc/config``: only where the data is.

Whoever can push to a repo writes its config. An option that reads a file, runs a
program or chooses a credential would let them use what belongs to the reader. So this
is a list of what is allowed; everything else is dropped, options of future versions of
DVC too.
"""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MAX_BYTES = 64 << 10
"""The largest config that is parsed."""

MAX_LINE = 2000
"""The longest line; DVC's parser takes time that grows with its square."""

_COMMON = frozenset({"url", "version_aware", "worktree"})
_CLOUD = _COMMON | {"allow_anonymous_login"}

ALLOWED: Mapping[str, frozenset[str]] = {
    "s3": _CLOUD | {"endpointurl", "region"},
    "azure": _CLOUD | {"account_name"},
    "gs": _CLOUD | {"projectname"},
    "http": _COMMON | {"auth"},
    "https": _COMMON | {"auth"},
}
"""Kind of remote -> its options that are used; of other kinds, the common ones.

``auth`` only says that a password is needed, and then no links can be made.
``endpointurl`` of Google Cloud is not among them: the server's access token is sent
there.
"""

WITHOUT_EFFECT = frozenset(
    {
        *("jobs", "checksum_jobs", "no_traverse", "listobjects", "verify", "method"),
        *("acl", "grant_read", "grant_read_acp", "grant_write_acp", "type", "shared"),
        *("grant_full_control", "slow_link_warning", "protected", "cache_regions"),
        *("read_timeout", "connect_timeout", "connection_timeout", "timeout"),
    }
)
"""Options that only change uploads and speed; they are dropped without a warning."""

_REGION = re.compile(r"[A-Za-z0-9_-]{1,63}")
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")  # becomes a part of the host's name


@dataclass(frozen=True)
class CommittedConfig:
    """What is used of a committed config."""

    remote: str | None = None
    """The default remote."""

    remotes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Name of a remote -> its options that are allowed."""

    dropped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Name of a remote -> its options that are not allowed, and are missed."""

    def to_dvc(self) -> dict[str, Any]:
        """Return it in the form of DVC's ``Config``."""
        core = {"remote": self.remote} if self.remote else {}
        remotes = {name: dict(options) for name, options in self.remotes.items()}
        return {"core": core, "remote": remotes}


def read_config(data: bytes) -> CommittedConfig:
    """Read a committed ``.dvc/config``.

    Raises:
        ConfigError: DVC cannot read it, or it would take too much time.
    """
    from dvc.config import Config, ConfigError

    text = _checked(data)
    try:
        raw = Config.load_file("config", fs=_OneFile(text))
    except (RecursionError, ValueError, TypeError, AttributeError):
        msg = "it is not in the form that DVC writes"
        raise ConfigError(msg) from None
    core = raw.get("core")
    remote = core.get("remote") if isinstance(core, dict) else None
    remotes = {
        name: options
        for name, options in raw.get("remote", {}).items()
        if isinstance(options, dict)
    }
    allowed = {name: dict(_allowed(options)) for name, options in remotes.items()}
    dropped = {
        name: tuple(sorted({*options} - {*allowed[name]} - WITHOUT_EFFECT))
        for name, options in remotes.items()
    }
    return CommittedConfig(
        remote if isinstance(remote, str) else None,
        allowed,
        {name: options for name, options in dropped.items() if options},
    )


def clean_config(data: bytes) -> bytes:
    """Return a committed ``.dvc/config`` with only the options that are allowed.

    Raises:
        ConfigError: See :func:`read_config`.
    """
    from configobj import ConfigObj, ConfigObjError

    config = read_config(data)
    clean = ConfigObj(interpolation=False)
    if config.remote:
        clean["core"] = {"remote": config.remote}
    for name, options in config.remotes.items():
        where = {key: value for key, value in options.items() if key != "auth"}
        clean[f'remote "{name}"'] = where
    written = io.BytesIO()
    with contextlib.suppress(ConfigObjError):  # a name that DVC cannot write either
        clean.write(written)
    return written.getvalue()


def _checked(data: bytes) -> str:
    """Return the text of a config that DVC's parser reads in milliseconds."""
    from dvc.config import ConfigError

    if len(data) > MAX_BYTES:
        msg = f"it is larger than {MAX_BYTES >> 10} KiB"
        raise ConfigError(msg)
    if b"%(" in data:  # insertions, which may nest to any size
        msg = "it contains '%('"
        raise ConfigError(msg)
    try:
        lines = [line.strip() for line in data.decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        msg = "it is not UTF-8"
        raise ConfigError(msg) from None
    if any(len(line) > MAX_LINE for line in lines):
        msg = f"it has a line of more than {MAX_LINE} characters"
        raise ConfigError(msg)
    return "\n".join(lines)


def _allowed(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    names = ALLOWED.get(_scheme(options.get("url")), _COMMON)
    for name, value in options.items():
        if name in names and isinstance(value, str) and _is_plain(name, value):
            yield name, value


def _scheme(url: object) -> str:
    with contextlib.suppress(ValueError):
        return urlsplit(url).scheme if isinstance(url, str) else ""
    return ""


def _is_plain(name: str, value: str) -> bool:
    """Whether a value says no more than where data is."""
    return _CHECKS.get(name, _is_printable)(value)


def _is_printable(value: str) -> bool:
    return value.isprintable()


def _is_account(value: str) -> bool:
    return _ACCOUNT.fullmatch(value) is not None


def _is_region(value: str) -> bool:
    return _REGION.fullmatch(value) is not None


_CHECKS: Mapping[str, Callable[[str], bool]] = {
    "account_name": _is_account,
    "region": _is_region,
}


class _OneFile:
    """The file system of one text, as DVC's ``Config`` reads it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def open(self, _path: str) -> io.StringIO:
        return io.StringIO(self._text)
