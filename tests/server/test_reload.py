"""A running server takes up a changed ``serve.yaml``, unless that is bad."""

from __future__ import annotations

import gc
import hashlib
import itertools
import os
import re
import signal
import subprocess
import sys
import weakref
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import pytest
import requests
from environments import ROOT
from needs import need_proc, need_program
from projects import TOKEN, Project, git
from servers import wait_until

from dvc_studio_models.server.config.file import ConfigFile
from dvc_studio_models.server.config.values import TokenConfig
from dvc_studio_models.server.site.reload import Reloader
from dvc_studio_models.server.site.site import Site
from tests.server.api import TIMEOUT_S, ask
from tests.server.test_workers import Serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OTHER = "another-token"
AGAIN = "the config was read again"
DOCS = ROOT / "docs"


def sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def config(*repos: Path, token: str = TOKEN) -> str:
    """Return a ``serve.yaml`` with these repos, named as their folders."""
    lines = "".join(f"- name: {each.stem}\n  path: {each}\n" for each in repos)
    tokens = f"tokens:\n- name: tests\n  sha256: {sha256(token)}\n"
    return f"listen: 127.0.0.1:0\nrepos:\n{lines}{tokens}"


def save(file: Path, text: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o600)
    new.replace(file)


class Server:
    """``dvc models serve --config`` as a process."""

    def __init__(
        self,
        folder: Path,
        text: str,
        args: tuple[str, ...] = (),
        trace: tuple[str, ...] = (),
    ) -> None:
        self.file = folder / "serve.yaml"
        self.write(text)
        self._errors, self._output = folder / "stderr", folder / "stdout"
        args = args or ("--config", str(self.file))
        command = ("-m", "dvc_studio_models", "serve", *args)
        with self._errors.open("w") as errors, self._output.open("w") as output:
            self.process = subprocess.Popen(
                [*trace, sys.executable, *command], stdout=output, stderr=errors
            )
        wait_until(lambda: self._find_url() or self.has_ended, timeout_s=TIMEOUT_S)
        self.url = self._find_url()
        assert self.url, self.errors

    def _find_url(self) -> str:
        """Return where it serves; lines about repos may come before."""
        return "".join(re.findall(r"^Serving .* at (http\S+)\n", self.output, re.M))

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def write(self, text: str) -> None:
        save(self.file, text)

    def status(self, repo: str, token: str = TOKEN) -> int:
        return ask(self.url, repo=repo, name="churn", token=token).status_code

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def hang_up(self) -> None:
        """Send SIGHUP, and wait until the config was read again."""
        before = self.said
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.said != before, timeout_s=TIMEOUT_S)

    @property
    def said(self) -> int:
        """How often the server has said what became of its config."""
        text = self.output + self.errors
        return sum(text.count(each) for each in (AGAIN, "stays in use"))


@pytest.fixture
def server(project: Project, tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, config(project.bare))
    yield server
    server.stop()


def test_a_new_repo_is_served_when_the_file_changes(
    server: Server, project: Project
) -> None:
    assert server.status("repo") == 404

    server.write(config(project.bare, project.repo))
    wait_until(lambda: server.status("repo") == 200, timeout_s=TIMEOUT_S)

    assert server.status("models") == 200


class EndOfTestError(Exception):
    """Ends the watcher."""


class Waits:
    """In place of the queue of requests: none comes, but something else happens."""

    def __init__(self, *meanwhile: Callable[[], object]) -> None:
        self.timeouts: list[float] = []
        self._meanwhile = iter(meanwhile)

    def get(self, timeout: float) -> None:
        self.timeouts.append(timeout)
        for happen in self._meanwhile:
            happen()
            raise Empty
        raise EndOfTestError


def test_a_change_counts_after_two_looks_which_takes_no_longer_than_the_docs_say(
    project: Project, tmp_path: Path
) -> None:
    """A change just after a look counts after two waits and the time to read it."""
    file, found = tmp_path / "serve.yaml", []
    save(file, config(project.bare))
    source = ConfigFile(file)
    site = Site(source.read())
    waits = Waits(
        lambda: found.append(site.config.tokens),
        lambda: save(file, config(project.bare, token=OTHER)),
        lambda: found.append(site.config.tokens),
        lambda: found.append(site.config.tokens),
    )
    with pytest.raises(EndOfTestError):
        Reloader(source, waits)._work(site)

    tokens = (TokenConfig.of(TOKEN, "tests"),), (TokenConfig.of(OTHER, "tests"),)
    assert found == [tokens[0], tokens[0], tokens[1]]
    promised_s = promised_seconds("tokens.md") | promised_seconds("serve-config.md")
    assert sum(waits.timeouts[1:3]) <= min(promised_s) / 2  # the rest is for reading it


def promised_seconds(page: str) -> set[float]:
    found = re.findall(r"within (a|[0-9.]+) seconds?", (DOCS / page).read_text())
    assert found, page
    return {1.0 if number == "a" else float(number) for number in found}


def test_a_file_that_is_still_written_is_read_when_it_has_come_to_rest(
    project: Project, tmp_path: Path
) -> None:
    file, found = tmp_path / "serve.yaml", []
    save(file, config(project.bare))
    source = ConfigFile(file)
    site = Site(source.read())
    waits = Waits(
        lambda: save(file, config(project.bare, token="first-token")),
        lambda: save(file, config(project.bare, token=OTHER)),
        lambda: found.append(site.config.tokens),
        lambda: found.append(site.config.tokens),
    )
    with pytest.raises(EndOfTestError):
        Reloader(source, waits)._work(site)

    tokens = (TokenConfig.of(TOKEN, "tests"),), (TokenConfig.of(OTHER, "tests"),)
    assert found == [*tokens]


@pytest.mark.parametrize("workers", [1, 2])
def test_each_process_reads_a_changed_file_after_two_looks(
    project: Project, tmp_path: Path, workers: int
) -> None:
    need_program("strace")
    text, log = f"workers: {workers}\n", tmp_path / "calls"
    calls = ("-e", "trace=?stat,?newfstatat,?statx,?open,?openat", "-e", "signal=none")
    path = ("-P", str(tmp_path / "serve.yaml"))
    # With -D, the process that is stopped is the server, not strace.
    trace = ("strace", "-D", "-f", "-qq", "-v", *calls, *path, "-o", str(log))
    server = Server(tmp_path, text + config(project.bare), trace=trace)
    try:
        wait_until(lambda: len(watchers(log)) == workers, timeout_s=TIMEOUT_S)
        threads = watchers(log)
        server.write(text + config(project.bare, token=OTHER))
        inode = f"st_ino={server.file.stat().st_ino},"
        wait_until(lambda: not watchers(log) & threads, timeout_s=TIMEOUT_S)
    finally:
        server.stop()

    calls_by_thread = calls_of_threads(log)
    for thread in threads:
        before = itertools.takewhile(is_look, calls_by_thread[thread])
        # and once more just before it is read, as it might change meanwhile
        assert sum(inode in call for call in before) == 2 + 1


def watchers(log: Path) -> set[str]:
    """Return the threads that look at the file, and have not opened it."""
    calls = calls_of_threads(log)
    return {thread for thread in calls if all(map(is_look, calls[thread]))}


def calls_of_threads(log: Path) -> dict[str, list[str]]:
    calls: dict[str, list[str]] = {}
    for line in log.read_text().splitlines():
        thread, _, call = line.partition(" ")
        calls.setdefault(thread, []).append(call.lstrip())
    return calls


def is_look(call: str) -> bool:
    return not call.startswith("open")


def test_a_hangup_makes_the_server_read_its_config_again(
    server: Server, project: Project
) -> None:
    times = server.file.stat()
    server.write(config(project.bare, token=OTHER))
    os.utime(server.file, ns=(times.st_atime_ns, times.st_mtime_ns))
    server.hang_up()

    assert server.status("models") == 401
    assert server.status("models", OTHER) == 200


def test_a_hangup_in_the_middle_of_a_start_does_not_end_the_server(
    project: Project, tmp_path: Path
) -> None:
    need_proc()
    file, output = tmp_path / "serve.yaml", tmp_path / "stdout"
    save(file, config(project.bare))
    command = [sys.executable, "-m", "dvc_studio_models", "serve", "--config", file]
    with output.open("w") as log, subprocess.Popen(command, stdout=log) as process:
        maps = Path(f"/proc/{process.pid}/maps")
        # The server is being imported now.
        wait_until(lambda: "/_asyncio." in maps.read_text(), timeout_s=TIMEOUT_S)
        process.send_signal(signal.SIGHUP)
        url = Serving(process, output).url
        process.terminate()

    assert (bool(url), process.returncode) == (True, 0)


def test_a_bad_config_is_reported_and_the_old_one_stays(
    server: Server, project: Project
) -> None:
    server.write(config(project.repo).replace("path:", "pfad:"))
    server.hang_up()

    assert f"{server.file}:4: repos[0].pfad: unknown key" in server.errors
    assert "The config before stays in use" in server.errors
    assert server.status("models") == 200
    assert not server.has_ended


def test_a_link_outlives_a_new_config(server: Server, project: Project) -> None:
    (link,) = ask(server.url, repo="models", name="churn").json().values()
    server.write(config(project.repo, project.bare))
    server.hang_up()

    assert requests.get(link, timeout=TIMEOUT_S).status_code == 200


def test_a_repo_that_is_not_there_is_left_out_until_it_is(
    project: Project, tmp_path: Path
) -> None:
    missing = project.root / "missing.git"
    server = Server(tmp_path, config(missing, project.bare))
    try:
        assert server.status("models") == 200
        assert server.status("missing") == 503
        assert f"'{missing}' is not a folder; it is not served" in server.errors

        project.bare.rename(missing)
        wait_until(lambda: server.status("missing") == 200, timeout_s=TIMEOUT_S)

        assert "the repo 'missing' is served now" in server.output
        assert "is served now" not in server.errors  # it is good news
    finally:
        server.stop()


def test_a_repo_whose_secret_is_missing_is_left_out_until_it_is_there(
    project: Project, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    lines = f"  credentials: {{password: {{file: {secret}}}}}\ntokens:"
    both = config(project.bare, project.repo)
    server = Server(tmp_path, both.replace("tokens:", lines))
    try:
        assert (server.status("models"), server.status("repo")) == (200, 503)
        assert f"the repo 'repo' is not served: cannot read '{secret}'" in server.errors

        secret.touch(0o600)
        secret.write_text("s3cret")
        wait_until(lambda: server.status("repo") == 200, timeout_s=TIMEOUT_S)

        assert "s3cret" not in server.errors
    finally:
        server.stop()


def test_no_auth_is_refused_where_others_can_connect(
    project: Project, tmp_path: Path
) -> None:
    listen = "listen: 0.0.0.0:0\nbehind_proxy: true"
    text = config(project.bare).replace("listen: 127.0.0.1:0", listen)
    server = Server(tmp_path, text)
    try:
        server.write(
            f"listen: 127.0.0.1:0\nno_auth: true\nrepos: [{{path: {project.bare}}}]"
        )
        server.hang_up()

        assert "'no_auth: true' and 'behind_proxy: true' cannot" in server.errors
        assert server.status("models", "no token") == 401
    finally:
        server.stop()


def test_what_only_counts_at_the_start_is_told(
    server: Server, project: Project
) -> None:
    server.write("expires: 60\n" + config(project.bare).replace("0.1:0", "0.1:1"))
    server.hang_up()

    assert "'listen' has changed: restart the server for it" in server.errors
    assert server.status("models") == 200


def test_tokens_of_a_token_file_count_without_a_restart(
    project: Project, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    tokens.touch(0o600)
    tokens.write_text(f"{TOKEN} ada\n")
    server = Server(
        tmp_path,
        "",
        ("--token-file", str(tokens), "--port", "0", f"models={project.bare}"),
    )
    try:
        assert server.status("models") == 200

        tokens.write_text(f"{OTHER} bob\n")
        wait_until(lambda: server.status("models") == 401, timeout_s=TIMEOUT_S)

        assert server.status("models", OTHER) == 200
    finally:
        server.stop()


def test_a_new_url_of_a_repo_is_known_after_a_hangup(
    server: Server, project: Project
) -> None:
    git(project.bare, "remote", "add", "origin", "git@h:team/renamed.git")
    assert server.status("https://h/team/renamed") == 404

    server.hang_up()

    assert server.status("https://h/team/renamed") == 200


def test_a_served_repo_that_is_gone_is_served_again_when_it_is_back(
    server: Server, project: Project
) -> None:
    saved = project.root / "saved.git"
    project.bare.rename(saved)
    gone = server.status("models")
    project.bare.mkdir()
    empty = server.status("models")
    project.bare.rmdir()
    git(project.root, "clone", "--quiet", "--mirror", str(saved), str(project.bare))

    assert (gone, empty) == (503, 503)
    assert server.status("models") == 200


def test_a_token_whose_repos_are_renamed_is_told_of_at_the_reload(
    server: Server, project: Project
) -> None:
    text = config(project.bare) + "  repos: [models]\n"
    server.write(text)
    wait_until(lambda: AGAIN in server.output + server.errors, timeout_s=TIMEOUT_S)
    before = server.errors
    server.write(text.replace("name: models", "name: renamed"))
    server.hang_up()

    refused = ask(server.url, repo="models", name="churn").json()["detail"]
    assert "no repo has the name" not in before
    assert "tokens[0].repos[0]: no repo has the name 'models'" in server.errors
    assert refused == "repo 'models' is not served; no repo is served that you may see"


def check(file: Path) -> subprocess.CompletedProcess[str]:
    command = ("serve", "--config", str(file), "--check-config")
    return subprocess.run(
        [sys.executable, "-m", "dvc_studio_models", *command],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_config_is_checked_without_serving(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    lines = config(project.bare, project.repo)
    roots = f"\n  roots: [{project.storage}]\n  path:"
    file.write_text(lines.replace("\n  path:", roots))

    done = check(file)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"'{file}' is valid: 2 repos\n"


def test_what_is_probably_not_meant_so_is_said_with_its_line(
    project: Project, tmp_path: Path
) -> None:
    other = project.clone(tmp_path / "other", origin="git@h:acme/other.git")
    (other / ".dvc/config.local").write_text("")
    config_file = other / ".dvc/config"
    place = project.storage / "inside"
    place.mkdir()
    config_file.write_text(config_file.read_text().replace("../../storage", str(place)))
    file = tmp_path / "serve.yaml"
    ended, globs = "  until: 2020-01-01\n", "  repos: [models, 'team-*']\n"
    text = config(project.bare, other).replace(
        "- name: other", "- name: other\n  aliases: [acme/other, acme/models]"
    )
    git(project.bare, "remote", "add", "origin", "git@h:acme/models.git")
    file.write_text(
        text.replace("acme/models]", "https://h/acme/models]") + ended + globs
    )

    done = check(file)

    lines = done.stderr.splitlines()
    assert done.returncode == 0
    assert done.stdout == f"'{file}' is valid: 2 repos\n"
    advice = "whose models its committers can have the server read: set 'roots' of"
    expected = [
        (3, "repos[0]: its DVC remote at", f"is also in a place of other, {advice}"),
        (5, "repos[1]: its DVC remote at", f"is also in a place of models, {advice}"),
        (5, "repos[1]: its alias 'h/acme/models' is also", "get only one of them"),
        (11, "tokens[0].until: this token has ended", ""),
        (12, "tokens[0].repos[1]: no repo has the name 'team-*'", ""),
    ]
    for line, (number, begin, rest) in zip(lines, expected, strict=True):
        assert line.startswith(f"WARNING: {file}:{number}: {begin}")
        assert rest in line


def test_a_url_of_two_mirrors_is_said_with_its_line(
    project: Project, tmp_path: Path
) -> None:
    file = tmp_path / "serve.yaml"
    mirrors = "".join(
        f"- name: {name}\n  url: {url}\n"
        for name, url in (
            ("one", "git@h:o/r.git"),
            ("other", "git@h:o/s.git"),
            ("two", "ssh://git@h/o/r"),
        )
    )
    text = config(project.bare).replace("repos:\n", f"repos:\n{mirrors}")
    file.write_text(f"data: {tmp_path}/data\n{text}")

    done = check(file)

    told = "'one' has the same URL: requests with it get only one of them"
    assert done.returncode == 0
    assert done.stderr == f"WARNING: {file}:9: repos[2].url: {told}\n"


@pytest.mark.parametrize(
    ("data", "what"),
    [("file", "'{}/file' is not a folder"), ("file/in", "'{}/file' is not a folder")],
)
def test_a_folder_of_mirrors_that_cannot_be_made_is_said_with_its_line(
    project: Project, tmp_path: Path, data: str, what: str
) -> None:
    (tmp_path / "file").write_text("")
    file = tmp_path / "serve.yaml"
    text = config(project.bare).replace(f"path: {project.bare}", "url: https://h/o/r")
    file.write_text(f"data: {tmp_path / data}\n{text}")

    done = check(file)

    assert f"WARNING: {file}:1: data: {what.format(tmp_path)}\n" in done.stderr


def test_a_remote_outside_of_the_roots_is_said_with_its_line(
    project: Project, tmp_path: Path
) -> None:
    file = tmp_path / "serve.yaml"
    text = config(project.bare)
    file.write_text(text.replace("\n  path:", f"\n  roots: [{tmp_path}/x]\n  path:"))

    done = check(file)

    told = "repos[0]: the DVC remote 'storage' of 'models' is in a place that this"
    assert (done.returncode, done.stdout) == (0, f"'{file}' is valid: 1 repo\n")
    assert f"WARNING: {file}:3: {told}" in done.stderr
    assert f"is at {project.storage}, which is not in its roots" in done.stderr


def test_a_start_warns_of_repos_that_share_a_place(
    project: Project, tmp_path: Path
) -> None:
    server = Server(tmp_path, config(project.bare, project.repo))
    told = f"its DVC remote at {project.storage} is also in a place of repo, whose"
    try:
        wait_until(lambda: told in server.errors, timeout_s=TIMEOUT_S)
        before = server.errors
        server.hang_up()
        roots = f"\n  roots: [{project.storage}]\n  path:"
        text = config(project.bare, project.repo).replace("\n  path:", roots)
    finally:
        server.stop()
    assert before.count("is also in a place of") == 1

    advised = Server(tmp_path, text)
    try:
        assert advised.status("models") == 200
        advised.hang_up()

        assert advised.errors == ""
    finally:
        advised.stop()


def test_a_repo_that_cannot_be_opened_is_a_mistake(
    project: Project, tmp_path: Path
) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(config(project.bare, tmp_path / "nothing"))

    done = check(file)

    assert done.returncode == 251
    assert f"{file}:6: repos[1].path: '{tmp_path / 'nothing'}' is not" in done.stderr


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (["--check-config"], "'--check-config' needs '--config FILE'"),
        (["--config", "f", "--port", "1"], "'--config' and '--port' cannot be"),
        (["--config", "f", "repo"], "'--config' and '<repo>' cannot be combined"),
        (["--config", "f", "--no-auth"], "'--config' and '--no-auth' cannot be"),
    ],
)
def test_flags_do_not_change_what_a_file_says(args: list[str], problem: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dvc_studio_models", "serve", *args],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 254
    assert problem in done.stderr


def test_nothing_stays_of_the_config_before(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    save(file, config(project.repo))
    source = ConfigFile(file)
    site = Site(source.read())
    reloader = Reloader(source, SimpleQueue())
    before = weakref.ref(site._state)
    save(file, config(project.repo, token=OTHER))

    gc.disable()  # Python collects old objects after many others only
    try:
        assert reloader.reload(site)
        assert before() is None
    finally:
        gc.enable()
