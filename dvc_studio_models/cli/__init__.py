"""The commands of ``dvc models``: arguments in, text or JSON out.

Owns what users type and read: options, help texts, tables, JSON, progress bars, tab
completion and exit codes. One module a command. Nothing heavy is imported before a
command runs, so ``dvc --help`` stays fast. No other package imports this one; DVC calls
:func:`add_parser`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.cli.cache import add_parser as _add_cache
from dvc_studio_models.cli.diff import add_parser as _add_diff
from dvc_studio_models.cli.list import add_parser as _add_list
from dvc_studio_models.cli.options import Parser, RootParser, add_command
from dvc_studio_models.cli.pull import add_parser as _add_pull
from dvc_studio_models.cli.serve import add_parser as _add_serve
from dvc_studio_models.cli.show import add_parser as _add_show
from dvc_studio_models.cli.status import add_parser as _add_status
from dvc_studio_models.cli.update import add_parser as _add_update
from dvc_studio_models.cli.which import add_parser as _add_which

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
    commands: Commands = models.add_subparsers(
        parser_class=Parser,
        dest="cmd",
        metavar="command",
        required=True,
        help="Use `dvc models CMD --help` for command-specific help.",
    )
    for add in (
        _add_pull,
        _add_list,
        _add_status,
        _add_show,
        _add_diff,
        _add_update,
        _add_which,
        _add_cache,
        _add_serve,
    ):
        add(commands, parent_parser)
