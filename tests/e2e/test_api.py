"""The Python API with a real server."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from hashlib import md5
from typing import TYPE_CHECKING

import pytest
from projects import BERT, CHURN, git

import dvc_studio_models
from dvc_studio_models import (
    download_urls,
    list_models,
    pull,
    show,
    status,
    update,
)
from dvc_studio_models.errors import (
    ModelNotFoundError,
    TargetChangedError,
    UsageError,
)
from dvc_studio_models.model import PullOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.conftest import Registry


@pytest.fixture
def settings(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in registry.environ.items():
        monkeypatch.setenv(name, value)


FUNCTIONS = [download_urls, list_models, pull, show, status, update]


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_the_examples_in_the_docstrings_are_true(
    clone: Path, monkeypatch: pytest.MonkeyPatch, function: object
) -> None:
    monkeypatch.chdir(clone)
    known = {each.__name__: each for each in FUNCTIONS}
    tests = doctest.DocTestFinder().find(function, globs=known)

    results = [doctest.DocTestRunner().run(test) for test in tests]

    assert [result.failed for result in results] == [0]
    assert results[0].attempted > 0


def test_pull_has_each_option_of_the_command() -> None:
    options = {field.name for field in dataclasses.fields(PullOptions)}

    missing = options - set(inspect.signature(pull).parameters)
    assert missing == {"ask_sizes", "wait_for_lock"}  # of commands that wait and print


@pytest.mark.parametrize("names", [["churn", "bert"], None])
@pytest.mark.parametrize("function", [pull, download_urls, show, status, update])
def test_names_that_are_no_texts_are_refused(
    function: Callable[..., object], names: object
) -> None:
    with pytest.raises(UsageError, match="a model's name is a text, not"):
        function(names)


def test_the_api_is_listed_before_it_is_used() -> None:
    code = "import dvc_studio_models as m; print({*m.__all__} <= {*dir(m)}); help(m)"

    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    assert done.stdout.startswith("True\n")
    assert "FUNCTIONS" in done.stdout
    assert re.search(r"\bpull\(\s*\*names: 'str'", done.stdout)


def test_every_public_function_has_an_example() -> None:
    public = [getattr(dvc_studio_models, name) for name in dvc_studio_models.__all__]

    assert [f for f in public if inspect.isfunction(f)] == FUNCTIONS


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_the_help_of_a_function_describes_each_argument(
    function: Callable[..., object],
) -> None:
    text = inspect.getdoc(function) or ""

    described = re.findall(r"^    (\w+): ", text.partition("Args:")[2], re.M)
    assert set(inspect.signature(function).parameters) <= set(described)
    assert not re.search(r"\b[Ss]ee\b", text)


def test_repo_and_token_are_enough_outside_a_git_repo(
    registry: Registry, tmp_path: Path
) -> None:
    token = registry.environ["DVC_STUDIO_TOKEN"]

    result = pull(
        *("bert@v1.0.0", "churn"),
        repo="acme/models",
        folder=tmp_path,
        out="here",
        token=token,
        url=registry.url,
    )

    assert (tmp_path / "here/models/churn.pkl").read_bytes() == CHURN["v2.0.0"]
    assert {file.action for model in result.models for file in model.files} == {
        "downloaded"
    }
    assert token not in repr(result)


def test_urls_need_no_git_repo(registry: Registry, tmp_path: Path) -> None:
    urls = download_urls(
        "churn",
        repo="acme/models",
        folder=tmp_path,
        token=registry.environ["DVC_STUDIO_TOKEN"],
        url=registry.url,
    )

    assert list(urls) == ["models/churn.pkl"]


@pytest.mark.usefixtures("settings")
def test_what_is_pinned_comes_again_from_the_cache(clone: Path) -> None:
    pull("churn#dev", folder=clone, lock=True)
    pull("churn#prod", folder=clone)

    result = pull(folder=clone, locked=True, source="cache")

    assert (result.source, result.models[0].version) == ("cache", "v1.0.0")
    assert result.models[0].files[0].action == "linked"
    assert (clone / "models/churn.pkl").read_bytes() == CHURN["v1.0.0"]


def test_no_name_and_no_lock_is_refused(clone: Path) -> None:
    with pytest.raises(UsageError, match="no model given"):
        pull(folder=clone)


@pytest.mark.parametrize("jobs", [0, 1_000_000_000])
def test_a_number_of_connections_out_of_range_is_refused(
    clone: Path, jobs: int
) -> None:
    with pytest.raises(UsageError, match="'--jobs' must be between 1 and 256"):
        pull("churn", folder=clone, jobs=jobs)


def test_a_source_that_there_is_not_is_refused(clone: Path) -> None:
    with pytest.raises(UsageError, match="use one of studio, remote, cache"):
        pull("churn", folder=clone, source="s3")


@pytest.mark.usefixtures("settings")
def test_progress_is_told_in_the_callers_thread(clone: Path) -> None:
    told: list[tuple[int, int | None, int]] = []

    pull(
        "churn",
        folder=clone,
        progress=lambda done, total: told.append((done, total, threading.get_ident())),
    )

    size = len(CHURN["v2.0.0"])
    assert told[-1] == (size, size, threading.get_ident())


@pytest.mark.usefixtures("settings")
def test_threads_pull_different_models_at_the_same_time(clone: Path) -> None:
    names = ["churn", "bert", "services/fraud:fraud"]

    with ThreadPoolExecutor(len(names)) as pool:
        results = list(pool.map(lambda name: pull(name, folder=clone), names))

    assert [result.models[0].ref.name for result in results] == names
    for result in results:
        for file in result.models[0].files:
            content = (clone / file.path).read_bytes()
            assert (file.verified_by, file.md5) == ("git", md5(content).hexdigest())


@pytest.mark.usefixtures("settings")
def test_threads_that_pull_the_same_model_never_mix(clone: Path) -> None:
    """The first pull to place files wins; the others fail and ask to pull again."""
    versions = ["v1.0.0", "v2.0.0"] * 2

    with ThreadPoolExecutor(len(versions)) as pool:
        pulls = [pool.submit(pull, f"bert@{v}", folder=clone) for v in versions]
    failures = [done.exception() for done in pulls]
    placed = [v for v, failure in zip(versions, failures, strict=True) if not failure]

    there = {
        path.relative_to(clone / "models/bert").as_posix(): path.read_bytes()
        for path in (clone / "models/bert").rglob("*")
        if path.is_file()
    }
    assert there in [BERT[version] for version in placed]
    assert {type(failure) for failure in failures} <= {type(None), TargetChangedError}


@pytest.mark.usefixtures("settings")
def test_pulls_of_one_version_at_once_all_end_well(clone: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        pulls = [pool.submit(pull, "bert@v1.0.0", folder=clone) for _ in range(4)]

    assert [done.exception() for done in pulls] == [None] * 4
    assert pull("bert@v1.0.0", folder=clone).bytes_downloaded == 0


@pytest.mark.usefixtures("settings")
def test_errors_are_those_of_the_command(clone: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="nosuch"):
        pull("nosuch", folder=clone)


LOG = """
import logging, sys
import dvc_studio_models as models

records = []
if sys.argv[1] == "configured":
    class Keep(logging.Handler):
        def emit(self, record):
            records.append((record.name.partition(".")[0], record.getMessage()))
    logging.getLogger("dvc_studio_models").addHandler(Keep())
result = models.pull("churn")
assert len(result.warnings) == 1, result.warnings
assert records in ([], [("dvc_studio_models", *result.warnings)]), records
assert bool(records) == (sys.argv[1] == "configured")
"""


@pytest.mark.parametrize("logging", ["configured", "not configured", "for errors only"])
@pytest.mark.usefixtures("settings")
def test_a_program_gets_the_warnings_and_nothing_is_printed(
    clone: Path, logging: str
) -> None:
    git(clone, "tag", "--delete", "churn@v2.0.0", "churn#prod#3")
    level = "logging.getLogger('dvc_studio_models').setLevel(logging.ERROR)\n"
    code = LOG.replace("result =", f"{level}result =") if "only" in logging else LOG

    done = subprocess.run(
        [sys.executable, "-c", code, logging],
        cwd=clone,
        check=False,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.usefixtures("settings")
def test_the_warnings_of_pulls_on_several_threads_do_not_mix(clone: Path) -> None:
    git(clone, "tag", "--delete", "churn@v2.0.0", "churn#prod#3")
    names = ["churn", "bert", "services/fraud:fraud"]

    with ThreadPoolExecutor(len(names)) as pool:
        results = list(pool.map(lambda name: pull(name, folder=clone), names))

    assert [len(result.warnings) for result in results] == [1, 0, 0]


def test_importing_the_package_loads_nothing_of_it() -> None:
    code = "import sys, dvc_studio_models; print('requests' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    assert done.stdout == "False\n"


USER_PROGRAM = """
from __future__ import annotations

from dvc_studio_models import download_urls, list_models, pull, status
from dvc_studio_models.errors import ModelNotFoundError, StudioModelsError


def show(done: int, total: int | None) -> None:
    print(done, total)


def fetch(name: str, token: str) -> dict[str, int | None]:
    try:
        result = pull(name, stage="prod", repo="o/r", token=token, progress=show)
    except ModelNotFoundError as error:
        raise LookupError(error.ref.name) from error
    except StudioModelsError as error:
        raise SystemExit(error.exit_code) from error
    sizes = {file.path: file.size for file in result.models[0].files}
    stale: list[str] = [m.result.ref.name for m in status().models if m.outdated]
    latest: dict[str, str | None] = {m.name: m.latest for m in list_models()}
    urls: dict[str, str] = download_urls(name, jobs)
    return sizes
"""


def test_a_typed_program_is_checked_against_our_types(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(USER_PROGRAM.replace(", jobs)", ")"))
    wrong = tmp_path / "wrong.py"
    wrong.write_text(USER_PROGRAM.replace(", jobs)", ", version=2)"))
    config = ("--config-file", os.devnull, "--cache-dir", str(tmp_path / "cache"))

    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *config, program, wrong],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    (error, summary) = done.stdout.splitlines()
    assert error.startswith("wrong.py:")
    assert '"download_urls" has incompatible type "int"' in error
    assert summary == "Found 1 error in 1 file (checked 2 source files)"
