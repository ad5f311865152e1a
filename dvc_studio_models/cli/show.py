"""``dvc models show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dvc_studio_models.cli import completion
from dvc_studio_models.cli.base import CmdModels
from dvc_studio_models.cli.options import (
    add_all,
    add_command,
    add_json,
    add_repo,
    add_selectors,
    read_options,
)
from dvc_studio_models.cli.output import (
    FEW,
    align,
    clip,
    count_files,
    printable,
    shorten,
)
from dvc_studio_models.cli.summaries import SUMMARIES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from dvc_studio_models.cli.options import Commands
    from dvc_studio_models.model import RegisteredVersion, TagEvent
    from dvc_studio_models.operations.show import ShownModel, ShowResult

SUMMARY = SUMMARIES["show"]
DESCRIPTION = f"""\
{SUMMARY}

Path, size, metrics and params are those of one version: the one given, or the latest.
Metrics and params are those of the DVC project at that commit. All of it comes from
local Git tags and commits and from the DVC cache; run 'git fetch --tags' to update the
tags. With --repo URL of another repo it comes from the server, which must be
'dvc models serve'; that sends no metrics and params.
"""
_EVENTS = {
    "registration": "registered",
    "deregistration": "deregistered",
    "assignment": "assigned to",
    "unassignment": "unassigned from",
    "deprecation": "deprecated",
}


class CmdModelsShow(CmdModels):
    """Shows models."""

    def run(self) -> int:
        """Show models as text or as JSON."""
        from dvc.ui import ui

        from dvc_studio_models.operations.show import show_models

        result = show_models(self.args.name, read_options(self.args))
        if self.args.json:
            self.print_json(_to_json(result))
        else:
            every = self.args.verbose > 0
            blocks = [_format_model(m, result.repo, every=every) for m in result.models]
            ui.write("\n\n".join("\n".join(clip(block)) for block in blocks))
        return 0


def _to_json(result: ShowResult) -> dict[str, Any]:
    models = [_model_to_json(model, result.repo) for model in result.models]
    return {"repo": result.repo, "models": models}


def _model_to_json(shown: ShownModel, repo: str) -> dict[str, Any]:
    details = shown.details.to_json()
    return {
        "name": details.pop("name"),
        "requested": shown.ref.requested,
        **({"repo": shown.ref.repo} if shown.ref.repo not in {None, repo} else {}),
        **details,
        "workspace": shown.workspace and vars(shown.workspace),
        "cache": shown.cache and vars(shown.cache),
        "metrics": shown.metrics,
        "params": shown.params,
        "notes": list(shown.notes),
    }


def _format_model(shown: ShownModel, repo: str, *, every: bool) -> list[str]:
    """Format a model.

    Args:
        shown: The model.
        repo: The repo's URL.
        every: Whether to list all versions and events, and not only the newest.
    """
    details = shown.details
    title = shown.ref.name
    if details.commit:
        at = f"{details.version} " if details.version else ""
        title += f" {at}({shorten(details.commit)})"
    elif not details.versions:
        title += " (no version in the tags)"
    lines = [title, *align(_facts(shown, repo), "<<")]
    stages = [event for event in details.history if event.event != "registration"]
    blocks = {
        "Versions": _format_versions(details.versions, every=every),
        "History": _format_history(stages, every=every),
        "Metrics": _format_values(shown.metrics),
        "Params": _format_values(shown.params),
        "Notes": [f"  {printable(note)}" for note in shown.notes],
    }
    for head, block in blocks.items():
        lines += ["", f"{head}:", *block] if block else []
    return lines


def _facts(shown: ShownModel, repo: str) -> list[tuple[str, str]]:
    details = shown.details
    facts = {
        "repo": shown.ref.repo or repo,
        "path": details.path,
        "type": details.type,
        "description": details.description,
        "labels": ", ".join(details.labels),
        "size": _format_size(details.size, details.nfiles),
        "workspace": _format_workspace(shown),
        "cache": _format_cache(shown),
    }
    return [(f"{key}:", printable(value)) for key, value in facts.items() if value]


def _format_size(size: int | None, nfiles: int | None) -> str:
    from dvc_studio_models.model import format_bytes

    texts = [] if size is None else [format_bytes(size)]
    texts += [] if nfiles is None else [count_files(nfiles)]
    return ", ".join(texts)


def _format_workspace(shown: ShownModel) -> str:
    state = shown.workspace
    if state is None:
        return ""
    if state.version:
        part = "part of " if state.state == "partial" else ""
        return part + _short(state.version)
    return "nothing" if state.state == "absent" else state.state


def _format_cache(shown: ShownModel) -> str:
    from dvc_studio_models.model import format_bytes

    cache = shown.cache
    if cache is None:
        return ""
    if cache.files is None or cache.size is None:
        return "the list of its files is not there"
    if not cache.files:
        return "nothing"
    return f"{count_files(cache.files)}, {format_bytes(cache.size)}"


def _format_versions(
    versions: Sequence[RegisteredVersion], *, every: bool
) -> list[str]:
    rows = [
        (
            v.version or shorten(v.commit),
            shorten(v.commit) if v.version else "-",
            _format_date(v.time),
            printable(v.author),
            ", ".join(v.stages),
            _subject(v.message),
        )
        for v in versions
    ]
    return _newest(rows, "<<<<<<", every=every)


def _format_history(events: Sequence[TagEvent], *, every: bool) -> list[str]:
    rows = [
        (
            _format_date(event.time),
            event.stage or "",
            _format_event(event),
            printable(event.author),
            _subject(event.message),
        )
        for event in events
    ]
    return _newest(rows, "<<<<<", every=every)


def _format_event(event: TagEvent) -> str:
    what = _EVENTS[event.event]
    version = _short(event.version or "")
    return f"{what} {version}".strip() if event.stage else f"{version} {what}".strip()


def _newest(
    rows: Sequence[Sequence[str]], alignments: str, *, every: bool
) -> list[str]:
    """Align the newest rows, or all, and say how many there are more."""
    shown = rows if every or len(rows) <= FEW + 1 else rows[:FEW]
    lines = align(shown, alignments) if shown else []
    more = len(rows) - len(shown)
    return [*lines, f"  ... and {more} more (-v shows all)"] if more else lines


def _format_values(files: Mapping[str, Mapping[str, Any]] | None) -> list[str]:
    return list(_value_lines(files)) if files else []


def _value_lines(files: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for path, values in files.items():
        yield f"  {printable(path)}"
        rows = [(f"  {printable(k)}", printable(str(v))) for k, v in values.items()]
        yield from align(rows, "<<") if rows else ()


def _format_date(time: int) -> str:
    """Format a date and a time of the day, UTC."""
    from dvc_studio_models.model import format_date

    return format_date(time)[:16].replace("T", " ")


def _subject(message: str) -> str:
    return printable(message.strip().partition("\n")[0])


def _short(version: str) -> str:
    """Shorten the commit of a stage that is assigned to no version."""
    return version if version.startswith("v") else shorten(version)


def add_parser(commands: Commands, parent_parser: argparse.ArgumentParser) -> None:
    """Add ``show`` to the commands of ``dvc models``."""
    parser = add_command(
        commands, parent_parser, "show", summary=SUMMARY, description=DESCRIPTION
    )
    parser.add_argument(
        "name",
        nargs="*",
        metavar="<name>",
        help="Model: NAME, NAME@VERSION or NAME#STAGE, or a glob in quotes.",
    )
    add_all(parser, "Show")
    add_selectors(parser, "Show")
    add_repo(parser)
    add_json(parser)
    completion.complete_models(parser)
    parser.set_defaults(func=CmdModelsShow)
