"""Parser and commands of ``dvc models``: argv in, text or JSON out.

Owns what the user types and reads. Imports nothing heavy before a command runs, so that
``dvc --help`` stays as fast as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dvc.cli.completion import FILE

from dvc_studio_models.cli import completion
from dvc_studio_models.cli.base import CmdModels, format_head
from dvc_studio_models.cli.options import (
    Parser,
    add_command,
    add_json,
    add_repo,
    add_selectors,
    add_source,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from dvc_studio_models.cli.options import Commands
    from dvc_studio_models.model import FileResult, ModelResult, PullResult

_ORIGINS = {"remote": "the DVC remote", "cache": "the DVC cache"}


class CmdModelsPull(CmdModels):
    """``dvc models pull``."""

    def run(self) -> int:
        """Pull, and print what came."""
        from dvc.ui import ui

        from dvc_studio_models.cli.progress import make_progress
        from dvc_studio_models.model import PullOptions
        from dvc_studio_models.operations.pull import download_urls, pull

        args = self.args
        options = PullOptions(
            repo=args.repo,
            git_remote=args.git_remote,
            out=args.out,
            include=args.include,
            exclude=args.exclude,
            source=args.source,
            lock=args.lock,
            locked=args.locked,
            force=args.force,
            cache=args.cache,
            dry_run=args.dry_run or args.check,
            ask_sizes=args.dry_run,
            jobs=args.jobs,
            wait_for_lock=getattr(args, "wait_for_lock", False),  # from DVC 3.61 on
        )
        which = {"stage": args.stage, "version": args.version, "options": options}
        if args.urls:
            return self._print_urls(download_urls(*args.name, **which))
        quiet = args.quiet or args.json or options.dry_run
        progress = make_progress("Downloading", quiet=quiet)
        result = pull(*args.name, **which, progress=progress)
        if args.json:
            self.print_json(_to_json(result))
        elif not args.check:
            ui.write(format_result(result, dry_run=args.dry_run))
        return int(args.check and _would_change(result))

    def _print_urls(self, urls: Mapping[str, str]) -> int:
        from dvc.ui import ui

        if self.args.json:
            self.print_json(urls)
        else:
            for path, url in urls.items():
                ui.write(f"{path}\t{url}", force=True)
        return 0


def _would_change(result: PullResult) -> bool:
    files = [file for model in result.models for file in model.files]
    return any(file.action != "unchanged" for file in files)


def format_result(result: PullResult, *, dry_run: bool) -> str:
    """Write for people what was asked, what it is, and what became of each file."""
    origin = _ORIGINS.get(result.source, result.repo)
    blocks = [_format_model(model, origin) for model in result.models]
    return "\n".join([*blocks, _format_summary(result, dry_run=dry_run)])


def _format_model(model: ModelResult, origin: str) -> str:
    from dvc_studio_models.model import format_bytes

    rows = [
        (file.path, "" if file.size is None else format_bytes(file.size), file.action)
        for file in model.files
    ]
    path_width = max((len(path) for path, _, _ in rows), default=0)
    size_width = max((len(size) for _, size, _ in rows), default=0)
    lines = [
        f"  {path:<{path_width}}   {size:>{size_width}}  {action}"
        for path, size, action in rows
    ]
    return "\n".join([f"{format_head(model)} from {origin}", *lines])


def _format_summary(result: PullResult, *, dry_run: bool) -> str:
    from dvc_studio_models.model import format_bytes

    files = [file for model in result.models for file in model.files]
    total = sum(file.size or 0 for file in files)
    count = f"{len(files)} file{'' if len(files) == 1 else 's'}, {format_bytes(total)}"
    if dry_run:
        return f"{count}; nothing was changed"
    return f"{count} in {result.seconds:.1f} s, {_verified(files)}"


def _verified(files: list[FileResult]) -> str:
    words = {
        "git": "verified against Git",
        "lock": "verified against the lock file",
        "url": "verified by the hash in the URL",
        "storage": "verified by the storage's hash",
        "size": "not verified: neither Git nor Studio knows a hash",
    }
    weakest = [by for by in words if by in {file.verified_by for file in files}]
    return words[weakest[-1]] if weakest else "nothing to verify"


def _to_json(result: PullResult) -> dict[str, Any]:
    return {
        "repo": result.repo,
        "models": [
            {
                "name": model.ref.name,
                "requested": model.ref.requested,
                "version": model.version,
                "commit": model.commit,
                "files": [vars(file) for file in model.files],
            }
            for model in result.models
        ],
        "bytes_downloaded": result.bytes_downloaded,
        "seconds": round(result.seconds, 3),
    }


def add_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    parent_parser: argparse.ArgumentParser,
) -> None:
    """Add ``models`` to DVC's commands, the way DVC's own modules do."""
    summary = "Pull registered models through DVC Studio."
    models = add_command(subparsers, parent_parser, "models", summary=summary)
    commands: Commands = models.add_subparsers(
        parser_class=Parser,
        dest="cmd",
        metavar="command",
        required=True,
        help="Use `dvc models CMD --help` for command-specific help.",
    )
    from dvc_studio_models.cli.list import add_parser as add_list
    from dvc_studio_models.cli.serve import add_parser as add_serve
    from dvc_studio_models.cli.status import add_parser as add_status

    _add_pull(commands, parent_parser)
    add_list(commands, parent_parser)
    add_status(commands, parent_parser)
    add_serve(commands, parent_parser)


def _add_pull(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    parent_parser: argparse.ArgumentParser,
) -> None:
    summary = "Bring registered models to their paths in the workspace, verified."
    parser = add_command(commands, parent_parser, "pull", summary=summary)
    parser.add_argument(
        "name",
        nargs="*",
        metavar="<name>",
        help="Model: NAME, NAME@VERSION or NAME#STAGE; "
        "DIR:NAME for a model annotated in DIR/dvc.yaml.",
    )
    add_selectors(parser, "Pull")
    add_repo(parser)
    parser.add_argument(
        "-o",
        "--out",
        metavar="<path>",
        help="Folder to place the files under (default: the root of the Git repo).",
    )
    _add_pins(parser)
    _add_switches(parser)
    completion.complete_models(parser)
    parser.set_defaults(func=CmdModelsPull)


def _add_pins(parser: argparse.ArgumentParser) -> None:
    pins = parser.add_mutually_exclusive_group()
    lock = pins.add_argument(
        "--lock",
        nargs="?",
        const=True,
        default=False,
        metavar="<file>",
        help="Pin the versions and hashes that were pulled in a lock file (default: "
        "models.lock in the root of the Git repo).",
    )
    locked = pins.add_argument(
        "--locked",
        nargs="?",
        const=True,
        default=False,
        metavar="<file>",
        help="Pull exactly what the lock file pins, wherever stages are by now; "
        "without a name all of its models.",
    )
    for action in (lock, locked):
        action.complete = FILE  # type: ignore[attr-defined]
    add_source(
        parser,
        "Where to pull from: Studio (default), or by local Git tags from your own "
        "DVC remote, or from nothing but the DVC cache.",
    )


def _add_switches(parser: argparse.ArgumentParser) -> None:
    for name, which in (("include", "Pull only"), ("exclude", "Do not pull")):
        parser.add_argument(
            f"--{name}",
            action="append",
            default=[],
            metavar="<glob>",
            help=f"{which} the files whose path in the repo matches; may be repeated.",
        )

    parser.add_argument(
        "-f",
        "--force",
        action="store_true",
        help="Replace files whose content would be lost.",
    )
    parser.add_argument(
        "--no-cache",
        dest="cache",
        action="store_false",
        help="Do not keep a copy in the DVC cache.",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--dry-run",
        action="store_true",
        help="Only tell what would be done to each file.",
    )
    instead.add_argument(
        "--check",
        action="store_true",
        help="Print nothing, change nothing, and exit with 1 if anything would change.",
    )
    instead.add_argument(
        "--urls",
        action="store_true",
        help="Only print each file's path and signed URL, separated by a tab.",
    )
    add_json(parser)
    parser.add_argument(
        "-j",
        "--jobs",
        type=int,
        default=16,
        metavar="<number>",
        help="Concurrent connections (default: 16).",
    )
