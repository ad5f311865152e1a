"""``dvc models diff``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dvc_studio_models.cli import completion
from dvc_studio_models.cli.base import CmdModels
from dvc_studio_models.cli.options import (
    add_command,
    add_json,
    add_repo,
    read_options,
)
from dvc_studio_models.cli.output import align, count_files, printable, shorten
from dvc_studio_models.cli.summaries import SUMMARIES

if TYPE_CHECKING:
    import argparse

    from dvc_studio_models.cli.options import Commands
    from dvc_studio_models.operations.diff import Content, DiffResult, Side

SUMMARY = SUMMARIES["diff"]
DESCRIPTION = f"""\
{SUMMARY}

Compares hashes, and downloads no content. With one NAME: its latest version, or the
version given, with the workspace. The files of a folder are listed in the DVC cache or,
if they are not there, on the DVC remote; those of another repo (--repo) by Studio.
"""


class CmdModelsDiff(CmdModels):
    """Compares two versions."""

    def run(self) -> int:
        """Compare, and print the files that differ."""
        from dvc.ui import ui

        from dvc_studio_models.operations.diff import diff_models

        args = self.args
        result = diff_models(args.old, args.new, read_options(args))
        if args.json:
            self.print_json(_to_json(result))
        else:
            ui.write("\n".join(_format(result)))
        return 0


def _to_json(result: DiffResult) -> dict[str, Any]:
    return {
        "repo": result.repo,
        "old": _side_to_json(result.old),
        "new": _side_to_json(result.new),
        "added": _files_to_json(result.added.items()),
        "deleted": _files_to_json(result.deleted.items()),
        "modified": [
            {
                "path": path,
                "size": {"old": old.size, "new": new.size},
                "md5": {"old": old.md5, "new": new.md5},
            }
            for path, (old, new) in result.modified.items()
        ],
        "renamed": [
            {"path": {"old": old, "new": new}, "size": at.size, "md5": at.md5}
            for (old, new), at in result.renamed.items()
        ],
    }


def _side_to_json(side: Side) -> dict[str, Any]:
    return {
        "name": side.ref.name,
        "requested": {} if side.is_workspace else side.ref.requested,
        "version": side.version,
        "commit": side.commit,
        "workspace": side.is_workspace,
        "files": len(side.files),
        "size": side.size,
    }


def _files_to_json(files: Any) -> list[dict[str, Any]]:
    return [{"path": path, "size": at.size, "md5": at.md5} for path, at in files]


def _format(result: DiffResult) -> list[str]:
    """Format the difference as ``dvc diff`` does, with sizes."""
    lines = [f"{_format_side(result.old)} -> {_format_side(result.new)}"]
    blocks = {
        "Added": [(path, _size(at)) for path, at in result.added.items()],
        "Deleted": [(path, _size(at)) for path, at in result.deleted.items()],
        "Renamed": [
            (f"{old} -> {new}", _size(at)) for (old, new), at in result.renamed.items()
        ],
        "Modified": [
            (path, _change(_size(old), _size(new)))
            for path, (old, new) in result.modified.items()
        ],
    }
    for head, rows in blocks.items():
        if rows:
            cells = [(f"  {printable(path)}", size) for path, size in rows]
            lines += ["", f"{head}:", *align(cells, "<<")]
    counts = ", ".join(f"{len(rows)} {head.lower()}" for head, rows in blocks.items())
    if not any(blocks.values()):
        counts = "no changes"
    return [*lines, *([""] if any(blocks.values()) else []), f"files summary: {counts}"]


def _format_side(side: Side) -> str:
    if side.is_workspace:
        name = f"workspace ({side.ref.name})"
    else:
        version = side.version or (side.commit and shorten(side.commit))
        name = f"{side.ref.name} {version}" if version else str(side.ref)
    size = _format_bytes(side.size)
    return f"{name}, {count_files(len(side.files))}{size and f', {size}'}"


def _change(old: str, new: str) -> str:
    return f"{old} -> {new}" if old and new and old != new else new


def _size(content: Content) -> str:
    return _format_bytes(content.size)


def _format_bytes(size: int | None) -> str:
    from dvc_studio_models.model import format_bytes

    return "" if size is None else format_bytes(size)


def add_parser(commands: Commands, parent_parser: argparse.ArgumentParser) -> None:
    """Add ``diff`` to the commands of ``dvc models``."""
    parser = add_command(
        commands, parent_parser, "diff", summary=SUMMARY, description=DESCRIPTION
    )
    parser.add_argument(
        "old",
        metavar="<name>",
        help="Model: NAME (the latest version), NAME@VERSION or NAME#STAGE.",
    )
    parser.add_argument(
        "new",
        nargs="?",
        metavar="<name>",
        help="The same, to compare with; default: the workspace.",
    )
    add_repo(parser)
    add_json(parser)
    completion.complete_models(parser)
    parser.set_defaults(func=CmdModelsDiff)
