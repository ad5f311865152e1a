"""Options that several commands of ``dvc models`` share, each listed once."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import re
from typing import TYPE_CHECKING, Any, NoReturn

from dvc.cli import DvcParserError, formatter
from dvc.cli.parser import DvcParser

from dvc_studio_models import interrupts
from dvc_studio_models.cli.output import JsonAction, error_to_json, write_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from dvc_studio_models.model import PullOptions

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

logger = logging.getLogger(f"dvc.{__name__}")


class Parser(DvcParser):  # type: ignore[misc]  # DVC is untyped
    """Prints a usage error as JSON instead of the help if ``--json`` is given."""

    _is_json = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments; report unknown ones, which DVC would report later."""
        self._is_json = interrupts.asks_for_json(args)
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return namespace, unknown

    def error(self, message: str, cmd_cls: Any = None) -> NoReturn:
        """Log the message, then print JSON or the help.

        Raises:
            DvcParserError: Always.
        """
        if self._is_json:
            from dvc_studio_models.errors import UsageError

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
    """Add a command as DVC's own modules do.

    Args:
        commands: The commands to add it to.
        parent_parser: Adds ``-q``, ``-v`` and ``-h``.
        name: The command's name.
        summary: One sentence for the list of commands.
        description: The first part of ``--help``; the summary by default.
    """
    return commands.add_parser(
        name,
        parents=[parent_parser],
        description=description or summary,
        help=summary,
        formatter_class=formatter.RawDescriptionHelpFormatter,
    )


def add_selectors(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add ``--stage`` and ``--version``; ``verb`` begins their help."""
    selectors = parser.add_mutually_exclusive_group()
    selectors.add_argument(
        "--stage",
        metavar="<stage>",
        help=f"{verb} the version assigned to this stage, e.g. prod.",
    )
    selectors.add_argument(
        "--version",
        "--rev",
        metavar="<version>",
        help=f"{verb} this version, e.g. v1.2.0 (default: latest).",
    )


def add_all(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add ``--all``; ``verb`` begins its help."""
    parser.add_argument(
        "--all",
        dest="all_models",
        action="store_true",
        help=f"{verb} every registered model that has a version, or the one of "
        "'--stage' or '--version'.",
    )


def add_repo(parser: argparse.ArgumentParser) -> None:
    """Add the options that select the repo: ``--repo`` and ``--git-remote``."""
    parser.add_argument(
        "--repo",
        metavar="<url>",
        help="Git repo URL as registered in Studio (default: inferred from the Git "
        "remote).",
    )
    parser.add_argument(
        "--git-remote", metavar="<name>", help="Git remote to infer the repo from."
    )


def add_cache_dir(parser: argparse._ActionsContainer) -> None:
    """Add ``--cache-dir``."""
    parser.add_argument(
        "--cache-dir",
        metavar="<path>",
        help="Cache of files outside of DVC projects (default: "
        "DVC_STUDIO_MODELS_CACHE, 'cache.dir' of DVC's global config, or a folder in "
        "the user's cache folder).",
    )


def add_source(parser: argparse.ArgumentParser, text: str) -> None:
    """Add ``--source`` with this help."""
    parser.add_argument("--source", choices=["studio", "remote", "cache"], help=text)


def add_json(parser: argparse.ArgumentParser, kind: str = "object") -> None:
    """Add ``--json``; ``kind`` is the type of the JSON value that is printed."""
    parser.add_argument(
        "--json",
        action=JsonAction,
        help=f"Print one JSON {kind} and nothing else on stdout.",
    )


def add_files(parser: argparse.ArgumentParser) -> None:
    """Add ``--files``."""
    parser.add_argument(
        "--files",
        action="store_true",
        help="Print a line for each file, also for models with many files.",
    )


def lists_each_file(args: argparse.Namespace) -> bool:
    """Return whether ``--files`` or ``-v`` is given."""
    return bool(args.files or args.verbose)


def read_options(args: argparse.Namespace, **others: object) -> PullOptions:
    """Build the options of a pull from the arguments of the same names.

    Args:
        args: Parsed arguments.
        others: Options that no single argument sets.
    """
    from dvc_studio_models.model import PullOptions

    names = {field.name for field in dataclasses.fields(PullOptions)}
    given = {name: value for name, value in vars(args).items() if name in names}
    return PullOptions(**{**given, **others})


def read_rate(text: str) -> int:
    """Read bytes a second as curl writes them: ``500K``, ``10M``, ``1G``."""
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,3})?)([KMG]?)", text.upper())
    if match is None:
        msg = f"{text!a} is not a number of bytes a second, such as 500K, 10M or 1G"
        raise argparse.ArgumentTypeError(msg)
    return int(float(match[1]) * 1024 ** " KMG".index(match[2] or " "))


def bounded_int(least: int, most: int) -> Callable[[str], int]:
    """Return a reader of whole numbers within bounds, for ``type`` of an argument."""

    def read(text: str) -> int:
        with contextlib.suppress(ValueError):
            if least <= int(text) <= most:
                return int(text)
        msg = f"{text!a} is not a number from {least} to {most}"
        raise argparse.ArgumentTypeError(msg)

    return read
