"""``dvc models cache prune``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dvc_studio_models.cli import completion
from dvc_studio_models.cli.base import CmdModels
from dvc_studio_models.cli.cache.ls import add_cache_dir, part_to_json, version_to_json
from dvc_studio_models.cli.cache.units import duration, size
from dvc_studio_models.cli.options import add_command, add_json, bounded_int

if TYPE_CHECKING:
    import argparse

    from dvc_studio_models.cli.options import Commands
    from dvc_studio_models.operations.cache.prune import PrunePlan

DESCRIPTION = """\
Remove versions of models that nothing needs from the cache.

Kept is what the workspace has, what HEAD, a local branch or an experiment records, what
a stage, a lock file or the files of an earlier pull need, and all that DVC tracks
beside models. A file that several versions share stays as long as one of them. If
something that may need a version cannot be read, nothing is removed. Content that was
never pushed is lost, and so is what only symbolic links use that were moved after a
pull. A lock file counts unless Git ignores it and its name does not end with '.lock'.

Without --older-than, --max-size and --keep-latest, all other versions are removed, and
all parts of unfinished pulls. With one of them, only parts that are of no use or older
than this. 'dvc gc' removes no parts.
"""

_MAX_VERSIONS = 1_000_000


class CmdModelsCachePrune(CmdModels):
    """Removes versions from a cache."""

    def run(self) -> int:
        """Remove them, after a question unless ``--force`` is given."""
        from dvc_studio_models.operations.cache.choice import Criteria
        from dvc_studio_models.operations.cache.prune import PruneOptions, prune

        args = self.args
        criteria = Criteria(args.older_than, args.max_size, args.keep_latest)
        options = PruneOptions(
            cache_dir=args.cache_dir,
            projects=args.projects,
            dry_run=args.dry_run,
            wait_for_lock=getattr(args, "wait_for_lock", False),
        )
        plan = prune(criteria, options, None if args.force else self._confirm)
        if args.json:
            self.print_json(_to_json(plan))
        elif plan.is_done or plan.is_empty or args.dry_run:
            _print(plan)
            if args.max_size is not None and plan.kept_size > args.max_size:
                _print_excess()
        is_as_wished = plan.is_done or plan.is_empty or args.dry_run
        return 0 if is_as_wished else 1

    def _confirm(self, plan: PrunePlan) -> bool:
        import logging

        from dvc.ui import ui

        if self.args.json or not ui.isatty():
            logging.getLogger(f"dvc.{__name__}").error(
                "nothing was removed: use '--force' to remove without a question, or "
                "'--dry-run' to see what would be"
            )
            return False
        _print(plan)
        ui.write("Content that was never pushed is lost.")
        return bool(ui.confirm("Are you sure you want to proceed?"))


def _print(plan: PrunePlan) -> None:
    from dvc.ui import ui

    from dvc_studio_models.cli.output import align
    from dvc_studio_models.model import format_bytes
    from dvc_studio_models.operations.cache.listing import describe_version

    if plan.is_empty and not plan.kept:
        ui.write(f"No versions of models in '{plan.folder}'.")
        return
    if plan.is_empty:
        ui.write(
            f"Nothing to remove: {_stay(len(plan.kept))} in the cache, "
            f"{format_bytes(plan.kept_size)}."
        )
        return
    rows = [
        (describe_version(version.known), format_bytes(_own_size(plan, version)))
        for version in plan.versions
    ]
    if plan.parts:
        plural = "part" if len(plan.parts) == 1 else "parts"
        parts = f"{len(plan.parts)} {plural} of unfinished pulls"
        rows.append((parts, format_bytes(sum(part.size for part in plan.parts))))
    verb = "Removed" if plan.is_done else "To be removed"
    ui.write(f"{verb} from '{plan.folder}':")
    for line in align(rows, "<>") if rows else ():
        ui.write(line)
    ui.write(
        f"{format_bytes(plan.freed_bytes)} {'freed' if plan.is_done else 'to free'}; "
        f"{_stay(len(plan.kept))}, {format_bytes(plan.kept_size)}"
    )


def _print_excess() -> None:
    from dvc.ui import ui

    ui.write(
        "This is more than '--max-size': what stays is needed, or another option keeps "
        "it. See 'dvc models cache ls'."
    )


def _own_size(plan: PrunePlan, version: Any) -> int:
    """Return what the removal of a version frees, with what it shares with others."""
    return sum(size for d, size in version.present.items() if d in plan.objects)


def _stay(number: int) -> str:
    return "1 version stays" if number == 1 else f"{number} versions stay"


def _to_json(plan: PrunePlan) -> dict[str, Any]:
    return {
        "cache": plan.folder,
        "removed": plan.is_done,
        "versions": list(map(version_to_json, plan.versions)),
        "objects": len(plan.objects),
        "parts": list(map(part_to_json, plan.parts)),
        "freed": plan.freed_bytes,
        "kept": list(map(version_to_json, plan.kept)),
        "kept_size": plan.kept_size,
    }


def add_parser(commands: Commands, parent_parser: argparse.ArgumentParser) -> None:
    """Add ``prune`` to the commands of ``dvc models cache``."""
    parser = add_command(
        commands,
        parent_parser,
        "prune",
        summary="Remove versions that nothing needs from the cache.",
        description=DESCRIPTION,
    )
    parser.add_argument(
        "--older-than",
        type=duration,
        metavar="<time>",
        help="Remove only versions last used longer ago, as 30d (s, m, h, d, w).",
    )
    parser.add_argument(
        "--max-size",
        type=size,
        metavar="<size>",
        help="Remove only as many, the least recently used first, as bring the "
        "versions in the cache down to this size, as 20GB.",
    )
    parser.add_argument(
        "--keep-latest",
        type=bounded_int(0, _MAX_VERSIONS),
        metavar="<number>",
        help="Keep this number of versions of each model, the greatest ones.",
    )
    parser.add_argument(
        "-p",
        "--projects",
        nargs="*",
        metavar="<path>",
        help="Keep what these DVC projects or Git repos need, too. Required for a "
        "cache that several projects may share; without a path, there are no others.",
    )
    parser.add_argument(
        "-n",
        "--dry-run",
        action="store_true",
        help="Show what would be removed without removing it.",
    )
    parser.add_argument(
        "-f", "--force", action="store_true", help="Remove without a question."
    )
    add_cache_dir(parser)
    add_json(parser)
    completion.complete_models(parser)
    parser.set_defaults(func=CmdModelsCachePrune)
