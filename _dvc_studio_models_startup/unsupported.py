"""What stands in for the commands on a system that lacks the calls they need.

``import dvc_studio_models`` raises there. DVC's own commands work, and every command of
``dvc models`` ends with the message of that error and exit code 255.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from importlib.abc import Loader
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable
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
        return refuse(str(error), sys.argv[1:])
    return main()


def refuse(message: str, args: Iterable[str]) -> int:
    """Print why the commands cannot run, also as JSON if the arguments ask for that.

    Returns:
        The exit code.
    """
    _write(sys.stderr, f"ERROR: {message}\n")
    options = itertools.takewhile(lambda arg: arg != "--", args)
    if any(arg in {"--js", "--jso", "--json"} for arg in options):
        error = {"kind": "ImportError", "message": message, "exit_code": FAILED}
        _write(sys.stdout, json.dumps({"error": error}) + "\n")
    return FAILED


def _write(stream: TextIO | None, text: str) -> None:
    """Write a text, if anybody can read it."""
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except OSError:  # Python would write it again at the end, and fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


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
        sys.exit(refuse(self.message, sys.argv))
