"""Completion as a user has it: the printed script, in real shells on a terminal."""

from __future__ import annotations

import contextlib
import functools
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, TypeAlias

import psutil
import pytest
from environments import DVC
from projects import Project, copy_project, git

from dvc_studio_models.registry.git.open import open_reader
from dvc_studio_models.registry.gto.tags import read_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Terminals: TypeAlias = Callable[[str], "Terminal"]


TAB, ALL, DUMP, CLEAR = "\t", "\x18a", "\x18d", "\x15"
COMMANDS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
}
SETUPS = {
    "bash": r"""
        PS1=; source {script}; bind 'set enable-bracketed-paste off'
        bind '"\C-xa": insert-completions'
        bind -x '"\C-xd": printf "<<%s>>" "$READLINE_LINE"'
    """,
    "zsh": r"""
        fpath=({folder} $fpath); autoload -Uz compinit && compinit -u -D
        unsetopt auto_menu; bindkey '^I' complete-word
        zle -C all complete-word _generic; bindkey '^Xa' all
        zstyle ':completion:all::::' completer _all_matches
        zstyle ':completion:all:*' old-matches only
        dump() {{ print -rn -- "<<$BUFFER>>" }}; zle -N dump; bindkey '^Xd' dump
    """,
}
SHELLS = list(COMMANDS)


@pytest.fixture(scope="session")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Print each shell's script once, where zsh looks for it."""
    folder = tmp_path_factory.mktemp("completion")
    env = {**os.environ, "DVC_NO_ANALYTICS": "1", "HOME": str(folder)}
    scripts = {"bash": folder / "dvc.bash", "zsh": folder / "_dvc"}
    for shell, path in scripts.items():
        with path.open("wb") as out:
            command = [DVC, "completion", "-s", shell]
            subprocess.run(command, stdout=out, env=env, check=True)
    return scripts


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path_factory.mktemp("tagged") / "project").repo


@pytest.fixture
def history(tmp_path: Path) -> Project:
    """Three empty commits on main, nothing else."""
    project = Project(tmp_path / "history")
    project.repo.mkdir(parents=True)
    git(project.repo, "init", "--quiet", "--initial-branch", "main")
    for message in ("one", "two", "three"):
        git(project.repo, "commit", "--quiet", "--allow-empty", "--message", message)
    return project


class Terminal:
    """An interactive shell that has loaded its script."""

    def __init__(self, shell: str, script: Path, folder: Path) -> None:
        command = COMMANDS[shell]
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            try:
                os.chdir(folder)
                os.execvpe(command[0], command, {**os.environ, "TERM": "dumb"})
            finally:  # this copy of pytest must not go on
                os._exit(127)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self.close)
            self._type(SETUPS[shell].format(script=script, folder=script.parent))
            self._type("\nprintf '%s%s\\n' re ady\n")
            self._read(rb"ready")
            on_failure.pop_all()

    def press(self, keys: str) -> str:
        """Press keys on a new line, and give the line as it stands then."""
        self._type(f"{CLEAR}{keys}{DUMP}")
        return self._read(rb"<<(.*)>>").decode()

    def close(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._fd)

    def _type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def _read(self, pattern: bytes) -> bytes:
        seen = b""
        until = time.monotonic() + 20
        while time.monotonic() < until:
            if select.select([self._fd], [], [], 0.1)[0]:
                seen += os.read(self._fd, 1 << 16)
            if found := re.search(pattern, seen):
                return found[found.re.groups]
        pytest.fail(f"the shell did not answer: {seen!r}")


@pytest.fixture(scope="module")
def terminals(scripts: dict[str, Path], repo: Path) -> Iterator[Terminals]:
    """Start each shell once, in the repo."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def start(shell: str) -> Terminal:
            terminal = Terminal(shell, scripts[shell], repo)
            return stack.enter_context(contextlib.closing(terminal))

        yield start


def ask(script: Path, folder: Path, code: str) -> str:
    """Run code in bash with the script loaded; nothing may be said on stderr."""
    done = subprocess.run(
        ["bash", "--norc", "-c", f"source {shlex.quote(str(script))}; {code}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


# -- at the terminal


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        pytest.param("ch", "churn ", id="a model"),
        pytest.param("serv", "services/fraud:fraud ", id="a model of a folder"),
        pytest.param("services/fraud:", "services/fraud:fraud ", id="after its colon"),
        pytest.param("churn@", "churn@v", id="what all versions have"),
        pytest.param("churn@v1", "churn@v1.0.0 ", id="a version"),
        pytest.param(
            "services/fraud:fraud@", "services/fraud:fraud@v1.0.0 ", id="its version"
        ),
        pytest.param("churn#p", "churn#prod ", id="a stage"),
        pytest.param("--stage p", "--stage prod ", id="a stage's option"),
        pytest.param("churn --stage d", "churn --stage dev ", id="after a model"),
        pytest.param("bert --stage ", "bert --stage ", id="a model without stages"),
        pytest.param("--version v2", "--version v2.0.0 ", id="a version's option"),
        pytest.param(
            "services/fraud:fraud --rev ",
            "services/fraud:fraud --rev v1.0.0 ",
            id="the named model's only version",
        ),
        pytest.param("nothing", "nothing", id="no such model"),
    ],
)
def test_tab_completes(
    terminals: Terminals, shell: str, typed: str, completed: str
) -> None:
    line = terminals(shell).press(f"dvc models pull {typed}{TAB}")

    # zsh escapes what may be a pattern
    assert line.replace("\\#", "#") == f"dvc models pull {completed}"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        pytest.param(
            "services/fraud:fraud b", "services/fraud:fraud bert ", id="a second"
        ),
        pytest.param("churn bert serv", "churn bert services/fraud:fraud ", id="third"),
        pytest.param("--force churn bert@v2", "--force churn bert@v2.0.0 ", id="last"),
        pytest.param("churn --stage p", "churn --stage prod ", id="an option after"),
    ],
)
def test_every_model_of_a_line_is_completed(
    terminals: Terminals, shell: str, typed: str, completed: str
) -> None:
    line = terminals(shell).press(f"dvc models pull {typed}{TAB}")

    assert line == f"dvc models pull {completed}"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("command", "count"),
    [
        ("pull", 2),
        ("status", 2),
        ("show", 2),
        ("update", 2),
        ("diff", 2),
        ("cache ls", 2),
        ("cache verify", 2),
    ],
)
def test_every_command_completes_its_models(
    terminals: Terminals, shell: str, command: str, count: int
) -> None:
    words = " ".join(["churn"] * (count - 1))
    line = terminals(shell).press(f"dvc models {command} {words} ber{TAB}")

    assert line == f"dvc models {command} {words} bert "


@pytest.mark.parametrize("shell", SHELLS)
def test_files_are_completed_where_a_file_is_asked_for(
    terminals: Terminals, shell: str
) -> None:
    line = terminals(shell).press(f"dvc models which dvc.y{TAB}")

    assert line == "dvc models which dvc.yaml "


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        pytest.param("", {"bert", "churn", "services/fraud:fraud"}, id="models"),
        pytest.param("churn#", {"churn#dev", "churn#prod"}, id="stages of a model"),
        pytest.param("--stage ", {"--stage", "dev", "prod"}, id="all stages"),
    ],
)
def test_all_are_offered(
    terminals: Terminals, shell: str, typed: str, offered: set[str]
) -> None:
    listed = TAB * 2 if shell == "zsh" else ""  # which inserts what it has listed
    line = terminals(shell).press(f"dvc models pull {typed}{listed}{ALL}")

    assert set(line.replace("\\#", "#").split()[3:]) == offered


@pytest.mark.parametrize("shell", SHELLS)
def test_a_subfolder_has_the_same_models(
    scripts: dict[str, Path], repo: Path, shell: str
) -> None:
    terminal = Terminal(shell, scripts[shell], repo / "services")
    with contextlib.closing(terminal):
        line = terminal.press(f"dvc models pull ch{TAB}")

    assert line == "dvc models pull churn "


def test_a_terminal_without_a_shell_leaves_no_process(
    scripts: dict[str, Path], tmp_path: Path
) -> None:
    before = psutil.Process().children()

    with pytest.raises(OSError, match="Input/output error"):
        Terminal("bash", scripts["bash"], tmp_path / "missing")

    assert psutil.Process().children() == before


# -- as the shell calls it


CALL = """
complete_line() {
  COMP_LINE=$1 COMP_POINT=${#1}
  read -r -a COMP_WORDS <<<"$1"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  _shtab_dvc
}
"""


@pytest.mark.parametrize(
    ("line", "answer"),
    [("ch", "churn"), ("churn@v1", "@v1.0.0"), ("--stage p", "prod")],
)
def test_an_answer_starts_neither_python_nor_dvc(
    scripts: dict[str, Path], repo: Path, tmp_path: Path, line: str, answer: str
) -> None:
    """They take half a second; git and awk, which are all there is, take 10 ms."""
    for command in ("git", "awk"):
        (tmp_path / command).symlink_to(str(shutil.which(command)))
    code = f"""{CALL}
    PATH={shlex.quote(str(tmp_path))}
    complete_line {shlex.quote(f"dvc models pull {line}")}
    printf %s "${{COMPREPLY[*]}}"
    """

    assert ask(scripts["bash"], repo, code) == answer


@pytest.mark.parametrize("cancelled", [[], ["model1@v1.0.0!"]], ids=["", "cancelled"])
@pytest.mark.parametrize("line", ["mod", "model1@v", "--stage p", "--version v1"])
def test_many_tags_are_read_at_once_and_their_dates_only_if_they_matter(
    scripts: dict[str, Path],
    history: Project,
    tmp_path: Path,
    line: str,
    cancelled: list[str],
) -> None:
    """A process takes milliseconds, so none may be started for each tag."""
    tags = [f"model{n}@v1.{at}.0" for n in range(10) for at in range(20)]
    tags += [f"model{n}#prod" for n in range(10)] + cancelled
    for tag in tags:
        history.tag(tag)
    log = tmp_path / "log"
    for command in ("git", "awk"):
        program = tmp_path / command
        program.write_text(
            f'#!/bin/sh\necho {command} >>{log}\nexec {shutil.which(command)} "$@"\n'
        )
        program.chmod(0o755)
    code = f"""{CALL}
    PATH={shlex.quote(str(tmp_path))}
    complete_line {shlex.quote(f"dvc models pull {line}")}
    printf %s "${{COMPREPLY[*]}}"
    """

    assert ask(scripts["bash"], history.repo, code)
    assert sorted(log.read_text().split()) == [
        "awk",
        "git",
        *(["git"] * len(cancelled)),
    ]


@pytest.mark.parametrize("word", ["", "c", "churn@", "churn#"])
def test_outside_a_repo_nothing_is_offered_or_said(
    scripts: dict[str, Path], tmp_path: Path, word: str
) -> None:
    line = f"dvc models pull {word}"
    code = f"{CALL} complete_line '{line}'; printf %s \"${{COMPREPLY[*]}}\""

    assert ask(scripts["bash"], tmp_path, code) == ("pull" if not word else "")


def test_no_tag_can_run_a_command(scripts: dict[str, Path], history: Project) -> None:
    for name in ("$(touch${IFS}pwned)@v1.0.0", "`touch${IFS}pwned`#prod", "a;b@v1.0.0"):
        history.tag(name)
    history.tag("good@v1.0.0-$(touch${IFS}pwned)")
    history.tag("good#$(touch${IFS}pwned)")
    history.tag("good@v1.0.0")

    code = f"""{CALL}
    for word in '' '--stage ' '--version ' 'good@' 'good#' '`' '$'; do
      complete_line "dvc models pull ${{word}}x"
      COMP_LINE="dvc models pull $word" COMP_POINT=99
      _dvc_models_compgen_models ''
    done"""

    assert set(ask(scripts["bash"], history.repo, code).split()) == {"good", "@v1.0.0"}
    assert not list(history.repo.glob("pwned*"))


# -- what counts


HISTORIES: dict[str, list[tuple[str, str]]] = {
    "a version": [("a@v1.0.0", "main")],
    "a prerelease": [("a@v1.0.0-rc.1+x-2", "main")],
    "no SemVer": [("a@1.0.0", "main"), ("a@v1.0", "main"), ("b@v1.0.0", "main")],
    "with a counter": [("a@v1.0.0#1", "main"), ("a#prod#2", "main")],
    "without a counter": [("a@v1.0.0", "main"), ("a#prod", "main")],
    "a stage of digits": [("a@v1.0.0", "main"), ("a#1", "main"), ("a#2#3", "main")],
    "deregistered": [
        ("a@v1.0.0", "main"),
        ("a@v2.0.0", "main~1"),
        ("a@v1.0.0!", "main"),
    ],
    "registered again": [
        ("a@v1.0.0#1", "main"),
        ("a@v1.0.0!#2", "main"),
        ("a@v1.0.0#3", "main"),
    ],
    "nothing left": [("a@v1.0.0", "main"), ("a@v1.0.0!", "main")],
    "unassigned": [
        ("a@v1.0.0", "main"),
        ("a#prod#1", "main"),
        ("a#dev#2", "main"),
        ("a#prod!#3", "main"),
    ],
    "assigned again": [
        ("a@v1.0.0", "main"),
        ("a#prod#1", "main"),
        ("a#prod!#2", "main"),
        ("a#prod#3", "main"),
    ],
    "unassigned at one commit of two": [
        ("a@v1.0.0", "main~1"),
        ("a@v2.0.0", "main"),
        ("a#prod#1", "main~1"),
        ("a#prod#2", "main"),
        ("a#prod!#3", "main"),
    ],
    "a stage of a deregistered version": [
        ("a@v1.0.0", "main"),
        ("a#prod#1", "main"),
        ("a@v1.0.0!#2", "main"),
    ],
    "a stage without a version": [("a#prod#1", "main")],
    "deprecated": [
        ("a@v1.0.0", "main"),
        ("b@v1.0.0", "main"),
        ("a#prod", "main"),
        ("a@deprecated", "main"),
    ],
    "deprecated and revived": [
        ("a@v1.0.0", "main"),
        ("a@deprecated", "main"),
        ("a@v2.0.0", "main~1"),
    ],
    "folders": [("x/y=a@v1.0.0", "main"), ("x/y=a#prod", "main"), ("a@v2.0.0", "main")],
    "names within names": [("a@v1.0.0", "main"), ("a/a@v2.0.0", "main")],
    "other tags": [("v1.0.0", "main"), ("release", "main")],
}


@pytest.mark.parametrize("tags", HISTORIES.values(), ids=HISTORIES.keys())
def test_the_shell_counts_tags_as_gto_does(
    scripts: dict[str, Path], history: Project, tags: list[tuple[str, str]]
) -> None:
    for name, rev in tags:
        history.tag(name, rev)

    assert offered_by_shell(scripts["bash"], history.repo) == counted_by_gto(
        history.repo
    )


def test_a_lightweight_tag_does_not_count(
    scripts: dict[str, Path], history: Project
) -> None:
    git(history.repo, "tag", "a@v1.0.0")
    history.tag("b@v1.0.0")

    assert offered_by_shell(scripts["bash"], history.repo) == {"b", "b@v1.0.0"}


def test_the_user_s_git_settings_do_not_matter(
    scripts: dict[str, Path], history: Project
) -> None:
    history.tag("a@v1.0.0")
    history.tag("b@v1.0.0")
    for setting in ("column.ui", "color.ui"):
        git(history.repo, "config", setting, "always")
    git(history.repo, "config", "tag.sort", "-version:refname")

    script = scripts["bash"]
    offered = ask(script, history.repo, "export COLUMNS=300; _dvc_models_list names")

    assert sorted(offered.split()) == ["a", "b"]


def offered_by_shell(script: Path, folder: Path) -> set[str]:
    code = """
    for name in $(_dvc_models_list names); do
      echo "$name"
      _dvc_models_list @ "$name"
      _dvc_models_list '#' "$name"
    done"""
    return set(ask(script, folder, code).split())


def counted_by_gto(folder: Path) -> set[str]:
    models = read_registry(open_reader(folder)).models
    words = set()
    for model in models:
        refs = {f"{model.name}@{version.version}" for version in model.versions}
        refs |= {f"{model.name}#{stage}" for stage in model.stages}
        words |= refs | ({model.name} if refs else set())
    return words
