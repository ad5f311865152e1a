"""``dvc models which``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dvc.cli.completion import FILE

from dvc_studio_models.cli.base import CmdModels
from dvc_studio_models.cli.options import add_command, add_json, read_options
from dvc_studio_models.cli.output import FEW, align, printable, shorten
from dvc_studio_models.cli.summaries import SUMMARIES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from dvc_studio_models.cli.options import Commands
    from dvc_studio_models.operations.which import IdentifiedFile, Match, WhichResult

SUMMARY = SUMMARIES["which"]
DESCRIPTION = f"""\
{SUMMARY}

The file may be anywhere, and a folder too. It is compared with all versions that local
Git tags register, with what was pulled, and with the lock file. Uses no network. Files
of a folder are known if the DVC cache has the list of its files.
'modified': at the path of a model, and the content of no version.
Exits with 1 if a file is of no model.
"""


class CmdModelsWhich(CmdModels):
    """Identifies files."""

    def run(self) -> int:
        """Identify files, and print what each is."""
        from dvc.ui import ui

        from dvc_studio_models.operations.which import identify

        result = identify(self.args.file, read_options(self.args))
        if self.args.json:
            self.print_json(_to_json(result))
        else:
            rows = [row for file in result.files for row in _rows(file)]
            ui.write("\n".join(line[2:] for line in align(rows, "<<<<")))
        is_of_none = [not file.matches and not file.model for file in result.files]
        if result.unread and any(not file.matches for file in result.files):
            _warn_of_unread(result.unread)
        return int(any(is_of_none))


def _warn_of_unread(versions: Sequence[str]) -> None:
    from dvc_studio_models.cli.options import logger

    more = f" and {len(versions) - FEW} more" if len(versions) > FEW else ""
    logger.warning(
        "not compared with the files of these versions, because the DVC cache does not "
        "have the list of them: %s%s",
        ", ".join(versions[:FEW]),
        more,
    )


def _to_json(result: WhichResult) -> dict[str, Any]:
    return {
        "files": [
            {
                "path": file.path,
                "md5": file.md5,
                "model": file.model,
                "modified": file.modified,
                "matches": [
                    {**vars(match), "stages": list(match.stages)}
                    for match in file.matches
                ],
            }
            for file in result.files
        ],
        "unread": list(result.unread),
    }


def _rows(file: IdentifiedFile) -> Iterator[tuple[str, ...]]:
    """Yield a row for each model that has this content: path, model, versions, repo."""
    path = printable(file.path)
    if file.modified:
        yield path, file.model or "", "modified", ""
    elif not file.matches:
        yield path, "not a model", "", ""
    models = dict.fromkeys((match.model, match.repo) for match in file.matches)
    for name, repo in models:
        versions = [
            _format_version(match)
            for match in file.matches
            if (match.model, match.repo) == (name, repo)
        ]
        more = f" and {len(versions) - FEW} more" if len(versions) > FEW else ""
        origin = f"from {printable(repo)}" if repo else ""
        yield path, name, f"{', '.join(versions[:FEW])}{more}", origin


def _format_version(match: Match) -> str:
    version = match.version or (match.commit and shorten(match.commit))
    stages = f" ({', '.join(match.stages)})" if match.stages else ""
    return f"{version or 'unknown version'}{stages}"


def add_parser(commands: Commands, parent_parser: argparse.ArgumentParser) -> None:
    """Add ``which`` to the commands of ``dvc models``."""
    parser = add_command(
        commands, parent_parser, "which", summary=SUMMARY, description=DESCRIPTION
    )
    parser.add_argument(
        "file", nargs="+", metavar="<file>", help="Files or folders to identify."
    ).complete = FILE  # type: ignore[attr-defined]
    add_json(parser)
    parser.set_defaults(func=CmdModelsWhich)
