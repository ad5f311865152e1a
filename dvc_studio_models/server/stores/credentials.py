"""The credentials of DVC remotes: each repo's own, never the process's environment.

DVC's packages share credentials between remotes: dvc-s3 puts ``credentialpath`` and
``configpath`` into the environment, where the first one stays for all; Azure's fill in
what is missing from the environment. So the file systems of DVC get theirs from here.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvc_studio_models.server.config.schema import remote_schemas

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OWN = "own_credentials"
"""The setting of a file system whose credentials are its repo's own, all of them."""

CREDENTIALS = frozenset(
    {
        *("access_key_id", "secret_access_key", "session_token", "profile"),
        *("credentialpath", "configpath", "connection_string", "sas_token"),
        *("account_key", "tenant_id", "client_id", "client_secret"),
        *("auth", "user", "password", "ask_password", "custom_auth_header", "token"),
        *("allow_anonymous_login",),
    }
)
"""DVC's options that choose credentials."""

FILES = ("credentialpath", "configpath")
"""DVC's options that name files with credentials."""

_AWS_FILES = {
    "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials",
    "AWS_CONFIG_FILE": "~/.aws/config",
}
_GOOGLE_FILE = "GOOGLE_APPLICATION_CREDENTIALS"

_IDENTITIES = ("aws_access_key_id", "credential_process", "role_arn", "sso_")
"""How settings of an AWS profile begin that give it credentials."""


def merge(
    settings: Mapping[str, Any], own: Mapping[str, str], protocol: str
) -> dict[str, Any]:
    """Return the settings of a remote with the credentials of its repo.

    Args:
        settings: As DVC's config has them.
        own: DVC's options from the operator's config of this repo; if there are any,
            no credentials of elsewhere are used.
        protocol: Kind of the remote; options of other kinds are left out.

    Raises:
        Invalid: An option has a value that DVC does not accept.
    """
    from dvc.config_schema import SCHEMA

    known = {str(key) for key in remote_schemas().get(protocol, {})}
    fitting = {key: value for key, value in own.items() if key in known}
    if not fitting:
        return dict(settings)
    checked = SCHEMA["remote"][str]({"url": f"{protocol}://x/y", **fitting})
    given = {key: checked[key] for key in fitting}
    if CREDENTIALS.isdisjoint(given):  # only a service or a region
        return {**settings, **given}
    kept = {key: each for key, each in settings.items() if key not in CREDENTIALS}
    return {**kept, **given, OWN: True}


def files_of(config: Mapping[str, Any], own: Mapping[str, str]) -> Iterator[Path]:
    """List the files with credentials of a config's remotes, whether they exist or not.

    When one changes, its remotes are opened again: keys are rotated.
    """
    remotes = [*config.get("remote", {}).values(), own]
    for options in remotes:
        yield from (Path(options[name]) for name in FILES if options.get(name))
    urls = [str(options.get("url", "")) for options in remotes]
    if any(url.startswith(("s3:", "remote:")) for url in urls):
        for variable, default in _AWS_FILES.items():
            yield Path(os.path.expanduser(os.environ.get(variable) or default))
    if os.environ.get(_GOOGLE_FILE) and any(url.startswith("gs:") for url in urls):
        yield Path(os.environ[_GOOGLE_FILE])


@functools.cache
def isolated(fs_class: Any) -> Any:
    """Return a file system of DVC that takes credentials only from its settings."""
    prepare = {"s3": _prepare_s3, "azure": _prepare_azure}.get(fs_class.protocol)
    if prepare is None:
        return _ignoring_own(fs_class)

    def prepare_credentials(self: Any, **settings: Any) -> dict[str, Any]:
        original = functools.partial(fs_class._prepare_credentials, self)
        return prepare(original, settings)

    methods: dict[str, Any] = {"_prepare_credentials": prepare_credentials}
    if fs_class.protocol == "s3":  # the session reads it
        methods["_load_aws_config_file"] = _no_config
    return type(fs_class.__name__, (fs_class,), methods)


def _ignoring_own(fs_class: Any) -> Any:
    def make(**settings: Any) -> Any:
        settings.pop(OWN, None)
        return fs_class(**settings)

    return make


def _no_config(self: Any, _profile: str | None) -> dict[str, Any]:
    self._transfer_config = None
    return {}


def _prepare_s3(prepare: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Add a session of botocore with its own files; sign by version 4 by default."""
    from aiobotocore.session import AioSession  # type: ignore[import-untyped]

    settings.pop(OWN, None)
    session = AioSession(profile=settings.pop("profile", None))
    has_own = False
    for option, variable in zip(
        FILES, ("credentials_file", "config_file"), strict=True
    ):
        if path := settings.pop(option, None):
            session.set_config_variable(variable, os.fspath(path))
            has_own = has_own or option == "credentialpath" or _has_identity(session)
    if has_own and session.profile is None:  # else the environment comes first
        session.set_config_variable("profile", "default")
    arguments: dict[str, Any] = prepare(**settings)
    arguments["session"] = session
    chosen = session.get_scoped_config().get("s3", {}).get("signature_version")
    kwargs = arguments.setdefault("config_kwargs", {})
    kwargs.setdefault("signature_version", chosen or "s3v4")
    return arguments


def _has_identity(session: Any) -> bool:
    profile = session.full_config["profiles"].get("default", {})
    return any(name.startswith(_IDENTITIES) for name in profile)


def _prepare_azure(prepare: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Complete an account's key: gaps are filled from the environment."""
    own = settings.pop(OWN, None)
    arguments: dict[str, Any] = prepare(**settings)
    if not own:
        return arguments
    for name in ("connection_string", "account_name", "account_key", "sas_token"):
        arguments[name] = settings.get(name)
    if arguments["connection_string"] is None and arguments["account_key"]:
        arguments["connection_string"] = (
            f"DefaultEndpointsProtocol=https;AccountName={arguments['account_name']};"
            f"AccountKey={arguments['account_key']};EndpointSuffix=core.windows.net"
        )
    if arguments["connection_string"] is None:
        msg = "no 'connection_string', and no 'account_key'"
        raise ValueError(msg)
    return arguments
