"""What stands in for the commands on a system that lacks the calls they need.

``import dvc_studio_models`` raises there. DVC's own commands work, and every command of
``dvc models`` ends with the message of that error and exit code 255.
"""

from __future__ import annotations

import argparse
import sys
from importlib.abc import Loader
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

PACKAGE = "dvc_studio_models"
FAILED = 255
"""DVC's exit code for errors without a code of their own."""


def main() -> int:
    """Run ``dvc-models``.

    Returns:
        The exit code.
    """
    try:
        from dvc_studio_models.__main__ import main
    except ModuleNotFoundError:
        raise
    except ImportError as error:
        if error.name != PACKAGE:
            raise
        sys.stderr.write(f"ERROR: {error}\n")
        return FAILED
    return main()


def wrap_loader(spec: ModuleSpec, message: str) -> ModuleSpec:
    """Add ``models`` to ``dvc.cli.parser`` after its loader has run it."""
    spec.loader = _ExtendingLoader(spec.loader, message)
    return spec


class _ExtendingLoader(Loader):
    def __init__(self, real: Any, message: str) -> None:
        self._real = real
        self._message = message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        created: ModuleType | None = self._real.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._real
        if module.__spec__ is not None:
            module.__spec__.loader = self._real
        self._real.exec_module(module)
        module.COMMANDS.append(_Models(self._message))


class _Models:
    """The command in DVC's list."""

    def __init__(self, message: str) -> None:
        self._message = message

    def add_parser(self, subparsers: Any, _: argparse.ArgumentParser) -> None:
        """Add a parser that accepts no arguments, not even ``--help``."""
        summary = "Pull registered models through DVC Studio."
        models = subparsers.add_parser("models", add_help=False, help=summary)
        models.__class__ = _RefusingParser  # DVC chooses the class of its commands
        models.message = self._message


class _RefusingParser(argparse.ArgumentParser):
    message = ""

    def parse_known_args(self, *_: Any, **__: Any) -> NoReturn:
        """End the process with the message."""
        sys.stderr.write(f"ERROR: {self.message}\n")
        sys.exit(FAILED)
