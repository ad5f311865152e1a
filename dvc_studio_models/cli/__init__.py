"""The commands of ``dvc models``: arguments in, text or JSON out.

Owns what users type and read: options, help texts, tables, JSON, progress bars, tab
completion and exit codes. One module a command; other commands of DVC import
none of them, so ``dvc --help`` stays fast. No other package imports this one; DVC calls
:func:`add_parser`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.cli.options import add_command
from dvc_studio_models.cli.root import RootParser, add_commands

if TYPE_CHECKING:
    import argparse

    from dvc_studio_models.cli.options import Commands

__all__ = ["add_parser"]


def add_parser(subparsers: Commands, parent_parser: argparse.ArgumentParser) -> None:
    """Add ``models`` to DVC's commands, as DVC's own command modules do."""
    models = add_command(
        subparsers,
        parent_parser,
        "models",
        summary="Pull registered models through DVC Studio.",
    )
    models.__class__ = RootParser  # DVC chooses the class of its commands
    add_commands(models, parent_parser)
