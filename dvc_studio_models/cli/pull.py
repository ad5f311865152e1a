"""``dvc models pull``."""

from __future__ import annotations

import contextlib
import shlex
from typing import TYPE_CHECKING, Any

from dvc.cli.completion import FILE

from dvc_studio_models.cli import completion
from dvc_studio_models.cli.base import CmdModels
from dvc_studio_models.cli.options import (
    add_all,
    add_cache_dir,
    add_command,
    add_files,
    add_json,
    add_repo,
    add_selectors,
    add_source,
    lists_each_file,
    read_options,
    read_rate,
)
from dvc_studio_models.cli.output import (
    align,
    count_files,
    format_files,
    format_model,
    model_to_json,
)
from dvc_studio_models.cli.summaries import SUMMARIES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from dvc_studio_models.cli.options import Commands
    from dvc_studio_models.cli.progress import Display
    from dvc_studio_models.model import FileResult, PullResult

_ORIGINS = {"remote": "the DVC remote", "cache": "the DVC cache"}
_VERIFICATIONS = {
    "git+signature": "verified against Git by signed tags",
    "git": "verified against Git",
    "lock": "verified against the lock file",
    "url": "verified by the hash in the URL",
    "storage": "verified by the storage's hash",
    "size": "not verified: neither Git nor Studio has a hash",
}
"""Text for each value of ``verified_by``, the strongest first."""


class CmdModelsPull(CmdModels):
    """Pulls models, or prints the URLs of their files."""

    _has_ended = False

    def run(self) -> int:
        """Pull, and print the result."""
        from dvc.ui import ui

        from dvc_studio_models.operations.pull import find_urls, pull_models

        args = self.args
        options = read_options(
            args, dry_run=args.dry_run or args.check, ask_sizes=args.dry_run
        )
        if args.urls:
            return self._print_urls(find_urls(args.name, options))
        progress = self._make_progress()
        with contextlib.closing(progress):
            result = pull_models(args.name, options, progress.update)
        progress.end(_to_json(result))
        self._has_ended = True
        if args.json:
            self.print_json(_to_json(result))
        elif not args.check:
            each = lists_each_file(args)
            ui.write(_format_result(result, dry_run=args.dry_run, each=each))
        if result.refused and args.dry_run:
            raise result.refused
        would_change = any(file.action != "unchanged" for file in _files(result))
        return int(args.check and would_change)

    def show_error(self, value: dict[str, Any]) -> None:
        """Show it as the last line of ``--progress json``."""
        if not self._has_ended:
            self._make_progress().end(value)

    def _make_progress(self) -> Display:
        from dvc_studio_models.cli.progress import make_progress

        return make_progress("Downloading", _choose_kind(self.args))

    def _print_urls(self, urls: Mapping[str, str]) -> int:
        from dvc.ui import ui

        if self.args.json:
            self.print_json(urls)
        else:
            for path, url in urls.items():
                ui.write(f"{path}\t{url}", force=True)
        return 0


def _choose_kind(args: argparse.Namespace) -> str:
    """Return which progress to show, where that is not said."""
    is_silent = args.json or args.dry_run or args.check
    kind: str = args.progress
    return "none" if args.quiet or (is_silent and kind == "auto") else kind


def _files(result: PullResult) -> list[FileResult]:
    return [file for model in result.models for file in model.files]


def _format_result(result: PullResult, *, dry_run: bool, each: bool) -> str:
    lines = []
    for model in result.models:
        origin = _ORIGINS.get(result.source, model.ref.repo or result.repo)
        lines.append(f"{format_model(model)} from {origin}")
        rows = format_files(model.files, each=each)
        lines += align([(f"{path} ", *cells) for path, *cells in rows], "<><")
    lines.append(_format_summary(result, dry_run=dry_run))
    if result.gitignore:
        # As `dvc add` says it.
        command = f"git add {shlex.join(result.gitignore)}"
        lines.append(f"\nTo track the changes with git, run:\n\n\t{command}")
    return "\n".join(lines)


def _format_summary(result: PullResult, *, dry_run: bool) -> str:
    from dvc_studio_models.model import format_bytes

    files = _files(result)
    sizes = [file.size for file in files if file.size is not None]
    size = [format_bytes(sum(sizes))] if sizes or not files else []
    count = ", ".join([count_files(len(files)), *size])
    if dry_run:
        return f"{count}; nothing was changed"
    return f"{count} in {result.seconds:.1f} s, {_format_verification(files)}"


def _format_verification(files: Sequence[FileResult]) -> str:
    used = {file.verified_by for file in files}
    texts = [text for value, text in _VERIFICATIONS.items() if value in used]
    return texts[-1] if texts else "nothing to verify"


def _to_json(result: PullResult) -> dict[str, Any]:
    repo = result.repo
    return {
        "repo": repo,
        "models": [model_to_json(m.ref, m, repo=repo) for m in result.models],
        "bytes_downloaded": result.bytes_downloaded,
        "seconds": round(result.seconds, 3),
        **({"gitignore": list(result.gitignore)} if result.gitignore else {}),
    }


def add_parser(commands: Commands, parent_parser: argparse.ArgumentParser) -> None:
    """Add ``pull`` to the commands of ``dvc models``."""
    parser = add_command(
        commands,
        parent_parser,
        "pull",
        summary=SUMMARIES["pull"],
    )
    parser.add_argument(
        "name",
        nargs="*",
        metavar="<name>",
        help="Model: NAME, NAME@VERSION or NAME#STAGE; "
        "DIR:NAME for a model annotated in DIR/dvc.yaml. Or a glob in quotes, as in "
        "'team-*' or 'team-*#prod'.",
    )
    add_all(parser, "Pull")
    add_selectors(parser, "Pull")
    add_repo(parser)
    parser.add_argument(
        "-o",
        "--out",
        metavar="<path>",
        help="Folder to place the files under (default: the root of the Git repo).",
    )
    _add_lock_files(parser)
    add_source(
        parser,
        "'studio' (default), 'remote' (your DVC remote) or 'cache' (the DVC cache "
        "only); the last two resolve versions from local Git tags.",
    )
    _add_file_options(parser)
    _add_modes(parser)
    add_files(parser)
    add_json(parser)
    parser.add_argument(
        "-j",
        "--jobs",
        type=int,
        metavar="<number>",
        help="Concurrent connections, 1 to 256 (default: 16, and up to 64 for small "
        "files where the network is slow).",
    )
    parser.add_argument(
        "--limit-rate",
        type=read_rate,
        metavar="<bytes>",
        help="Download at most so many bytes a second, e.g. 500K, 10M or 1G (1K is "
        "1024); all connections together.",
    )
    parser.add_argument(
        "--progress",
        choices=["auto", "bar", "plain", "json", "none"],
        default="auto",
        help="How to show the progress on stderr; 'json': one object a line (default: "
        "a bar on a terminal, plain lines elsewhere, none with --json).",
    )
    completion.complete_models(parser)
    parser.set_defaults(func=CmdModelsPull)


def _add_lock_files(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    texts = {
        "--lock": "Write the pulled versions and hashes to a lock file (default: "
        "models.lock in the root of the Git repo).",
        "--locked": "Pull exactly what the lock file pins, even if stages have moved. "
        "Without NAMEs: all locked models.",
    }
    for name, text in texts.items():
        group.add_argument(
            name, nargs="?", const=True, default=False, metavar="<file>", help=text
        ).complete = FILE  # type: ignore[attr-defined]


def _add_file_options(parser: argparse.ArgumentParser) -> None:
    for name, verb in (("include", "Pull only"), ("exclude", "Do not pull")):
        parser.add_argument(
            f"--{name}",
            action="append",
            default=[],
            metavar="<glob>",
            help=f"{verb} files whose path in the repo matches; may be repeated.",
        )
    parser.add_argument(
        "-f",
        "--force",
        action="store_true",
        help="Replace files even if their content would be lost.",
    )
    parser.add_argument(
        "--require-signed",
        action="store_true",
        help="Refuse what no signed Git tag verifies ('git verify-tag', with the keys "
        "in your own Git config or GPG keyring).",
    )
    caches = parser.add_mutually_exclusive_group()
    caches.add_argument(
        "--no-cache",
        dest="cache",
        action="store_false",
        help="Do not store a copy in the cache.",
    )
    add_cache_dir(caches)
    parser.add_argument(
        "--gitignore",
        action="store_true",
        help="Add the files to .gitignore. Default: only those of other repos, and "
        "only in a DVC project.",
    )


def _add_modes(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    texts = {
        "--dry-run": "Show what would be done without doing it; exit with 7 if the "
        "pull would be refused.",
        "--check": "Print nothing, change nothing, and exit with 1 if anything would "
        "change.",
        "--urls": "Only print each file's path and signed URL, separated by a tab.",
    }
    for name, text in texts.items():
        group.add_argument(name, action="store_true", help=text)
