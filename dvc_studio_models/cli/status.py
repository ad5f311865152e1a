"""``dvc models status``: whether the workspace holds what Studio resolves now."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from dvc_studio_models.cli import completion
from dvc_studio_models.cli.base import CmdModels, format_head
from dvc_studio_models.cli.options import (
    add_command,
    add_json,
    add_repo,
    add_selectors,
    add_source,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from dvc_studio_models.model import FileResult, ModelStatus, StatusResult

DESCRIPTION = """\
Tell whether the workspace holds what Studio resolves now. Changes nothing.

Without NAME: every model that models.lock has, and every model that was pulled here,
with the version or stage it was pulled with; where there are none, all models that
local Git tags register.

A locked model is compared with what is locked. Status also reports when the stage it
was locked from, or the latest version, has since moved on.
Exits with 1 if a pull, or 'dvc models pull --locked', would change anything. That a
locked model is outdated does not count.
"""


class CmdModelsStatus(CmdModels):
    """``dvc models status``."""

    def run(self) -> int:
        """Compare, and print what a pull would do."""
        from dvc.ui import ui

        from dvc_studio_models.model import PullOptions
        from dvc_studio_models.operations.status import compare

        args = self.args
        options = PullOptions(
            repo=args.repo, git_remote=args.git_remote, source=args.source
        )
        result = compare(
            *args.name, stage=args.stage, version=args.version, options=options
        )
        if args.json:
            self.print_json(to_json(result))
        elif not result.models:
            ui.write("No models: none was pulled here, no GTO tag registers one.")
        else:
            ui.write(format_status(result))
        return int(not _is_up_to_date(result))


def _is_up_to_date(result: StatusResult) -> bool:
    return all(model.up_to_date for model in result.models)


def to_json(result: StatusResult) -> dict[str, Any]:
    """Give the comparison as ``--json`` prints it."""
    return {
        "repo": result.repo,
        "up_to_date": _is_up_to_date(result),
        "models": [_model_to_json(model) for model in result.models],
    }


def _model_to_json(status: ModelStatus) -> dict[str, Any]:
    model, pin = status.result, status.pin
    ref = pin.ref if pin else model.ref
    return {
        "name": ref.name,
        "requested": ref.requested,
        "version": model.version,
        "commit": model.commit,
        "locked": pin is not None,
        "outdated": status.outdated,
        "now": status.now,
        "up_to_date": status.up_to_date,
        "files": [vars(file) for file in model.files],
    }


def format_status(result: StatusResult) -> str:
    """Write for people which models are up to date, and what a pull would do."""
    blocks = [_format_model(status) for status in result.models]
    stale = [status for status in result.models if not status.up_to_date]
    unpinned = [str(status.result.ref) for status in stale if not status.pin]
    pinned = [status.result.ref.name for status in stale if status.pin]
    outdated = [str(s.pin.ref) for s in result.models if s.pin and s.outdated]
    hints = (
        (unpinned, "", "to update"),
        (pinned, " --locked", "to bring what is locked"),
        (outdated, " --lock", "to lock what is there now"),
    )
    for names, option, what in hints:
        if names:
            command = f"dvc models pull {shlex.join(names)}{option}"
            blocks.append(f'  (use "{command}" {what})')
    if any(file.action == "conflict" for s in stale for file in s.result.files):
        blocks.append("  (move away what conflicts first, or add --force)")
    return "\n".join(blocks)


def _format_model(status: ModelStatus) -> str:
    head = _format_pinned(status) if status.pin else format_head(status.result)
    if status.up_to_date:
        return head if status.outdated else f"{head}: up to date"
    todo = [file for file in status.result.files if file.action != "unchanged"]
    return "\n".join([f"{head}:", *_format_files(todo)])


def _format_pinned(status: ModelStatus) -> str:
    ref = status.pin.ref if status.pin else status.result.ref
    head = f"{ref.name}: {status.result.version} locked"
    if status.outdated:
        now = status.now or "another version"
        head += f", {ref.selector or 'the latest'} is {now} now"
    return head


def _format_files(files: Sequence[FileResult]) -> list[str]:
    from dvc_studio_models.model import format_bytes

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
    parser = add_command(
        commands,
        parent_parser,
        "status",
        summary="Tell whether the workspace holds what Studio resolves now.",
        description=DESCRIPTION,
    )
    parser.add_argument(
        "name",
        nargs="*",
        metavar="<name>",
        help="Model: NAME, NAME@VERSION or NAME#STAGE. Default: those pulled here.",
    )
    add_selectors(parser, "Compare with")
    add_repo(parser)
    add_source(parser, "Whom to ask: Studio (default), or local Git tags.")
    add_json(parser)
    completion.complete_models(parser)
    parser.set_defaults(func=CmdModelsStatus)
