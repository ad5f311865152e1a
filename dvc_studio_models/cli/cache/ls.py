"""``dvc models cache ls``."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

from dvc_studio_models.cli import completion
from dvc_studio_models.cli.base import CmdModels
from dvc_studio_models.cli.cache.units import format_age, format_time
from dvc_studio_models.cli.options import add_command, add_json

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from dvc_studio_models.cli.options import Commands
    from dvc_studio_models.operations.cache.listing import CacheListing, ListedPart
    from dvc_studio_models.operations.cache.versions import CachedVersion

    Row = tuple[str | None, ...]

DESCRIPTION = """\
List the versions of models in the cache, and parts of unfinished pulls.

'Size' is what is in the cache of a version, 'Shared' how much of it other versions
have, too. 'Needed by' says what keeps all files of a version from being pruned: the
workspace, a branch, a stage ('#prod'), a lock file, or a hard link.
Uses no network.
"""

_HEADERS = ["Model", "Size", "Shared", "Last use", "Needed by"]
_PART_HEADERS = ["Part of", "Size", "Last write", "State"]
_HASH_LENGTH = 8


class CmdModelsCacheLs(CmdModels):
    """Lists what is in a cache."""

    def run(self) -> int:
        """List versions and parts, as tables or as JSON."""
        from dvc_studio_models.operations.cache.listing import list_cache

        listing = list_cache(self.args.names, cache_dir=self.args.cache_dir)
        if self.args.json:
            self.print_json(to_json(listing))
        else:
            _print(listing)
        return 0


def _print(listing: CacheListing) -> None:
    from dvc.ui import ui

    from dvc_studio_models.model import format_bytes

    if not listing.versions and not listing.parts:
        ui.write(f"No versions of models in '{listing.folder}'.")
        return
    if listing.versions:
        unknown = "?" if listing.problems else None
        rows = [format_row(each, unknown) for each in listing.versions]
        _print_table(rows, _HEADERS)
        count = len(listing.versions)
        plural = "version" if count == 1 else "versions"
        ui.write(f"{count} {plural}, {format_bytes(listing.size)}")
    if listing.parts:
        if listing.versions:
            ui.write("")
        _print_table(list(map(_format_part, listing.parts)), _PART_HEADERS)
        ui.write(f"Parts of unfinished pulls: {format_bytes(listing.parts_size)}")


def _print_table(rows: Sequence[Row], headers: Sequence[str]) -> None:
    """Print a table, or where it is wider than the terminal, a paragraph for each row.

    A cell may have several lines; None is shown as a dash.
    """
    from dvc.ui import ui

    columns = shutil.get_terminal_size().columns
    widths = [
        max(len(line) for cell in column for line in (cell or "-").split("\n"))
        for column in zip(headers, *rows, strict=True)
    ]
    if not _is_terminal() or sum(widths) + 2 * (len(widths) - 1) <= columns:
        ui.table(rows, headers=headers, force=False)
        return
    for name, *cells in rows:
        ui.write(name or "-")
        facts = [
            f"{header.lower()} {cell.replace(chr(10), ', ')}"
            for header, cell in zip(headers[1:], cells, strict=True)
            if cell
        ]
        text = "; ".join(facts)
        indent = " " * 2
        ui.write(
            textwrap.fill(
                text,
                columns,
                initial_indent=indent,
                subsequent_indent=indent,
                break_long_words=False,
            )
        )


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def format_row(version: CachedVersion, unknown: str | None) -> Row:
    """Return the cells of a row; the table shows None as a dash.

    Args:
        version: In the cache.
        unknown: Shown if nothing is known to need it.
    """
    from dvc_studio_models.model import format_bytes
    from dvc_studio_models.operations.cache.listing import describe_version

    known = version.known
    # A terminal is narrow; programs that read a pipe expect a line per version.
    separator = "\n" if _is_terminal() else ", "
    name = describe_version(known)
    if known.repo:
        name += f"{separator if separator != ', ' else ' '}{known.repo}"
    size = format_bytes(version.size)
    if not version.is_complete:
        total = f" of {len(known.files)}" if known.is_listed else ""
        size += f"{separator}{version.files_present}{total} files"
    return (
        name,
        size,
        format_bytes(version.shared_bytes) if version.shared_bytes else None,
        format_age(time.time() - version.last_used),
        separator.join(version.needed_by) or unknown,
    )


def _format_part(part: ListedPart) -> Row:
    from dvc_studio_models.model import format_bytes

    whole = f"{part.digest.value[:_HASH_LENGTH]}..." if part.digest else None
    separator = "\n" if _is_terminal() else " "
    name = separator.join(filter(None, [part.model, part.path])) or whole
    state = "resumable"
    if part.is_running:
        state = "downloading"
    elif part.is_at_hand or part.digest is None:
        state = "of no use"
    age = format_age(part.leftover.age_s)
    return name, format_bytes(part.size), age, state


def to_json(listing: CacheListing) -> dict[str, Any]:
    """Return the JSON of a listing."""
    return {
        "cache": listing.folder,
        "size": listing.size,
        "versions": list(map(version_to_json, listing.versions)),
        "parts_size": listing.parts_size,
        "parts": list(map(part_to_json, listing.parts)),
        "problems": list(listing.problems),
    }


def version_to_json(version: CachedVersion) -> dict[str, Any]:
    """Return the JSON of a version in a cache."""
    known = version.known
    return {
        "name": known.name,
        "repo": known.repo,
        "version": known.version,
        "commit": known.commit,
        "stages": list(known.stages),
        "size": version.size,
        "shared": version.shared_bytes,
        "files": {
            "present": version.files_present,
            "total": len(known.files) if known.is_listed else None,
        },
        "last_used": format_time(version.last_used),
        "needed_by": list(version.needed_by),
    }


def part_to_json(part: ListedPart) -> dict[str, Any]:
    """Return the JSON of a part."""
    return {
        "model": part.model,
        "path": part.path,
        "md5": part.digest.value if part.digest else None,
        "size": part.size,
        "age_seconds": round(part.leftover.age_s),
        "downloading": part.is_running,
    }


def add_cache_dir(parser: argparse.ArgumentParser) -> None:
    """Add ``--cache-dir``."""
    parser.add_argument(
        "--cache-dir",
        metavar="<dir>",
        help="Another cache than that of the project or the user.",
    )


def add_names(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add the names of models."""
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"{verb} only these models; globs are allowed, as 'team-*'.",
    )


def add_parser(commands: Commands, parent_parser: argparse.ArgumentParser) -> None:
    """Add ``ls`` to the commands of ``dvc models cache``."""
    parser = add_command(
        commands,
        parent_parser,
        "ls",
        summary="List the versions in the cache, and what needs them.",
        description=DESCRIPTION,
    )
    add_names(parser, "List")
    add_cache_dir(parser)
    add_json(parser)
    completion.complete_models(parser)
    parser.set_defaults(func=CmdModelsCacheLs)
