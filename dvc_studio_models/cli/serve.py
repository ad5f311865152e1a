"""``dvc models serve``. Owns the rules on tokens and on who may connect."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from dvc.cli import completion

from dvc_studio_models.cli.base import CmdModels
from dvc_studio_models.cli.options import add_command, bounded_int
from dvc_studio_models.cli.summaries import SUMMARIES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Mapping
    from types import ModuleType

    from dvc_studio_models.cli.options import Commands
    from dvc_studio_models.server.config.file import ConfigSource
    from dvc_studio_models.server.config.values import ServeConfig, TokenConfig

TOKEN_VARIABLE = "DVC_STUDIO_TOKEN"  # noqa: S105 - a variable's name
LAST_PORT = (1 << 16) - 1
MOST_WORKERS = 256
LONGEST_S = 7 * 24 * 3600  # what S3 signs at most

DESCRIPTION = """\
Serve Studio's model registry API from local clones or bare repos.

Clients set DVC_STUDIO_URL to this server's address, and DVC_STUDIO_TOKEN to one of its
tokens. A repo is identified by the URLs of its Git remotes, by its path, and by NAME in
NAME=PATH. New tags are picked up while the server runs. Files come from each DVC
project's default remote: S3, Azure, Google Cloud, http without a password, or a local
folder. Credentials are taken from DVC's config and the environment, and never sent.
"""


class CmdModelsServe(CmdModels):
    """Runs the server until it is stopped."""

    def run(self) -> int:
        """Serve, or only check the config."""
        source = self._source()
        if self.args.check_config:
            return _check(Path(self.args.config))
        from dvc_studio_models.server.monitoring.logs import use_format
        from dvc_studio_models.server.workers import handling, sharing

        with handling(signal.SIGHUP, lambda *_: None):  # the config is read again later
            use_format(self.args.log_format)  # also for what is wrong with the config
            config = source.read()
            if self.args.config is not None:
                use_format(config.log_format)
            with sharing(config.workers):  # before the server is imported
                _import_service().run(source, config)
        return 0

    def _source(self) -> ConfigSource:
        """Return where the config comes from.

        Raises:
            UsageError: Flags are combined that exclude each other.
        """
        from dvc_studio_models.errors import UsageError

        if self.args.config is None:
            if self.args.check_config:
                msg = "'--check-config' needs '--config FILE'"
                raise UsageError(msg)
            return Flags(self.args)
        for name, default in DEFAULTS.items():
            if getattr(self.args, name) != default:
                shown = "<repo>" if name == "repo" else f"--{name.replace('_', '-')}"
                msg = f"'--config' and '{shown}' cannot be combined: set it in the file"
                raise UsageError(msg)
        from dvc_studio_models.server.config.file import ConfigFile

        return ConfigFile(Path(self.args.config))


def _check(path: Path) -> int:
    """Check a config.

    Raises:
        StudioConfigError: It has mistakes.
    """
    from dvc.ui import ui

    from dvc_studio_models.server.config.file import ConfigFile
    from dvc_studio_models.server.site.check import find_doubts, find_problems

    config, doubts = ConfigFile(path).check(find_problems, find_doubts)
    for doubt in doubts:
        logging.getLogger(f"dvc.{__name__}").warning("%s", doubt)
    count = len(config.repos)
    ui.write(f"'{path}' is valid: {count} repo{'' if count == 1 else 's'}")
    return 0


DEFAULTS: Mapping[str, object] = {
    "repo": [],
    "host": "127.0.0.1",
    "port": 8501,
    "token_file": None,
    "expires": 3600,
    "remote": None,
    "verify_objects": False,
    "no_auth": False,
    "behind_proxy": False,
    "workers": 1,
    "log_format": "logfmt",
}
"""Of the flags that a ``serve.yaml`` takes the place of."""


NEEDED = {
    "cryptography": "cryptography",
    "jinja2": "jinja2",
    "jwt": "pyjwt",
    "prometheus_client": "prometheus-client",
    "starlette": "starlette",
    "uvicorn": "uvicorn",
}
"""Modules of the server -> the packages that have them, those of the extra 'serve'."""


class Flags:
    """The config that the command line gives."""

    needs_a_repo = True
    port_option = "--port"

    def __init__(self, args: argparse.Namespace) -> None:
        """Store the parsed arguments."""
        self._args = args
        token_file = args.token_file
        self.files: Collection[Path] = {Path(token_file)} if token_file else ()

    def read(self) -> ServeConfig:
        """Return the config, with the tokens as they are now.

        Raises:
            UsageError: Flags are combined that exclude each other.
            StudioConfigError: There is no token, or one that no client can send.
        """
        from dvc_studio_models.server.config.values import RepoConfig, ServeConfig

        args = self._args
        tokens = choose_tokens(args.token_file, no_auth=args.no_auth)
        check_exposure(args.host, behind_proxy=args.behind_proxy, no_auth=args.no_auth)
        repos = (RepoConfig.parse(each, remote=args.remote) for each in args.repo)
        return ServeConfig(
            tuple(repos) or (RepoConfig(".", remote=args.remote),),
            tokens,
            args.expires,
            verify_objects=args.verify_objects,
            behind_proxy=args.behind_proxy,
            host=args.host,
            port=args.port,
            workers=args.workers,
            log_format=args.log_format,
        )


def _import_service() -> ModuleType:
    """Import the server.

    Raises:
        StudioConfigError: A package that it needs is not installed.
    """
    from dvc_studio_models.errors import StudioConfigError

    try:
        from dvc_studio_models.server import service
    except ImportError as exc:
        name = (exc.name or "").partition(".")[0]
        if name not in NEEDED:
            raise
        msg = (
            f"'dvc models serve' needs the package '{NEEDED[name]}'\n"
            f"Install all that it needs with: pip install {' '.join(NEEDED.values())}"
        )
        raise StudioConfigError(msg) from None
    return service


def choose_tokens(
    token_file: str | None, *, no_auth: bool
) -> tuple[TokenConfig, ...] | None:
    """Return the accepted tokens; None accepts everybody.

    Raises:
        UsageError: A token file is given together with ``--no-auth``.
        StudioConfigError: There is no token, or one that no client can send.
    """
    from dvc_studio_models.errors import StudioConfigError, UsageError

    if no_auth:
        if token_file:
            msg = "'--token-file' and '--no-auth' cannot be combined"
            raise UsageError(msg)
        return None
    tokens = _read_tokens(token_file)
    if not tokens:
        problem = (
            f"'{token_file}' contains no token"
            if token_file
            else f"{TOKEN_VARIABLE} is not set"
        )
        msg = (
            f"{problem}\nSet {TOKEN_VARIABLE}, or use '--token-file FILE', or "
            "'--no-auth' to serve only this machine's users"
        )
        raise StudioConfigError(msg)
    return tokens


def _read_tokens(token_file: str | None) -> tuple[TokenConfig, ...]:
    from dvc_studio_models.errors import StudioConfigError
    from dvc_studio_models.registry.urls import is_valid_token
    from dvc_studio_models.server.config.token_file import read_token_file
    from dvc_studio_models.server.config.values import TokenConfig

    if token_file:
        return read_token_file(Path(token_file))
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        return ()
    if not is_valid_token(token):
        msg = (
            f"{TOKEN_VARIABLE} contains a token that cannot be sent: use only "
            "printable ASCII characters and no spaces"
        )
        raise StudioConfigError(msg)
    return (TokenConfig.of(token),)


def check_exposure(host: str, *, behind_proxy: bool, no_auth: bool) -> None:
    """Refuse to serve everybody, or to send tokens and links unencrypted.

    Raises:
        UsageError: The host is not loopback and there is no proxy in front of it, or
            no token is required although other machines can connect.
    """
    from dvc_studio_models.errors import UsageError
    from dvc_studio_models.server.config.exposure import exposure_problem

    problem = exposure_problem(
        host,
        behind_proxy=behind_proxy,
        no_auth=no_auth,
        option=lambda flag: f"--{flag}",
    )
    if problem:
        raise UsageError(problem)


def add_parser(commands: Commands, parent_parser: argparse.ArgumentParser) -> None:
    """Add ``serve`` to the commands of ``dvc models``."""
    parser = add_command(
        commands,
        parent_parser,
        "serve",
        summary=SUMMARIES["serve"],
        description=DESCRIPTION,
    )
    parser.add_argument(
        "repo",
        nargs="*",
        metavar="<repo>",
        help="Path of a clone or a bare repo, or NAME=PATH. Default: the current repo.",
    ).complete = completion.DIR  # type: ignore[attr-defined]
    parser.add_argument(
        "--config",
        metavar="<path>",
        help="Read all settings from this YAML file, again when it changes or on "
        "SIGHUP.",
    ).complete = completion.FILE  # type: ignore[attr-defined]
    parser.add_argument(
        "--check-config",
        action="store_true",
        help="Check the file of '--config', name each mistake with its line, and stop.",
    )
    parser.add_argument(
        "--host",
        default=DEFAULTS["host"],
        metavar="<address>",
        help="Address to listen on (default: 127.0.0.1).",
    )
    parser.add_argument(
        "--port",
        type=bounded_int(0, LAST_PORT),
        default=DEFAULTS["port"],
        metavar="<number>",
        help="Port to listen on; 0 for a free one (default: 8501).",
    )
    parser.add_argument(
        "--token-file",
        metavar="<path>",
        help="File of accepted tokens, one per line, optionally followed by a name; a "
        "token may be 'sha256:' and its hash; a '#' at the start of a word begins a "
        f"comment. Default: {TOKEN_VARIABLE}.",
    ).complete = completion.FILE  # type: ignore[attr-defined]
    parser.add_argument(
        "--expires",
        type=bounded_int(1, LONGEST_S),
        default=DEFAULTS["expires"],
        metavar="<seconds>",
        help=f"Lifetime of a link, at most {LONGEST_S} (default: 3600).",
    )
    parser.add_argument(
        "-r",
        "--remote",
        metavar="<name>",
        help="DVC remote to serve from. Default: each project's default remote.",
    )
    parser.add_argument(
        "--verify-objects",
        action="store_true",
        help="Check that files are on the DVC remote before sending links to them; "
        "answer 404 if they were not pushed.",
    )
    parser.add_argument(
        "--no-auth",
        action="store_true",
        help="Require no token; only on loopback, without a proxy.",
    )
    parser.add_argument(
        "--behind-proxy",
        action="store_true",
        help="Allow a host other than loopback: a TLS proxy is in front.",
    )
    parser.add_argument(
        "--workers",
        type=bounded_int(1, MOST_WORKERS),
        default=1,
        metavar="<number>",
        help="Processes that answer requests (default: 1).",
    )
    parser.add_argument(
        "--log-format",
        choices=("logfmt", "json"),
        default="logfmt",
        help="Format of the log (default: logfmt).",
    )
    parser.set_defaults(func=CmdModelsServe)
