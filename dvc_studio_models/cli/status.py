"""``dvc models status``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from dvc_studio_models.cli import completion
from dvc_studio_models.cli.base import CmdModels
from dvc_studio_models.cli.options import (
    add_all,
    add_command,
    add_files,
    add_json,
    add_repo,
    add_selectors,
    add_source,
    lists_each_file,
    read_options,
)
from dvc_studio_models.cli.output import (
    align,
    format_files,
    format_model,
    model_to_json,
)
from dvc_studio_models.cli.summaries import SUMMARIES

if TYPE_CHECKING:
    import argparse

    from dvc_studio_models.cli.options import Commands
    from dvc_studio_models.model import FileResult, ModelStatus, StatusResult

SUMMARY = SUMMARIES["status"]
DESCRIPTION = f"""\
{SUMMARY} Changes nothing.

Without NAME: every model in models.lock and every model that was pulled here, with the
version or stage it was pulled with; if there are none, all models registered by local
Git tags.

A locked model is compared with its lock. Status also reports if the stage it was locked
from, or the latest version, has moved since.
Exits with 1 if a pull, or 'dvc models pull --locked', would change anything. An
outdated lock does not affect the exit code.
"""


class CmdModelsStatus(CmdModels):
    """Compares the workspace with what Studio serves."""

    def run(self) -> int:
        """Compare, and print what a pull would do."""
        from dvc.ui import ui

        from dvc_studio_models.operations.status import compare

        args = self.args
        result = compare(args.name, read_options(args))
        if args.json:
            self.print_json(_to_json(result))
        elif result.models:
            ui.write(_format_result(result, each=lists_each_file(args)))
        else:
            ui.write(
                "No models found: nothing was pulled here and no GTO tag registers a "
                "model."
            )
        return int(not result.up_to_date)


def _to_json(result: StatusResult) -> dict[str, Any]:
    return {
        "repo": result.repo,
        "up_to_date": result.up_to_date,
        "models": [
            model_to_json(
                status.pin.ref if status.pin else status.result.ref,
                status.result,
                repo=result.repo,
                locked=status.pin is not None,
                outdated=status.outdated,
                now=status.now,
                up_to_date=status.up_to_date,
            )
            for status in result.models
        ],
    }


def _format_result(result: StatusResult, *, each: bool) -> str:
    blocks = [_format_status(status, each=each) for status in result.models]
    stale = [status for status in result.models if not status.up_to_date]
    unpinned: dict[str | None, list[str]] = {}
    for status in stale:
        if not status.pin:
            ref = status.result.ref
            unpinned.setdefault(ref.repo, []).append(str(ref))
    hints = [
        (shlex.join(["pull", *refs, *(("--repo", repo) if repo else ())]), "to update")
        for repo, refs in unpinned.items()
    ]
    locked = [status for status in stale if status.pin and not _has_moved(status)]
    if locked:
        names = [status.result.ref.name for status in locked]
        hints.append(
            (shlex.join(["pull", *names, "--locked"]), "to pull the locked version")
        )
    if cached := [s.result.ref.name for s in stale if _has_moved(s) and _is_cached(s)]:
        command = shlex.join(["pull", *cached, "--locked", "--source", "cache"])
        hints.append((command, "to place the locked files from the cache"))
    if outdated := [s.pin.ref.name for s in result.models if s.pin and s.outdated]:
        command = shlex.join(["update", *outdated])
        hints.append((command, "to lock the current version"))
    blocks += [f'  (use "dvc models {command}" {why})' for command, why in hints]
    if any(file.action == "conflict" for s in stale for file in s.result.files):
        blocks.append("  (move conflicting files first, or add --force)")
    return "\n".join(blocks)


def _has_moved(status: ModelStatus) -> bool:
    """Whether Studio does not serve what is locked: it has no version to ask for."""
    return status.outdated and status.pin is not None and status.pin.version is None


def _is_cached(status: ModelStatus) -> bool:
    return not any(f.action in {"download", "conflict"} for f in status.result.files)


def _format_status(status: ModelStatus, *, each: bool) -> str:
    head = _format_pinned(status) if status.pin else format_model(status.result)
    if status.up_to_date:
        return head if status.outdated else f"{head}: up to date"
    by_action: dict[str, list[FileResult]] = {}
    for file in status.result.files:
        by_action.setdefault(file.action, []).append(file)
    by_action.pop("unchanged", None)
    rows = [
        (action, path, size)
        for files in by_action.values()
        for path, size, action in format_files(files, each=each)
    ]
    return "\n".join([f"{head}:", *align(rows, "<<<")])


def _format_pinned(status: ModelStatus) -> str:
    ref = status.pin.ref if status.pin else status.result.ref
    selector = ref.selector or "the latest"
    head = f"{ref.name}: {status.result.version or selector} locked"
    if status.outdated:
        head += f", {selector} is now {status.now or 'another version'}"
    return head


def add_parser(commands: Commands, parent_parser: argparse.ArgumentParser) -> None:
    """Add ``status`` to the commands of ``dvc models``."""
    parser = add_command(
        commands, parent_parser, "status", summary=SUMMARY, description=DESCRIPTION
    )
    parser.add_argument(
        "name",
        nargs="*",
        metavar="<name>",
        help="Model: NAME, NAME@VERSION or NAME#STAGE, or a glob in quotes. Default: "
        "see above.",
    )
    add_all(parser, "Check")
    add_selectors(parser, "Compare with")
    add_repo(parser)
    add_source(
        parser,
        "Where to look up versions: Studio (default), or local Git tags ('remote', "
        "'cache').",
    )
    add_files(parser)
    add_json(parser)
    completion.complete_models(parser)
    parser.set_defaults(func=CmdModelsStatus)
