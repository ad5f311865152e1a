"""The parser of ``dvc models`` itself.

The modules of its commands are imported, and their parsers made, when they are needed:
other commands of DVC start without them.
"""

from __future__ import annotations

import argparse
import functools
import importlib
from typing import TYPE_CHECKING, Any

from dvc.cli.parser import DvcParser, get_main_parser

from dvc_studio_models import interrupts
from dvc_studio_models.cli.options import Parser
from dvc_studio_models.cli.summaries import SUMMARIES

if TYPE_CHECKING:
    from collections.abc import Callable

_COMMANDS = "dvc_studio_models.cli."


class RootParser(Parser):
    """The parser of ``dvc models`` itself."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments; with ``--json``, whatever follows ends with a document."""
        if interrupts.asks_for_json(args):
            interrupts.arm()
            main = get_main_parser()
            main.error = functools.partial(self._report, main)
        return super().parse_known_args(args, namespace)

    def _report(self, main: DvcParser, message: str, cmd_cls: Any = None) -> None:
        """Report an error of DVC's own parser, which is used for each command."""
        if self._is_json and cmd_cls and cmd_cls.__module__.startswith(_COMMANDS):
            self.error(message)
        DvcParser.error(main, message, cmd_cls)


class _Parsers(dict[str, Any]):
    """The parsers of the commands by name, each made when it is first needed."""

    def __init__(self, make: Callable[[str], argparse.ArgumentParser]) -> None:
        super().__init__(dict.fromkeys(SUMMARIES))
        self._make = make

    def __getitem__(self, name: str) -> Any:
        if super().__getitem__(name) is None:
            self[name] = self._make(name)
        return super().__getitem__(name)

    def items(self) -> Any:
        """Return all names and parsers."""
        return [(name, self[name]) for name in self]

    def values(self) -> Any:
        """Return all parsers."""
        return [self[name] for name in self]


def add_commands(
    models: argparse.ArgumentParser, parent_parser: argparse.ArgumentParser
) -> None:
    """Add the commands to the parser of ``dvc models``.

    Args:
        models: The parser.
        parent_parser: Adds ``-q``, ``-v`` and ``-h`` to each of them.
    """
    commands = models.add_subparsers(
        parser_class=Parser,
        dest="cmd",
        metavar="command",
        required=True,
        help="Use `dvc models CMD --help` for command-specific help.",
    )

    def make(name: str) -> argparse.ArgumentParser:
        made = argparse.ArgumentParser(prog=models.prog).add_subparsers(
            prog=models.prog, parser_class=Parser
        )
        module = importlib.import_module(f"{_COMMANDS}{name}")
        module.add_parser(made, parent_parser)
        parser: argparse.ArgumentParser = made.choices[name]
        return parser

    commands.choices = commands._name_parser_map = _Parsers(make)
    commands._choices_actions = [
        commands._ChoicesPseudoAction(name, (), summary)
        for name, summary in SUMMARIES.items()
    ]
