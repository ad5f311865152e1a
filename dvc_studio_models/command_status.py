"""``dvc models status``: whether the workspace holds what Studio resolves now."""
# ruff: noqa: TID251 - a command is DVC's

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvc.cli import formatter

from dvc_studio_models import completion
from dvc_studio_models.command import CmdModels, JsonAction, write_json

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from dvc_studio_models.model import FileResult, ModelResult, PullResult

DESCRIPTION = """\
Tell whether the workspace holds what Studio resolves now. Changes nothing.

Without NAME: every model that was pulled here, with the version or stage it was pulled
with; where none was, all models that local Git tags register.
Exits with 1 if a pull would change anything.
"""

_SHORT_SHA = 7


class CmdModelsStatus(CmdModels):
    """``dvc models status``."""

    def run(self) -> int:
        """Compare, and print what a pull would do."""
        from dvc.ui import ui

        result = self._compare()
        if self.args.json:
            write_json(to_json(result))
        elif result is None:
            ui.write("No models: none was pulled here, no GTO tag registers one.")
        else:
            ui.write(format_status(result))
        return int(result is not None and any(map(changes, result.models)))

    def _compare(self) -> PullResult | None:
        """Plan a pull without doing it; None if there is no model to ask for."""
        from dvc_studio_models.flow import pull
        from dvc_studio_models.model import PullOptions

        args = self.args
        same_for_all = args.stage or args.version
        names = args.name or choose_names(with_selectors=not same_for_all)
        if not names:
            return None
        options = PullOptions(repo=args.repo, git_remote=args.git_remote, dry_run=True)
        return pull(*names, stage=args.stage, version=args.version, options=options)


def choose_names(*, with_selectors: bool) -> list[str]:
    """Name what was pulled here; where nothing was, what is registered.

    Args:
        with_selectors: Whether each comes with what it was last pulled with.
    """
    from dvc_studio_models.inventory import Inventory

    with contextlib.closing(Inventory(Path.cwd())) as inventory:
        if receipts := inventory.receipts():
            return [r.model + (r.selector if with_selectors else "") for r in receipts]
        return [model.name for model in inventory.registered()]


def changes(model: ModelResult) -> list[FileResult]:
    """Give the files to which a pull would do something."""
    return [file for file in model.files if file.action != "unchanged"]


def to_json(result: PullResult | None) -> dict[str, Any]:
    """Give the comparison as ``--json`` prints it."""
    models = result.models if result else ()
    return {
        "repo": result.repo if result else None,
        "up_to_date": not any(map(changes, models)),
        "models": [
            {
                "name": model.ref.name,
                "requested": {
                    key: value
                    for key in ("version", "stage")
                    if (value := getattr(model.ref, key))
                },
                "version": model.version,
                "commit": model.commit,
                "up_to_date": not changes(model),
                "files": [vars(file) for file in model.files],
            }
            for model in models
        ],
    }


def format_status(result: PullResult) -> str:
    """Write for people which models are up to date, and what a pull would do."""
    blocks = [_format_model(model) for model in result.models]
    stale = [model for model in result.models if changes(model)]
    if stale:
        names = shlex.join(str(model.ref) for model in stale)
        blocks.append(f'  (use "dvc models pull {names}" to update)')
    return "\n".join(blocks)


def _format_model(model: ModelResult) -> str:
    head = str(model.ref)
    if model.version and model.version != model.ref.version:
        head += f" = {model.version}"
    if model.commit:
        head += f" ({model.commit[:_SHORT_SHA]})"
    todo = changes(model)
    if not todo:
        return f"{head}: up to date"
    return "\n".join([f"{head}:", *_format_files(todo)])


def _format_files(files: Sequence[FileResult]) -> list[str]:
    from dvc_studio_models.progress import format_bytes

    rows = [
        (file.action, file.path, "" if file.size is None else format_bytes(file.size))
        for file in files
    ]
    action_width = max(len(action) for action, _, _ in rows)
    path_width = max(len(path) for _, path, _ in rows)
    return [
        f"  {action:<{action_width}}  {path:<{path_width}}  {size}".rstrip()
        for action, path, size in rows
    ]


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    parent_parser: argparse.ArgumentParser,
) -> None:
    """Add ``status`` to the commands of ``dvc models``."""
    parser = commands.add_parser(
        "status",
        parents=[parent_parser],
        description=DESCRIPTION,
        help="Tell whether the workspace holds what Studio resolves now.",
        formatter_class=formatter.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "name",
        nargs="*",
        metavar="<name>",
        help="Model: NAME, NAME@VERSION or NAME#STAGE. Default: those pulled here.",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--stage", metavar="<stage>", help="Compare with what is in this stage."
    )
    which.add_argument(
        "--version",
        "--rev",
        metavar="<version>",
        help="Compare with this version, e.g. v1.2.0 (default: latest).",
    )
    parser.add_argument(
        "--repo",
        metavar="<url>",
        help="Git repo as Studio knows it (default: inferred from the Git remote).",
    )
    parser.add_argument(
        "--git-remote", metavar="<name>", help="Git remote to infer the repo from."
    )
    parser.add_argument(
        "--json",
        action=JsonAction,
        dest="json",
        help="Print one JSON object and nothing else on stdout.",
    )
    completion.complete_models(parser)
    parser.set_defaults(func=CmdModelsStatus)
