"""Reads a repository by running the ``git`` program.

Git knows all its formats: packed and loose refs, reftable, SHA-256, alternates, partial
and sparse clones, worktrees. Each call has a time limit and ends with us. In a partial
clone Git fetches missing objects over the network, unless the repository's own config
names a program that this would run.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    ForeignRepoError,
    NotGitRepoError,
    UnreadableRepoError,
)
from dvc_studio_models.registry.git.parsing import (
    own_settings,
    parse_config,
    parse_setting,
    reason_of,
    split_objects,
)
from dvc_studio_models.registry.git.process import (
    FETCH_PROTOCOLS,
    FETCH_S,
    SILENT_S,
    RunningObjects,
    run,
    start,
    stop,
)
from dvc_studio_models.registry.git.reader import (
    NO_OID,
    GitObject,
    check_ref_folders,
    check_unborn,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_READS_OBJECTS = {"cat-file", "ls-files"}
"""Commands that may need missing objects: ``ls-files`` reads ``.gitignore`` files."""

_PATHS = 1000
"""The most paths that one command gets."""

_USAGE = 129
"""The exit code of Git for an unknown option."""

_NAMES_A_PROGRAM = re.compile(
    r"core\.(?:alternaterefscommand|askpass|gitproxy|sshcommand)"
    r"|credential\.(?:.*\.)?helper|remote\..*\.(?:receivepack|uploadpack|vcs)",
    re.IGNORECASE,
)
"""Settings that name programs which ``git fetch`` runs."""


class ProgramReader:
    """One repository; see :class:`dvc_studio_models.registry.git.reader.GitReader`."""

    def __init__(
        self, git: str, location: Sequence[str], *, root: Path | None, common_dir: Path
    ) -> None:
        """Store where the repository is.

        Args:
            git: Path of the program.
            location: Arguments that select the repository.
            root: Of the working tree, if there is one.
            common_dir: Where the refs are.
        """
        self._git = git
        self._location = tuple(location)
        self.root = root
        self.common_dir = common_dir

    @classmethod
    def find(cls, git: str, folder: Path, *, trusted: bool) -> ProgramReader:
        """Find the repository that a folder is in, see :func:`open_reader`."""
        if not folder.is_dir():
            raise NotGitRepoError(os.fspath(folder))
        folder = folder.absolute()
        location = ["-C", os.fspath(folder)]
        if trusted:  # with '--git-dir', Git does not check the owner
            folder, named = _find_git_dir(folder)
            location = [f"--git-dir={named}"]
        output = run(
            [
                *(
                    git,
                    *location,
                    "rev-parse",
                    "--is-bare-repository",
                    "--git-common-dir",
                ),
                *("--absolute-git-dir", "--show-toplevel"),
            ],
            cwd=folder,
            codes={0, 128},
        )
        lines = os.fsdecode(output.out).removesuffix("\n").split("\n")
        if len(lines) < 3:  # noqa: PLR2004 - nothing was found
            raise _no_repo(folder, output.err)
        has_top = b"fatal: " not in output.err
        if len(lines) != (4 if has_top else 3):
            reason = "its path contains a line break"
            raise UnreadableRepoError(os.fspath(folder), reason)
        is_bare, common_dir, git_dir = lines[:3]
        common = Path(os.path.normpath(folder / common_dir))
        if is_bare == "true" or (trusted and named == folder):
            return cls(git, [f"--git-dir={git_dir}"], root=None, common_dir=common)
        if not has_top:
            raise NotGitRepoError(os.fspath(folder), "inside the folder '.git'")
        top = Path(lines[3])
        if trusted:
            location = [f"--git-dir={git_dir}", f"--work-tree={top}"]
            return cls(git, location, root=top, common_dir=common)
        return cls(git, [], root=top, common_dir=common)

    # Refs

    def tags(self) -> list[tuple[str, str]]:
        """List the tags by name."""
        return self.refs("refs/tags")

    def refs(self, folder: str) -> list[tuple[str, str]]:
        """List the refs in a folder, also broken ones."""
        check_ref_folders(self.common_dir, folder)
        fields = "--format=%(objectname) %(refname:strip=2)"
        output = run([*self._command, "for-each-ref", fields, folder], cwd=self._cwd)
        lines = os.fsdecode(output.out).split("\n")  # names may have other line breaks
        pairs = (line.split(" ", 1) for line in lines if line)
        broken = re.findall(
            rb"ignoring broken ref %s/(.+)" % folder.encode(), output.err
        )
        found = [(name, oid) for oid, name in pairs]
        return found + [(os.fsdecode(name), NO_OID) for name in broken]

    def head(self) -> str | None:
        """Return the commit of HEAD."""
        output = self._git_output(
            *("rev-parse", "--quiet", "--verify", "HEAD^{commit}"), codes={0, 1, 128}
        )
        if not output:
            check_unborn(self, self._current_branch(codes={0, 1, 128}))
        return output.decode().strip() or None

    def current_branch(self) -> str | None:
        """Return the name of the branch that is checked out."""
        return self._current_branch(codes={0, 1})

    def _current_branch(self, *, codes: Iterable[int]) -> str | None:
        output = self._git_output("symbolic-ref", "--quiet", "HEAD", codes=codes)
        return os.fsdecode(output).strip().removeprefix("refs/heads/") or None

    # Objects

    @contextlib.contextmanager
    def objects(self) -> Iterator[RunningObjects]:
        """Open the objects."""
        process = start(
            [*self._command, "cat-file", "--batch"],
            cwd=self._cwd,
            protocols=self._protocols,
        )
        try:
            yield RunningObjects(
                process,
                repo=os.fspath(self._cwd),
                silent_s=FETCH_S if self._is_partial else SILENT_S,
                is_partial=self._is_partial,
            )
        finally:
            stop(process)

    def kinds(self, oids: Sequence[str]) -> list[str | None]:
        """Return the kind of each object."""
        listed = self._git_output(
            "cat-file", "--batch-check=%(objecttype)", stdin="\n".join(oids)
        )
        lines = listed.decode().splitlines()
        return [None if line.endswith(" missing") else line for line in lines]

    def read_all(self, oids: Sequence[str]) -> list[GitObject | None]:
        """Read many small objects at once."""
        content = self._git_output("cat-file", "--batch", stdin="\n".join(oids))
        return list(split_objects(content))

    def has_replacements(self) -> bool:
        """Whether objects were replaced."""
        return bool(self._git_output("for-each-ref", "--count=1", "refs/replace"))

    def find_signature_problem(self, oid: str) -> str | None:
        """Verify the signature of a tag."""
        settings = self._read_config()
        if settings is None:
            return "Git 2.26 or later is needed to verify signatures"
        from dvc_studio_models.registry.git.signatures import find_signature_problem

        return find_signature_problem(self._command, self._cwd, oid, settings)

    # The clone

    def config(self) -> list[tuple[str, str]]:
        """List the settings."""
        scoped = self._read_config()
        if scoped is None:
            return parse_config(self._git_output("config", "-z", "--list"))
        self._own_config = own_settings(scoped)
        return [setting for _, setting in scoped]

    def _read_config(self) -> list[tuple[str, tuple[str, str]]] | None:
        """List the settings with their scopes; None for Git before 2.26."""
        output = self._git_output(
            *("config", "--show-scope", "-z", "--list"), codes={0, _USAGE}
        )
        words = os.fsdecode(output).split("\0")
        pairs = zip(words[::2], words[1::2], strict=False)
        return (
            [(scope, parse_setting(entry)) for scope, entry in pairs]
            if output
            else None
        )

    def remote_url(self, name: str) -> str | None:
        """Return a remote's URL."""
        output = self._git_output("remote", "get-url", "--", name, codes={0, 2, 128})
        return os.fsdecode(output).partition("\n")[0] or None

    def tracked(self, paths: Iterable[str] | None) -> set[str]:
        """List what the index has at, above or below the top folder of each path."""
        if paths is None:
            return set(self._files("ls-files", "-z"))
        tops = sorted({path.partition("/")[0] for path in paths})
        return set(self._files("ls-files", "-z", "--", *tops)) if tops else set()

    def untracked(self, paths: Iterable[str], *, in_any_case: bool = False) -> set[str]:
        """List the files at or below paths that Git neither tracks nor ignores."""
        which = ("ls-files", "-z", "--others", "--exclude-standard", "--")
        magic = ":(top,literal,icase)" if in_any_case else ":(top,literal)"
        paths = [magic + path for path in sorted(paths)]
        batches = [paths[at : at + _PATHS] for at in range(0, len(paths), _PATHS)]
        return {
            path
            for batch in batches
            for path in self._files(*which, *batch, literal=False)
        }

    def find_files(self, *names: str) -> list[str]:
        """Find files of the working tree that Git does not ignore."""
        patterns = [f":(glob,top)**/{name}" for name in names]
        which = ("--cached", "--others", "--exclude-standard")
        try:
            return self._files("ls-files", "-z", *which, "--", *patterns, literal=False)
        except UnreadableRepoError:
            if not self._is_partial:
                raise
        # A `.gitignore` is missing, so only tracked files can be listed.
        return self._files("ls-files", "-z", "--", *patterns, literal=False)

    def _files(self, *args: str, literal: bool = True) -> list[str]:
        before = ["--literal-pathspecs"] if literal else []
        listed = os.fsdecode(self._git_output(*args, before=before))
        return sorted({path for path in listed.split("\0") if path})

    # Running Git

    def _git_output(
        self,
        *args: str,
        stdin: str = "",
        codes: Iterable[int] = (0,),
        before: Sequence[str] = (),
    ) -> bytes:
        return run(
            [*self._command, *before, *args],
            cwd=self._cwd,
            stdin=stdin,
            codes=codes,
            protocols=self._protocols if args[0] in _READS_OBJECTS else None,
        ).out

    @property
    def _command(self) -> list[str]:
        return [self._git, *self._location]

    @property
    def _cwd(self) -> Path:
        return self.root or self.common_dir

    @functools.cached_property
    def _own_config(self) -> list[tuple[str, str]]:
        """The repository's own settings, without the user's and the machine's."""
        if scoped := self._read_config():
            return own_settings(scoped)
        found = []
        for scope in ("--local", "--worktree"):
            output = self._git_output(
                *("config", scope, "--includes", "-z", "--list"), codes={0, 1, 128}
            )
            found += parse_config(output)
        return found

    @functools.cached_property
    def _is_partial(self) -> bool:
        """Whether this is a partial clone, whose remote has more objects."""
        return any(
            key == "extensions.partialclone" or key.endswith(".promisor")
            for key, _ in self._own_config
        )

    @functools.cached_property
    def _protocols(self) -> str | None:
        """The protocols by which Git may fetch missing objects."""
        if not self._is_partial:
            return None
        has_program = any(
            _NAMES_A_PROGRAM.fullmatch(key) for key, _ in self._own_config
        )
        return None if has_program else FETCH_PROTOCOLS


def _find_git_dir(folder: Path) -> tuple[Path, Path]:
    """Find the repository at or around a folder, whoever owns it.

    Returns:
        The working tree's root, or the folder itself, and Git's folder or file.
    """
    if (folder / "HEAD").is_file() and (folder / "objects").is_dir():
        return folder, folder
    for place in (folder, *folder.parents):
        if (place / ".git").exists():
            return place, place / ".git"
    return folder, folder


def _no_repo(folder: Path, err: bytes) -> NotGitRepoError | UnreadableRepoError:
    if b"not a git repository" in err:
        return NotGitRepoError(os.fspath(folder))
    if named := re.search(rb"dubious ownership in repository at '(.+)'", err):
        return ForeignRepoError(os.fsdecode(named[1]))
    return UnreadableRepoError(os.fspath(folder), reason_of(err))
