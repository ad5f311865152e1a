"""``dvc models list``: what the clone has got, from what is on disk."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvc_studio_models.cli.base import CmdModels, shorten
from dvc_studio_models.cli.options import add_command, add_json

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from dvc_studio_models.operations.inventory import ListedModel, WorkspaceState

HEADERS = ["Name", "Latest", "Stages", "Workspace", "Path"]

DESCRIPTION = """\
List the models of this repo: those that local Git tags register, those that a dvc.yaml
annotates, and those that were pulled.

Workspace tells what lies at a model's path by its content: a version, or part of one;
'modified', the content of none; 'present', where no hash is recorded, or where parts of
several versions were pulled; '-', nothing.
Asks no network: 'git fetch --tags' brings the tags up to date.
"""

_SHA_LENGTH = 40


class CmdModelsList(CmdModels):
    """``dvc models list``."""

    def run(self) -> int:
        """List, as a table or as JSON."""
        from dvc.ui import ui

        from dvc_studio_models.operations.inventory import Inventory

        with contextlib.closing(Inventory(Path.cwd())) as inventory:
            entries = inventory.entries()
        if self.args.json:
            self.print_json([to_json(entry) for entry in entries])
        elif entries:
            # A terminal is narrow; what reads a pipe takes a line for a model.
            between = "\n" if sys.stdout and sys.stdout.isatty() else ", "
            rows = format_rows(entries, between=between)
            ui.table(rows, headers=HEADERS, force=False)
        else:
            ui.write("No models: no GTO tag registers one, no dvc.yaml annotates one.")
        return 0


def to_json(entry: ListedModel) -> dict[str, Any]:
    """Give an entry as ``--json`` prints it."""
    return {
        "name": entry.name,
        "path": entry.path,
        "latest": entry.latest,
        "stages": dict(entry.stages),
        "versions": list(entry.versions),
        "workspace": vars(entry.workspace),
    }


def format_rows(
    entries: Iterable[ListedModel], *, between: str
) -> list[tuple[str | None, ...]]:
    """Write the table's cells; None is shown as a dash.

    Args:
        entries: One a row.
        between: Put between two stages.
    """
    return [
        (
            entry.name,
            entry.latest,
            between.join(f"{stage}: {_short(at)}" for stage, at in entry.stages.items())
            or None,
            _format_holding(entry.workspace),
            entry.path,
        )
        for entry in entries
    ]


def _format_holding(holding: WorkspaceState) -> str | None:
    if holding.version:
        part = "part of " if holding.state == "partial" else ""
        return part + _short(holding.version)
    return None if holding.state == "absent" else holding.state


def _short(version: str) -> str:
    """Shorten a commit, where a stage lies on one without a version."""
    return shorten(version) if len(version) == _SHA_LENGTH else version


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    parent_parser: argparse.ArgumentParser,
) -> None:
    """Add ``list`` to the commands of ``dvc models``."""
    parser = add_command(
        commands,
        parent_parser,
        "list",
        summary="List this repo's models, and which versions the workspace has.",
        description=DESCRIPTION,
    )
    add_json(parser, "array")
    parser.set_defaults(func=CmdModelsList)
