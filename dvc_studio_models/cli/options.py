"""Options that several commands of ``dvc models`` take, each with one text."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NoReturn

from dvc.cli import DvcParserError, formatter
from dvc.cli.parser import DvcParser

from dvc_studio_models.cli.base import JsonAction, error_to_json, write_json
from dvc_studio_models.errors import UsageError

if TYPE_CHECKING:
    import argparse

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

logger = logging.getLogger(f"dvc.{__name__}")


class Parser(DvcParser):  # type: ignore[misc]  # DVC is untyped
    """Prints a usage error as JSON, not the help, if ``--json`` is given."""

    _is_json = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; unknown arguments are reported here, where ``--json`` is known."""
        self._is_json = "--json" in args
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return namespace, unknown

    def error(self, message: str, cmd_cls: Any = None) -> NoReturn:
        """Log the message, then print it as JSON or print the help.

        Raises:
            DvcParserError: Always.
        """
        if self._is_json:
            logger.error(message)
            error = UsageError(message)
            write_json(error_to_json(error, error.exit_code))
        else:
            super().error(message, cmd_cls)
        raise DvcParserError


def add_command(
    commands: Commands,
    parent_parser: argparse.ArgumentParser,
    name: str,
    *,
    summary: str,
    description: str | None = None,
) -> argparse.ArgumentParser:
    """Add a command, the way DVC's own modules do.

    Args:
        commands: Where to.
        parent_parser: Brings ``-q``, ``-v`` and ``-h``.
        name: What the user types.
        summary: One sentence, for the list of commands.
        description: What ``--help`` begins with; the summary by default.
    """
    return commands.add_parser(
        name,
        parents=[parent_parser],
        description=description or summary,
        help=summary,
        formatter_class=formatter.RawDescriptionHelpFormatter,
    )


def add_selectors(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add ``--stage`` and ``--version``; ``verb`` says what is done with them."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--stage", metavar="<stage>", help=f"{verb} what is in this stage, e.g. prod."
    )
    which.add_argument(
        "--version",
        "--rev",
        metavar="<version>",
        help=f"{verb} this version, e.g. v1.2.0 (default: latest).",
    )


def add_repo(parser: argparse.ArgumentParser) -> None:
    """Add what tells the repo where the Git remote does not."""
    parser.add_argument(
        "--repo",
        metavar="<url>",
        help="Git repo as Studio knows it (default: inferred from the Git remote).",
    )
    parser.add_argument(
        "--git-remote", metavar="<name>", help="Git remote to infer the repo from."
    )


def add_source(parser: argparse.ArgumentParser, text: str) -> None:
    """Add ``--source``; ``text`` is its help."""
    parser.add_argument("--source", choices=["studio", "remote", "cache"], help=text)


def add_json(parser: argparse.ArgumentParser, kind: str = "object") -> None:
    """Add ``--json``; ``kind`` names what is printed in JSON's words."""
    parser.add_argument(
        "--json",
        action=JsonAction,
        help=f"Print one JSON {kind} and nothing else on stdout.",
    )
