"""``dvc models token``: makes a token for ``dvc models serve``."""

from __future__ import annotations

import argparse
import json
import re
import secrets
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING

from dvc_studio_models.cli.base import CmdModels
from dvc_studio_models.cli.options import add_command, add_json
from dvc_studio_models.cli.summaries import SUMMARIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dvc_studio_models.cli.options import Commands

PREFIX = "dsm_"
"""Of all tokens, so that scanners for secrets find them."""

DESCRIPTION = """\
Make a token for 'dvc models serve', and print it once.

The server only needs to know the token's hash: add the printed lines to serve.yaml, or
to the file of '--token-file'. Nothing is stored. A running server accepts the token as
soon as the file is saved.
"""

_BYTES = 32
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_NOT_TEXT = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


class CmdModelsToken(CmdModels):
    """Prints a new token, and what the server needs of it."""

    def run(self) -> int:
        """Make the token."""
        from dvc_studio_models.server.config.values import TokenConfig

        args = self.args
        token = PREFIX + secrets.token_urlsafe(_BYTES)
        entry = {"name": args.name, "sha256": TokenConfig.of(token).sha256}
        if args.repos:
            entry["repos"] = args.repos
        if args.until:
            entry["until"] = args.until.isoformat()
        if args.json:
            self.print_json({**entry, "token": token})
            return 0
        from dvc.ui import ui

        ui.write(f"The token of '{args.name}', which is shown only now:\n\n  {token}\n")
        ui.write("In serve.yaml, under 'tokens':\n")
        ui.write(_yaml(entry))
        if entry.keys() == {"name", "sha256"}:
            ui.write("\nOr in the file of '--token-file':\n")
            ui.write(f"  sha256:{entry['sha256']} {args.name}")
        return 0


def _yaml(entry: Mapping[str, object]) -> str:
    """Write an item of the list of tokens."""
    lines = [f"{key}: {_scalar(value)}" for key, value in entry.items()]
    return "  - " + "\n    ".join(lines)


def _scalar(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_scalar, value))}]"
    text = str(value)
    is_hash = re.fullmatch("[0-9a-f]{64}|[0-9]{4}-[0-9]{2}-[0-9]{2}", text)
    if is_hash or (_PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT):
        return text
    return json.dumps(text, ensure_ascii=False)


def read_name(text: str) -> str:
    """Read the name of an owner, which is a word or several on one line."""
    if text.strip() == text and text.isprintable() and text and "#" not in text:
        return text
    msg = f"{text!a} is not a name: use printable characters except '#'"
    raise argparse.ArgumentTypeError(msg)


def read_glob(text: str) -> str:
    """Read a name of repos, with wildcards or none."""
    if text:
        return text
    msg = "an empty name fits no repo"
    raise argparse.ArgumentTypeError(msg)


def read_last_day(text: str) -> date:
    """Read a date that is not in the past."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        msg = f"{text!a} is not a date, such as 2027-01-31"
        raise argparse.ArgumentTypeError(msg) from None
    if day < datetime.now(timezone.utc).date():
        msg = f"'{text}' is in the past"
        raise argparse.ArgumentTypeError(msg)
    return day


def add_parser(commands: Commands, parent_parser: argparse.ArgumentParser) -> None:
    """Add ``token`` to the commands of ``dvc models``."""
    parser = add_command(
        commands,
        parent_parser,
        "token",
        summary=SUMMARIES["token"],
        description=DESCRIPTION,
    )
    parser.add_argument(
        "name",
        type=read_name,
        metavar="<name>",
        help="Name of its owner, for the server's log.",
    )
    parser.add_argument(
        "--repos",
        type=read_glob,
        action="append",
        metavar="<glob>",
        help="Names of the repos that it may read, e.g. 'team-*' (default: all). May "
        "be repeated.",
    )
    parser.add_argument(
        "--until",
        type=read_last_day,
        metavar="<date>",
        help="The last day, in UTC, on which it is accepted, e.g. 2027-01-31.",
    )
    add_json(parser)
    parser.set_defaults(func=CmdModelsToken)
