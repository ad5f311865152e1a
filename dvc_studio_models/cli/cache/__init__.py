"""``dvc models cache``: one module for each of its commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.cli.cache.ls import add_parser as _add_ls
from dvc_studio_models.cli.cache.prune import add_parser as _add_prune
from dvc_studio_models.cli.cache.verify import add_parser as _add_verify
from dvc_studio_models.cli.options import Parser, add_command
from dvc_studio_models.cli.summaries import SUMMARIES

if TYPE_CHECKING:
    import argparse

    from dvc_studio_models.cli.options import Commands

DESCRIPTION = """\
List, remove or verify the versions of models in a cache.

That is the cache of the DVC project around the current folder. Outside of a DVC project
it is the user's cache: '--cache-dir', else DVC_STUDIO_MODELS_CACHE, else 'cache.dir' of
DVC's global or system config, else a folder for caches in your home.
"""


def add_parser(commands: Commands, parent_parser: argparse.ArgumentParser) -> None:
    """Add ``cache`` to the commands of ``dvc models``."""
    parser = add_command(
        commands,
        parent_parser,
        "cache",
        summary=SUMMARIES["cache"],
        description=DESCRIPTION,
    )
    inner: Commands = parser.add_subparsers(
        parser_class=Parser,
        dest="cache_cmd",
        metavar="command",
        required=True,
        help="Use `dvc models cache CMD --help` for command-specific help.",
    )
    for add in (_add_ls, _add_prune, _add_verify):
        add(inner, parent_parser)
