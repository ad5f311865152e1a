"""``dvc models list``."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvc_studio_models.cli.base import CmdModels
from dvc_studio_models.cli.options import add_command, add_json, read_options
from dvc_studio_models.cli.output import shorten
from dvc_studio_models.cli.summaries import SUMMARIES

if TYPE_CHECKING:
    import argparse

    from dvc_studio_models.cli.options import Commands
    from dvc_studio_models.model import ListedModel, WorkspaceState

_HEADERS = ["Name", "Latest", "Stages", "Workspace", "Path"]
_HEADERS_OF_OTHERS = ["Locked", "Repo"]
"""Added if there are models of other repos, of which the tags say nothing."""
_SHA_LENGTH = 40

DESCRIPTION = """\
List the models of this repo: those registered by local Git tags, those annotated in a
dvc.yaml, and those that were pulled; also those of other repos that were pulled or
are in models.lock.

Workspace identifies the content at a model's path: a version, or part of one;
'modified': matches no version; 'present': no hash is recorded, or parts of several
versions were pulled; '-': nothing is there.
Uses no network; run 'git fetch --tags' to update the tags. With --repo URL of another
repo, its models come from the server, which must be 'dvc models serve'.
"""


class CmdModelsList(CmdModels):
    """Lists models from what is on disk."""

    def run(self) -> int:
        """List models as a table or as JSON."""
        from dvc.ui import ui

        models = self._list()
        if self.args.json:
            self.print_json([_to_json(model) for model in models])
        elif models:
            # A terminal is narrow; programs that read a pipe expect a line per model.
            separator = "\n" if sys.stdout and sys.stdout.isatty() else ", "
            rows = [_format_row(model, separator) for model in models]
            headers = _HEADERS
            if self.args.repo is None and any(model.repo for model in models):
                headers = [*_HEADERS, *_HEADERS_OF_OTHERS]
                rows = [
                    (*row, model.locked, model.repo)
                    for row, model in zip(rows, models, strict=True)
                ]
            ui.table(rows, headers=headers, force=False)
        else:
            ui.write(
                "No models found: no GTO tag registers a model, and no dvc.yaml "
                "annotates one."
                if self.args.repo is None
                else "No models found: no GTO tag of that repo registers a model."
            )
        return 0

    def _list(self) -> list[ListedModel]:
        if self.args.repo is not None:
            from dvc_studio_models.operations.show import list_models

            return list_models(read_options(self.args))
        from dvc_studio_models.operations.inventory import Inventory

        with contextlib.closing(Inventory(Path.cwd())) as inventory:
            return inventory.list_models()


def _to_json(model: ListedModel) -> dict[str, Any]:
    return {
        "name": model.name,
        **({"repo": model.repo} if model.repo else {}),
        "path": model.path,
        "latest": model.latest,
        "stages": dict(model.stages),
        "versions": list(model.versions),
        **({"locked": model.locked} if model.repo else {}),
        "workspace": vars(model.workspace),
    }


def _format_row(model: ListedModel, separator: str) -> tuple[str | None, ...]:
    """Return the cells of a row; the table shows None as a dash."""
    stages = [f"{stage}: {_shorten(at)}" for stage, at in model.stages.items()]
    return (
        model.name,
        model.latest,
        separator.join(stages) or None,
        _format_state(model.workspace),
        model.path,
    )


def _format_state(workspace: WorkspaceState) -> str | None:
    if workspace.version:
        part = "part of " if workspace.state == "partial" else ""
        return part + _shorten(workspace.version)
    return None if workspace.state == "absent" else workspace.state


def _shorten(version: str) -> str:
    """Shorten the commit of a stage that is assigned to no version."""
    return shorten(version) if len(version) == _SHA_LENGTH else version


def add_parser(commands: Commands, parent_parser: argparse.ArgumentParser) -> None:
    """Add ``list`` to the commands of ``dvc models``."""
    parser = add_command(
        commands,
        parent_parser,
        "list",
        summary=SUMMARIES["list"],
        description=DESCRIPTION,
    )
    parser.add_argument(
        "--repo",
        metavar="<url>",
        help="List the models of this Git repo, as registered in Studio (default: "
        "those of the current repo).",
    )
    add_json(parser, "array")
    parser.set_defaults(func=CmdModelsList)
