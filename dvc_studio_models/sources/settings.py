"""Settings: arguments override the environment, which overrides DVC's config.

DVC reads its own config, at all four levels. The settings are checked: the base URL is
usable, and the token fits a header.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dvc_studio_models.errors import StudioConfigError, TokenMissingError, config_errors
from dvc_studio_models.model import JobIdentity
from dvc_studio_models.registry.urls import is_valid_token
from dvc_studio_models.store.dvc.light import find_dvc_dir, read_config

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_URL = "https://studio.datachain.ai"
"""Hosted Studio, the default of DVC >= 3.59 (``dvc.utils.studio``)."""

_CI = {"github": "GITHUB_ACTIONS", "gitlab": "GITLAB_CI"}

_BOOLEANS = {
    **dict.fromkeys(("1", "y", "yes", "true"), True),
    **dict.fromkeys(("0", "n", "no", "false"), False),
}


_IN_JOB = {
    "github": "If the server accepts tokens of GitHub jobs, the job only needs "
    "'permissions: {{id-token: write, contents: read}}'",
    "gitlab": "If the server accepts tokens of GitLab jobs, the job only needs "
    "'id_tokens: {{DVC_STUDIO_TOKEN: {{aud: {origin}}}}}'",
}
"""How a job gets a token of its own."""


@dataclass(frozen=True)
class Settings:
    """The user's settings of Studio and of the repo."""

    url: str
    """Base URL of Studio, with its path prefix, without a slash at the end."""

    token: str | None = field(repr=False)
    offline: bool
    repo_url: str | None = field(repr=False)
    """``studio.repo_url``: the repo as registered in Studio. May contain a password."""

    git_remote: str | None = field(repr=False)
    """``exp.git_remote``: a remote's name or a URL, which may contain a password."""

    dvc_config: Any = field(default=None, repr=False, compare=False)
    """DVC's own object of the config that all of this was read from."""

    job: JobIdentity | None = field(default=None, repr=False)
    """Set in a job of GitHub Actions that may get a token of its own."""

    ci: str | None = None
    """``github`` or ``gitlab`` in a job of theirs."""

    def require_token(self) -> str | None:
        """Return the token; None in a job that may get one of its own.

        Raises:
            TokenMissingError: There is none.
        """
        if not self.token and not self.job:
            parts = urlsplit(self.url)
            origin = f"{parts.scheme}://{parts.netloc}"
            way = _IN_JOB.get(self.ci or "", "").format(origin=origin)
            raise TokenMissingError(self.url, in_job=way)
        return self.token


def load_settings(
    folder: Path,
    *,
    token: str | None = None,
    url: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Read the settings of a folder.

    Args:
        folder: In the DVC project whose config is read, if in any.
        token: Overrides the environment and the config.
        url: The same, for Studio's base URL.
        environ: Defaults to the process's environment.

    Raises:
        StudioConfigError: The URL, the token or a boolean cannot be used, or DVC
            cannot read one of its config files.
    """
    env = os.environ if environ is None else environ
    config = _read_dvc_config(folder)
    studio, exp = config.get("studio", {}), config.get("exp", {})
    token = (
        token
        or env.get("DVC_STUDIO_TOKEN")
        or env.get("STUDIO_TOKEN")
        or studio.get("token")
    )
    repo_url = env.get("DVC_STUDIO_REPO_URL") or env.get("STUDIO_REPO_URL")
    offline = env.get("DVC_STUDIO_OFFLINE")
    return Settings(
        url=_check_url(
            url or env.get("DVC_STUDIO_URL") or studio.get("url") or DEFAULT_URL
        ),
        token=_check_token(token),
        offline=_to_bool(offline) if offline else studio.get("offline", False),
        repo_url=repo_url or studio.get("repo_url"),
        git_remote=env.get("DVC_EXP_GIT_REMOTE") or exp.get("git_remote"),
        dvc_config=config,
        job=_read_job(env),
        ci=next((name for name, key in _CI.items() if env.get(key) == "true"), None),
    )


def _read_job(env: Mapping[str, str]) -> JobIdentity | None:
    url = env.get("ACTIONS_ID_TOKEN_REQUEST_URL", "")
    token = env.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")
    is_safe = url.startswith(("https://", "http://127.0.0.1:"))
    if not (is_safe and is_valid_token(url) and token and is_valid_token(token)):
        return None
    return JobIdentity(url, token)


def _read_dvc_config(folder: Path) -> Mapping[str, Any]:
    dvc_dir = find_dvc_dir(Path(os.path.realpath(folder)))
    try:
        with config_errors():
            config: Mapping[str, Any] = read_config(dvc_dir)
    except OSError as error:
        msg = f"DVC cannot read its config '{error.filename}': {error.strerror}"
        raise StudioConfigError(msg) from None
    return config


def _check_url(url: str) -> str:
    url = url.strip()
    try:
        parts = urlsplit(url)
        usable = (
            parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        )
    except ValueError:
        usable = None
    if not usable or not url.isprintable() or " " in url:
        msg = (
            "Studio's URL is not of the form https://host[:port][/prefix]\n"
            "Check DVC_STUDIO_URL, or 'dvc config studio.url'"
        )
        raise StudioConfigError(msg)
    if "@" in parts.netloc:
        msg = "Studio's URL must not contain a user name or password; set a token"
        raise StudioConfigError(msg)
    return url.partition("?")[0].partition("#")[0].rstrip("/")


def _check_token(token: str | None) -> str | None:
    token = (token or "").strip()
    if token and not is_valid_token(token):
        msg = "Studio's token contains characters that cannot be sent; set it again"
        raise StudioConfigError(msg)
    return token or None


def _to_bool(text: str) -> bool:
    """Read a boolean as DVC does, through ``dvc_studio_client``, if it is clear.

    There ``only`` and ``2021`` are true as well, because they contain a y and a 1.
    """
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        msg = "DVC_STUDIO_OFFLINE is not a boolean: use true or false"
        raise StudioConfigError(msg) from None
