"""The Python interface against a real server."""

from __future__ import annotations

import doctest
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from projects import BERT, CHURN

import dvc_studio_models
from dvc_studio_models import api, download_urls, pull
from dvc_studio_models.errors import ModelNotFoundError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Registry


@pytest.fixture
def settings(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in registry.environ.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("function", [pull, download_urls], ids=lambda f: f.__name__)
def test_the_examples_in_the_docstrings_are_true(
    clone: Path, monkeypatch: pytest.MonkeyPatch, function: object
) -> None:
    monkeypatch.chdir(clone)
    tests = doctest.DocTestFinder().find(function, globs=vars(api))

    results = [doctest.DocTestRunner().run(test) for test in tests]

    assert [result.failed for result in results] == [0]
    assert results[0].attempted > 0


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
    with pytest.raises(UsageError, match="no model is named"):
        pull(folder=clone)


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
def test_two_threads_pull_two_models(clone: Path) -> None:
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            pull(name, folder=clone)
        except BaseException as error:  # noqa: BLE001 - shown by the assertion
            failures.append(error)

    threads = [
        threading.Thread(target=work, args=(name,)) for name in ("churn", "bert")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert (clone / "models/churn.pkl").read_bytes() == CHURN["v2.0.0"]
    assert (clone / "models/bert/config.json").read_bytes() == BERT["v2.0.0"][
        "config.json"
    ]


@pytest.mark.usefixtures("settings")
def test_errors_are_those_of_the_command(clone: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="nosuch"):
        pull("nosuch", folder=clone)


def test_importing_the_package_loads_nothing_of_it() -> None:
    code = "import sys, dvc_studio_models; print('requests' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    assert done.stdout == "False\n"
    assert dvc_studio_models.__all__ == ["download_urls", "pull"]
