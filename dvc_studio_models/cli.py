"""Parser and commands of ``dvc models``: argv in, text or JSON out."""

from __future__ import annotations

import argparse

from dvc.cli import formatter
from dvc.cli.command import CmdBaseNoRepo


class CmdModelsPull(CmdBaseNoRepo):
    """``dvc models pull``."""

    def run(self) -> int:
        """Pull."""
        return 0


def add_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    parent_parser: argparse.ArgumentParser,
) -> None:
    """Add ``models`` to DVC's commands, the way DVC's own modules do."""
    text = "Get registered models through DVC Studio."
    models = subparsers.add_parser(
        "models",
        parents=[parent_parser],
        description=text,
        help=text,
        formatter_class=formatter.RawDescriptionHelpFormatter,
    )
    commands = models.add_subparsers(dest="cmd", required=True, help="Use `dvc models CMD --help` for command-specific help.")
    text = "Bring a registered model's files to their paths in the repo."
    pull = commands.add_parser("pull", parents=[parent_parser], description=text, help=text)
    pull.add_argument("name", nargs="+", metavar="<name>", help="Model.")
    pull.set_defaults(func=CmdModelsPull)
