"""Bare mirrors of repos on other machines: cloned, fetched and maintained by ``git``.

A mirror has the branches and tags of its remote, and nothing else: neither pull
requests, which anybody may open, nor replaced objects. Its config has the remote's URL
without a password. Every call is bounded in silence, time and output.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from dvc_studio_models.errors import UnreadableRepoError
from dvc_studio_models.registry.git.parsing import (
    BRANCH,
    TAG,
    parse_listing,
    reason_of,
    remote_reason,
)
from dvc_studio_models.registry.git.process import (
    FETCH_PROTOCOLS,
    run,
    start,
    stop,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

MAX_LISTING_BYTES = 64 << 20
"""The longest list of a remote's refs: some 600,000."""

_LOOK_S = 0.2  # between two looks whether Git has ended
_CHUNK_BYTES = 1 << 16
_ERROR_BYTES = 1 << 16  # the last ones, which have the reason
_BROKEN_REF = b"ignoring broken ref"
_LOOSE_OBJECTS = 2000  # before they are packed
_PACKS = 20  # before they are packed together
_HELPER = (
    '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" '
    '"$DVC_STUDIO_MODELS_GIT_USER" "$DVC_STUDIO_MODELS_GIT_PASSWORD"; }; f'
)
"""A credential helper: the list of processes shows neither name nor password."""


class Patience(NamedTuple):
    """How long a call of Git may take."""

    silent_s: float = 120.0
    """The longest, in seconds, without output; Git reports progress every second."""

    total_s: float = 3600.0
    """The longest, in seconds, in all."""


PATIENCE = Patience()


class _Clock:
    """The time of one call of Git."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._begun = self._heard = time.monotonic()

    def restart(self) -> None:
        """Note that Git is not silent."""
        self._heard = time.monotonic()

    def exceeded(self) -> str | None:
        """Return which limit is exceeded, in a few words; None if none is."""
        now = time.monotonic()
        if now > self._begun + self._patience.total_s:
            return f"git did not end within {self._patience.total_s:.0f} s"
        if now > self._heard + self._patience.silent_s:
            return f"git reported no progress for {self._patience.silent_s:.0f} s"
        return None


class KilledGitError(UnreadableRepoError):
    """Git exceeded a limit and was killed. It may have left lock files."""


def clone_mirror(url: str, folder: Path, *, patience: Patience = PATIENCE) -> None:
    """Clone a repo into a new folder, whose parent exists.

    Args:
        url: URL or absolute path of the repo; a password in it is not stored.
        folder: The new bare repo; what is left of a failed clone is the caller's.
        patience: The limits.

    Raises:
        UnreadableRepoError: Git is not installed, or fails, or takes too long.
        LocalDiskError: The system does not let it run.
    """
    options = ("--bare", "--no-local", "--template=", "--progress")
    _run_remote(
        url, ("clone", *options), (os.fspath(folder),), folder.parent, patience=patience
    )


def update_mirror(folder: Path, url: str, *, patience: Patience = PATIENCE) -> bool:
    """Make the refs and the HEAD of a mirror those of its remote.

    Args:
        folder: The bare repo.
        url: Where to fetch from.
        patience: The limits of each call of Git.

    Returns:
        Whether anything had changed.

    Raises:
        UnreadableRepoError: Git is not installed, or fails, or takes too long.
        LocalDiskError: The system does not let it run.
    """
    listed = _run_remote(
        url,
        ("ls-remote", "--symref"),
        ("HEAD", f"{BRANCH}*", f"{TAG}*"),
        folder,
        patience=patience,
    )
    head, theirs = parse_listing(listed)
    changed = theirs != _own_refs(folder)
    if changed:
        _run_remote(
            url,
            ("fetch", "--prune", "--no-tags", "--no-recurse-submodules", "--progress"),
            (f"+{BRANCH}*:{BRANCH}*", f"+{TAG}*:{TAG}*"),
            folder,
            patience=patience,
        )
    if head in theirs and head.startswith(BRANCH):  # else it is detached, or dangling
        changed = _set_head(folder, head) or changed
    return changed


def maintain_mirror(folder: Path, *, patience: Patience = PATIENCE) -> None:
    """Pack refs, and objects where there are many; lost ones are kept for two weeks.

    Raises:
        UnreadableRepoError: Git fails, or takes too long.
        LocalDiskError: The system does not let it run.
    """
    _run_local(folder, "pack-refs", "--all")
    limits = (f"gc.auto={_LOOSE_OBJECTS}", f"gc.autoPackLimit={_PACKS}")
    settings = [word for limit in limits for word in ("-c", limit)]
    command = [_git(folder), *settings, "-c", "gc.autoDetach=false"]
    # It reports no progress without a terminal.
    patience = Patience(patience.total_s, patience.total_s)
    _run_watched([*command, "gc", "--auto"], folder, patience=patience)


def find_damage(folder: Path) -> str | None:
    """Return why Git cannot read a branch, a tag or its commit; None if it can.

    What commits contain is not read: that may take minutes.

    Raises:
        UnreadableRepoError: Git is not installed, is killed, or takes too long.
        LocalDiskError: The system does not let it run.
    """
    location = [_git(folder), f"--git-dir={folder}", "-c", "core.commitGraph=false"]
    reads_each = ("rev-list", "--no-walk", "--quiet", "--branches", "--tags")
    output = run([*location, *reads_each], cwd=folder, codes=(0, 1, 128))
    is_broken = output.code or _BROKEN_REF in output.err
    return reason_of(output.err) if is_broken else None


def clean_mirror(folder: Path, *, older_than_s: float) -> None:
    """Remove lock files and unfinished objects that killed calls of Git have left.

    Args:
        folder: The bare repo; nobody may be writing to it.
        older_than_s: The least age of a file, in seconds.
    """
    locks = (*folder.glob("*.lock"), *(folder / "refs").rglob("*.lock"))
    _remove((*locks, *_unfinished(folder)), older_than_s=older_than_s)


def clean_objects(folder: Path) -> None:
    """Remove the unfinished objects that a failed call has left, as on a full disk."""
    _remove(_unfinished(folder), older_than_s=0)


def _unfinished(folder: Path) -> Iterator[Path]:
    objects = folder / "objects"
    yield from objects.glob("tmp_obj*")
    yield from objects.glob("[0-9a-f][0-9a-f]/tmp_obj_*")
    yield from (objects / "pack").glob("tmp_*")


def _remove(left: Iterable[Path], *, older_than_s: float) -> None:
    before = time.time() - older_than_s
    for path in tuple(left):
        with contextlib.suppress(OSError):  # another call has removed it
            if path.lstat().st_mtime > before:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _own_refs(folder: Path) -> dict[str, str]:
    form = "%(objectname) %(objecttype) %(refname)"  # the type: fails if it is lost
    listed = _run_local(folder, "for-each-ref", f"--format={form}", BRANCH, TAG)
    words = (line.split(" ", 2) for line in os.fsdecode(listed).split("\n") if line)
    return {name: oid for oid, _, name in words}


def _set_head(folder: Path, head: str) -> bool:
    """Set HEAD to a branch; returns whether it was another one."""
    current = _run_local(folder, "symbolic-ref", "--quiet", "HEAD", codes=(0, 1))
    if os.fsdecode(current).strip() == head:
        return False
    _run_local(folder, "symbolic-ref", "HEAD", head)
    return True


def _run_remote(
    url: str,
    command: Sequence[str],
    arguments: Sequence[str],
    folder: Path,
    *,
    patience: Patience,
) -> bytes:
    """Run a command of Git that connects to a remote: options, URL, arguments."""
    url, settings, variables = _without_password(url)
    # A killed server leaves Git, which then has to end by itself.
    slowest = ("-c", "http.lowSpeedLimit=1")
    longest = ("-c", f"http.lowSpeedTime={max(1, round(patience.silent_s))}")
    git = [_git(folder), *slowest, *longest, *settings]
    whole = [*git, *command, "--", url, *arguments]
    return _run_watched(whole, folder, patience=patience, variables=variables)


def _run_local(folder: Path, *command: str, codes: Sequence[int] = (0,)) -> bytes:
    git_dir = f"--git-dir={folder}"
    return run([_git(folder), git_dir, *command], cwd=folder, codes=codes).out


def _git(folder: Path) -> str:
    git = shutil.which("git")
    if git is None:
        reason = "the program 'git' is needed for mirrors, and is not installed"
        raise UnreadableRepoError(os.fspath(folder), reason)
    return git


def _without_password(url: str) -> tuple[str, list[str], dict[str, str]]:
    """Take the password out of an http URL.

    Returns:
        The URL without it, and settings and variables by which Git gets it.
    """
    parts = urlsplit(url) if url.lower().startswith("http") else None
    if parts is None or not parts.password:
        return url, [], {}
    host = parts.netloc.rpartition("@")[2]
    helper = f"credential.{parts.scheme}://{host}.helper"
    return (
        urlunsplit(parts._replace(netloc=host)),
        ["-c", f"{helper}=", "-c", f"{helper}={_HELPER}"],
        {
            "DVC_STUDIO_MODELS_GIT_USER": unquote(parts.username or ""),
            "DVC_STUDIO_MODELS_GIT_PASSWORD": unquote(parts.password),
        },
    )


def _run_watched(
    command: Sequence[str],
    folder: Path,
    *,
    patience: Patience,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """Run Git in a mirror, or beside it while there is none, and return its output.

    Raises:
        KilledGitError: It was silent, took too long or wrote too much.
        UnreadableRepoError: It failed.
    """
    bare = {"GIT_DIR": os.fspath(folder)} if (folder / "HEAD").exists() else {}
    process = start(
        command, cwd=folder, protocols=FETCH_PROTOCOLS, variables={**variables, **bare}
    )
    is_done = False
    try:
        out, err = _read_all(process, folder, patience)
        is_done = True
    finally:
        stop(process, is_done=is_done)
    if process.returncode:
        raise UnreadableRepoError(os.fspath(folder), remote_reason(err))
    return out


def _read_all(
    process: subprocess.Popen[bytes], folder: Path, patience: Patience
) -> tuple[bytes, bytes]:
    """Read output and errors until Git ends; what ssh leaves running may keep both."""
    assert process.stdout  # noqa: S101 - it is a pipe
    assert process.stderr  # noqa: S101 - so is that
    out, err = process.stdout.fileno(), process.stderr.fileno()
    read = {out: bytearray(), err: bytearray()}
    poll = select.poll()
    for number in read:
        poll.register(number, select.POLLIN)
    clock = _Clock(patience)
    while True:
        has_ended = process.poll() is not None
        ready = poll.poll(0 if has_ended else _LOOK_S * 1000)
        if has_ended and not ready:
            return bytes(read[out]), bytes(read[err])
        for number, _ in ready:
            clock.restart()
            piece = os.read(number, _CHUNK_BYTES)
            read[number] += piece
            if not piece:
                poll.unregister(number)
        del read[err][:-_ERROR_BYTES]
        if reason := clock.exceeded() or _excess(read[out]):
            raise KilledGitError(os.fspath(folder), reason)


def _excess(out: bytearray) -> str | None:
    """Return that there is too much output, in a few words; None if there is not."""
    if len(out) <= MAX_LISTING_BYTES:
        return None
    return f"the list of its refs is longer than {MAX_LISTING_BYTES >> 20} MiB"
