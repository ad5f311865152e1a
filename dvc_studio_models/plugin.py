"""Adds commands to ``dvc``: those of the entry-point group ``dvc.commands``.

Each entry point names a module with ``add_parser(subparsers, parent_parser)``, as DVC's
own command modules have. An entry point that fails is skipped with one warning; DVC's
own commands keep working.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from importlib.abc import Loader
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator
    from importlib.machinery import ModuleSpec
    from types import ModuleType

GROUP = "dvc.commands"
OWN = EntryPoint("models", "dvc_studio_models.cli", GROUP)

logger = logging.getLogger(f"dvc.{__name__}")


def wrap_loader(spec: ModuleSpec) -> ModuleSpec:
    """Add commands to the module ``dvc.cli.parser`` after its loader has run it."""
    if spec.loader is not None and hasattr(spec.loader, "exec_module"):
        spec.loader = _ExtendingLoader(spec.loader)
    return spec


def find_commands() -> list[EntryPoint]:
    """Return the entry points by name, each distribution only once."""
    distributions = [Distribution.at(at) for at in _metadata_with_commands()]
    found: dict[str, Iterable[EntryPoint]] = {}
    for distribution in distributions:
        # The name is read from the whole description, which takes 1 ms.
        name = distribution.metadata["Name"] if len(distributions) > 1 else ""
        found.setdefault(name, distribution.entry_points.select(group=GROUP))
    every = {entry_point for group in found.values() for entry_point in group}
    return sorted(every, key=lambda entry_point: (entry_point.name, entry_point.value))


def _metadata_with_commands() -> Iterator[Path]:
    """Find distributions whose list of entry points contains the group's name.

    ``metadata.entry_points()`` parses all lists, which takes 2 to 4 times as long.
    """
    for folder in sys.path:
        names: list[str] = []
        with suppress(OSError):
            names = sorted(os.listdir(folder or os.curdir))  # noqa: PTH208 - each dvc
        for name in names:
            if name.endswith("-info") and _lists_commands(f"{folder or '.'}/{name}"):
                yield Path(folder, name)


def _lists_commands(metadata: str) -> bool:
    path = f"{metadata}/entry_points.txt"
    if not os.access(path, os.R_OK):  # most have none; an error costs more
        return False
    with suppress(OSError), open(path, "rb") as listing:  # noqa: PTH123
        return GROUP.encode() in listing.read()
    return False


def add_commands(parser: Any, entry_points: Iterable[EntryPoint]) -> None:
    """Append to ``COMMANDS`` of the module ``dvc.cli.parser``, each command once."""
    known = {c.entry_point for c in parser.COMMANDS if isinstance(c, _Command)}
    missing = [e for e in entry_points if e not in known]
    parser.COMMANDS.extend(map(_Command, missing))
    parser.get_main_parser.cache_clear()


class _ExtendingLoader(Loader):
    """Loads a module and adds commands to it; the module keeps its real loader."""

    def __init__(self, real: Loader) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._real
        if module.__spec__ is not None:
            module.__spec__.loader = self._real
        if any(arg.startswith("--js") for arg in sys.argv):
            from dvc_studio_models import interrupts

            if interrupts.expects_json(sys.argv[1:]):
                interrupts.arm()
        self._real.exec_module(module)
        try:
            add_commands(module, find_commands())
        except Exception as exc:  # noqa: BLE001 - another DVC may have another parser
            logger.warning("continuing without the commands of plugins: %r", exc)


class _Command:
    """A command in DVC's list whose module may be missing or broken."""

    def __init__(self, entry_point: EntryPoint) -> None:
        self.entry_point = entry_point

    def add_parser(
        self,
        subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
        parent_parser: argparse.ArgumentParser,
    ) -> None:
        """Let the module add its command; if it fails, undo what it added."""
        parsers, helps = dict(subparsers.choices), list(subparsers._choices_actions)
        try:
            self.entry_point.load().add_parser(subparsers, parent_parser)
            _refuse_replacement(parsers, subparsers.choices)
        except (Exception, SystemExit) as exc:
            from dvc_studio_models.interrupts import is_interrupted

            if is_interrupted():
                raise
            subparsers.choices.clear()
            subparsers.choices.update(parsers)
            subparsers._choices_actions[:] = helps
            name, module = self.entry_point.name, self.entry_point.value
            logger.warning("skipped the command '%s' (%s): %r", name, module, exc)


def _refuse_replacement(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Refuse to replace a command of DVC, as argparse does from Python 3.11 on."""
    for name, parser in before.items():
        if after.get(name) is not parser:
            msg = f"conflicting subparser: {name}"
            raise ValueError(msg)
