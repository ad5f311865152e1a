"""Lock files: written as promised, read back, and not believed."""

from __future__ import annotations

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from dvc.utils.serialize import dumps_yaml, load_yaml

from dvc_studio_models.errors import (
    LocalDiskError,
    LockFileError,
    LockHeldError,
    UnsafePathError,
    UsageError,
)
from dvc_studio_models.model import (
    MD5,
    MD5_DOS2UNIX,
    Digest,
    ModelRef,
    Pin,
    PinnedFile,
)
from dvc_studio_models.registry import lockfile
from dvc_studio_models.registry.lockfile import (
    MAX_BYTES,
    check_name,
    is_lock_file,
    read_pins,
    update_pins,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COMMIT = "3" * 40
CHURN = Pin(
    ModelRef("churn", stage="prod"),
    (
        PinnedFile("m/a.txt", Digest(MD5_DOS2UNIX, "b" * 32), 0),
        PinnedFile("m/größe: 1.pkl", Digest(MD5, "0" * 32), 47395840),
    ),
    "v2.0.0",
    COMMIT,
)
FRAUD = Pin(
    ModelRef("services/fraud:fraud"),
    (PinnedFile("services/fraud/model.bin", Digest(MD5, "1e" * 16), 7),),
    "v1.0.0-rc.1",
    COMMIT,
)
PINS = {"churn": CHURN, "services/fraud:fraud": FRAUD}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A lock file with two models."""
    file = tmp_path / "models.lock"
    update_pins(file, PINS)
    return file


def change(file: Path, how: Callable[[dict[str, Any]], object]) -> None:
    content = load_yaml(file)
    how(content)
    file.write_text(dumps_yaml(content), "utf-8")


def test_pins_are_read_as_they_were_written(file: Path) -> None:
    assert read_pins(file) == PINS


def test_the_text_does_not_depend_on_any_order(file: Path) -> None:
    text = file.read_bytes()
    turned = replace(CHURN, files=CHURN.files[::-1])
    file.unlink()

    update_pins(file, {"services/fraud:fraud": FRAUD})
    update_pins(file, {"churn": turned})

    assert file.read_bytes() == text


def test_hashes_that_yaml_could_take_for_numbers_stay_texts(file: Path) -> None:
    """``1e1e...`` and ``0000...`` are such."""
    files = load_yaml(file)["models"]["churn"]["files"]

    assert files[1]["md5"] == "0" * 32
    assert read_pins(file)["services/fraud:fraud"].files[0].digest.value == "1e" * 16


def test_a_file_of_which_nothing_changes_is_not_touched(file: Path) -> None:
    file.write_text(f"# ours\n{file.read_text('utf-8')}", "utf-8")
    before = file.stat()

    update_pins(file, {"churn": CHURN})

    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_new_pin_replaces_the_models_last_and_no_other(file: Path) -> None:
    newer = replace(CHURN, version="v3.0.0")

    update_pins(file, {"churn": newer})

    assert read_pins(file) == {**PINS, "churn": newer}
    assert list(file.parent.iterdir()) == [file]


def test_what_a_link_leads_to_stays(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.lock"
    link.symlink_to(file)
    text = file.read_bytes()

    update_pins(link, {"churn": replace(CHURN, ref=ModelRef("churn"))})

    assert file.read_bytes() == text
    assert not link.is_symlink()


def test_a_folder_that_takes_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(LocalDiskError, match=r"models\.lock': no such file"):
        update_pins(tmp_path / "none/models.lock", PINS)


def test_pins_that_are_written_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    file = tmp_path / "models.lock"
    names = [f"model-{number}" for number in range(24)]

    def pin(name: str) -> None:
        update_pins(file, {name: replace(CHURN, ref=ModelRef(name))})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(pin, names))

    assert list(read_pins(file)) == sorted(names)


def test_a_lock_that_is_never_released_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lockfile, "LOCK_WAIT_S", 0.0)
    opened = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(opened, fcntl.LOCK_EX)
    try:
        with pytest.raises(LockHeldError):
            update_pins(tmp_path / "models.lock", PINS)
    finally:
        os.close(opened)

    assert not (tmp_path / "models.lock").exists()


@pytest.mark.parametrize("name", ["models.lock", "pins.yaml", "a.yml"])
def test_names_of_lock_files_pass(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["churn", "churn@v1.0.0", "models", "a.lock.txt", ""])
def test_a_name_that_may_be_a_models_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not the name of a lock file"):
        check_name(name)


MODELS_REPO = "git@git.example.com:acme/models.git"


def test_a_model_of_another_repo_names_it(file: Path) -> None:
    churn = replace(CHURN, ref=replace(CHURN.ref, repo=MODELS_REPO))

    update_pins(file, {"churn": churn})

    assert load_yaml(file)["models"]["churn"]["repo"] == MODELS_REPO
    assert "repo" not in load_yaml(file)["models"]["services/fraud:fraud"]
    assert read_pins(file) == {**PINS, "churn": churn}
    assert churn.pinned == ModelRef("churn", version="v2.0.0", repo=MODELS_REPO)


def test_a_pin_without_a_version_is_its_hashes_and_what_was_requested(
    file: Path,
) -> None:
    unnamed = replace(CHURN, version=None, commit=None)

    update_pins(file, {"churn": unnamed})

    entry = load_yaml(file)["models"]["churn"]
    assert list(entry) == ["requested", "files"]
    assert read_pins(file)["churn"] == unnamed
    assert unnamed.pinned == ModelRef("churn", stage="prod")


def test_a_pin_of_a_requested_version_has_it_also_where_only_the_request_does(
    file: Path,
) -> None:
    change(
        file,
        lambda content: content["models"]["churn"].update({"requested": "@v2.0.0"}),
    )
    change(file, lambda content: content["models"]["churn"].pop("version"))

    assert read_pins(file)["churn"].version == "v2.0.0"


def test_secrets_in_the_url_of_a_repo_are_dropped(file: Path) -> None:
    url = "https://ada:secret@git.example.com/acme/models.git?token=secret"
    change(file, lambda content: content["models"]["churn"].update({"repo": url}))

    repo = read_pins(file)["churn"].ref.repo

    assert repo == "https://git.example.com/acme/models.git"


def test_a_model_of_another_repo_has_no_files_in_this_ones_git(file: Path) -> None:
    def spoil(content: dict[str, Any]) -> None:
        churn = content["models"]["churn"]
        churn["repo"] = MODELS_REPO
        churn["files"][0]["git"] = COMMIT

    change(file, spoil)

    with pytest.raises(LockFileError, match="of another repo"):
        read_pins(file)


# -- not believed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "required key not provided", id="empty"),
        pytest.param("[]", "required key not provided", id="an empty list"),
        pytest.param("- a", "expected a dictionary", id="a list"),
        pytest.param("a: b: c", "not YAML, line 1", id="broken"),
        pytest.param("a: 1\n<<<<<<< HEAD\n", "not YAML, line", id="a merge conflict"),
        pytest.param("a: 1\na: 2\n", "not YAML, line", id="a key twice"),
        pytest.param("[" * 20_000, "not YAML", id="deep"),
        pytest.param("!!python/object:os.system x", "not YAML", id="a constructor"),
        pytest.param("a: 2001-99-99", "not YAML", id="no date"),
        pytest.param("\udcff", "not UTF-8", id="not UTF-8"),
        pytest.param("schema: '2.0'\nmodels: {}", "['schema']", id="a later schema"),
        pytest.param("schema: '1.0'\nmodels:\n", "['models']", id="no models"),
        pytest.param("schema: '1.0'\nmodels: {}\nx: 1", "['x']", id="something more"),
        pytest.param("#" * (MAX_BYTES + 1), "larger than 64 MiB", id="large"),
    ],
)
def test_what_is_no_lock_file_is_told_with_its_name(
    file: Path, text: str, reason: str
) -> None:
    file.write_text(text, "utf-8", "surrogateescape")

    with pytest.raises(LockFileError) as caught:
        read_pins(file)

    first = str(caught.value).splitlines()[0]
    assert first.startswith(f"cannot use the lock file '{file}': ")
    assert reason in first


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("requested", None, id="requested"),
        pytest.param("requested", "#a#b", id="no selector"),
        pytest.param("version", "v2", id="version"),
        pytest.param("version", "2.0.0", id="version without v"),
        pytest.param("version", "latest", id="no version"),
        pytest.param("commit", "main", id="commit"),
        pytest.param("commit", COMMIT + "\n", id="newline"),
        pytest.param("files", [], id="no files"),
        pytest.param("files", {"a": "b"}, id="files"),
        pytest.param("url", "http://evil", id="another key"),
        pytest.param("repo", "", id="empty repo"),
        pytest.param("repo", "x" * 1001, id="long repo"),
        pytest.param("repo", "git@host:a/\x1b[31mb", id="control character"),
    ],
)
def test_a_model_of_another_form_is_refused(
    file: Path, key: str, value: object
) -> None:
    change(file, lambda content: content["models"]["churn"].update({key: value}))

    with pytest.raises(LockFileError, match=r"models\.lock"):
        read_pins(file)


@pytest.mark.parametrize("key", ["requested", "files"])
def test_a_model_that_lacks_something_is_refused(file: Path, key: str) -> None:
    change(file, lambda content: content["models"]["churn"].pop(key))

    with pytest.raises(LockFileError, match=key):
        read_pins(file)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("path", 7, id="path"),
        pytest.param("hash", "sha256", id="hash"),
        pytest.param("md5", "a" * 31, id="short"),
        pytest.param("md5", "a" * 32 + ".dir", id="a directory's"),
        pytest.param("md5", "A" * 32, id="capitals"),
        pytest.param("md5", 10**31, id="a number"),
        pytest.param("size", -1, id="size"),
        pytest.param("size", "7", id="a text"),
        pytest.param("cache", False, id="another key"),
    ],
)
def test_a_file_of_another_form_is_refused(file: Path, key: str, value: object) -> None:
    change(
        file,
        lambda content: content["models"]["churn"]["files"][0].update({key: value}),
    )

    with pytest.raises(LockFileError, match=key):
        read_pins(file)


@pytest.mark.parametrize("name", ["../up:churn", "chu rn", "./a:churn", "churn@v1.0.0"])
def test_a_name_that_is_no_models_is_refused(file: Path, name: str) -> None:
    change(
        file,
        lambda content: content["models"].update(
            {name: content["models"].pop("churn")}
        ),
    )

    with pytest.raises(LockFileError, match="name"):
        read_pins(file)


def test_a_path_that_stands_twice_is_refused(file: Path) -> None:
    def double(content: dict[str, Any]) -> None:
        content["models"]["churn"]["files"] *= 2

    change(file, double)

    with pytest.raises(LockFileError, match="lists a path twice"):
        read_pins(file)


def test_all_unsafe_paths_are_named(file: Path) -> None:
    def spoil(content: dict[str, Any]) -> None:
        for path, entry in zip(
            ("../x", ".git/config"), content["models"]["churn"]["files"], strict=True
        ):
            entry["path"] = path

    change(file, spoil)

    with pytest.raises(UnsafePathError) as caught:
        read_pins(file)

    assert {path for path, _ in caught.value.problems} == {"../x", ".git/config"}
    assert str(file) in str(caught.value)


def test_a_folder_in_its_place_is_told(tmp_path: Path) -> None:
    with pytest.raises(LockFileError, match="is a directory"):
        read_pins(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("models.lock", "anything"),
        ("a.lock", "schema: '1.0'\nmodels: {}\n"),
        ("a.yaml", '{"schema": "1.0", "models": {}}'),
        ("a.yml", '{\n  "models": {},\n  "schema": "1.0"\n}'),
        ("a.lock", "---\n  schema: '1.0'\n  models: {}\n"),
        ("a.lock", "schema : '1.0'\nmodels : {}\n"),
        ("a.lock", "\ufeffschema: '1.0'\nmodels: {}\n"),
        ("a.lock", "schema: '1.0'\nmodels: [\n"),
    ],
)
def test_a_lock_file_is_recognised_in_any_form(name: str, text: str) -> None:
    assert is_lock_file(name, text.encode())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dvc.lock", "schema: '2.0'\nstages:\n  models:\n    cmd: x\n"),
        ("a.txt", "schema: '1.0'\nmodels: {}\n"),
        ("a.yaml", "in:\n  schema: '1.0'\n  models: {}\n"),
        ("a.yaml", "schema models"),
        ("a.lock", "\0schema models"),
    ],
)
def test_another_file_is_no_lock_file(name: str, text: str) -> None:
    assert not is_lock_file(name, text.encode())
