"""Receipts: kept, read back, and not believed when no pull can have written them."""

from __future__ import annotations

import json
import os
import stat
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from leftovers import killed_name

from dvc_studio_models.errors import LocalDiskError
from dvc_studio_models.files.receipts import Receipt, Receipts, read_every
from dvc_studio_models.files.scratch import temporary_name
from dvc_studio_models.model import MD5, MD5_DOS2UNIX, Digest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.reliability("Receipts of earlier pulls")

ROOT = "/home/ada/models"


CHURN = Receipt(
    "churn",
    ROOT,
    "v1.0.0",
    "3" * 40,
    {"m/größe.pkl": Digest(MD5, "a" * 32), "m/b": Digest(MD5_DOS2UNIX, "b" * 32)},
    objects={"m/b": "0" * 64},
)

FOREIGN = replace(
    CHURN,
    repo="git@git.example.com:acme/models.git",
    repo_id="git.example.com/acme/models",
)


@pytest.fixture
def receipts(tmp_path: Path) -> Receipts:
    return Receipts(tmp_path / "receipts")


def load(receipts: Receipts) -> list[Receipt]:
    return receipts.load(Path(ROOT))


def test_there_are_none_at_first(receipts: Receipts) -> None:
    assert load(receipts) == []


def test_a_receipt_is_read_as_it_was_kept(receipts: Receipts) -> None:
    receipts.save(CHURN)

    assert load(receipts) == [CHURN]


def test_a_receipt_may_name_another_repo(receipts: Receipts) -> None:
    receipts.save(FOREIGN)
    receipts.save(CHURN)

    assert sorted(load(receipts), key=lambda receipt: receipt.repo or "") == [
        CHURN,
        FOREIGN,
    ]


def test_another_url_of_the_same_repo_is_the_same_receipt(receipts: Receipts) -> None:
    other = replace(FOREIGN, repo="https://git.example.com/acme/models")
    receipts.save(FOREIGN)
    receipts.save(other)

    assert load(receipts) == [other]


def test_a_receipt_that_is_discarded_is_gone_and_no_other(receipts: Receipts) -> None:
    receipts.save(CHURN, FOREIGN)

    receipts.discard(FOREIGN)
    receipts.discard(FOREIGN)

    assert load(receipts) == [CHURN]


def test_nothing_is_discarded_without_a_folder() -> None:
    Receipts(None).discard(CHURN)


def test_a_receipt_that_cannot_be_discarded_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    with pytest.raises(LocalDiskError):
        Receipts(tmp_path / "file").discard(CHURN)


@pytest.mark.parametrize("repo", [7, "git@host:a/\x1b[31mb"])
def test_a_receipt_with_no_such_repo_counts_as_absent(
    receipts: Receipts, tmp_path: Path, repo: object
) -> None:
    receipts.save(FOREIGN)
    tampered(tmp_path, lambda raw: raw.update({"repo": repo}))

    assert load(receipts) == []


def test_a_receipt_of_an_earlier_release_names_no_repo(
    receipts: Receipts, tmp_path: Path
) -> None:
    receipts.save(CHURN)
    (file,) = (tmp_path / "receipts").iterdir()
    content = json.loads(file.read_text())
    del content["repo"], content["repo_id"]
    file.write_text(json.dumps(content))

    assert load(receipts) == [CHURN]


def test_a_receipt_may_know_no_version(receipts: Receipts) -> None:
    unknown = replace(CHURN, version=None, commit=None)
    receipts.save(unknown)

    assert load(receipts) == [unknown]


@pytest.mark.parametrize("selector", ["#prod", "@v1.0.0-rc.1"])
def test_a_receipt_knows_what_was_asked(receipts: Receipts, selector: str) -> None:
    asked = replace(CHURN, selector=selector)
    receipts.save(asked)

    assert load(receipts) == [asked]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("selector", "#prod", id="selectors"),
        pytest.param("objects", {"m/b": "1" * 64}, id="objects"),
    ],
)
def test_a_receipt_of_before_there_were_such_fields_is_read(
    receipts: Receipts, tmp_path: Path, field: str, value: Any
) -> None:
    plain = replace(CHURN, objects={})
    receipts.save(replace(plain, **{field: value}))
    tampered(tmp_path, lambda raw: raw.pop(field))

    assert load(receipts) == [plain]


def test_a_receipt_replaces_the_models_last(receipts: Receipts) -> None:
    receipts.save(CHURN)
    newer = replace(CHURN, version="v2.0.0", files={}, objects={})
    receipts.save(newer)

    assert load(receipts) == [newer]


def test_each_model_has_its_own(receipts: Receipts) -> None:
    other = replace(CHURN, model="services/fraud:fraud")
    receipts.save(CHURN)
    receipts.save(other)

    assert sorted(load(receipts), key=lambda receipt: receipt.model) == [CHURN, other]


def test_each_root_has_its_own(receipts: Receipts) -> None:
    other = replace(CHURN, root="/home/ada/out", version="v2.0.0")
    receipts.save(CHURN)
    receipts.save(other)

    assert load(receipts) == [CHURN]
    assert receipts.load(Path("/home/ada/out")) == [other]


def test_nothing_is_kept_without_a_folder() -> None:
    receipts = Receipts(None)
    receipts.save(CHURN)

    assert load(receipts) == []


def test_a_receipt_is_private_as_the_users_mask_says(
    receipts: Receipts, tmp_path: Path
) -> None:
    before = os.umask(0o077)
    try:
        receipts.save(CHURN)
    finally:
        os.umask(before)

    (kept,) = (tmp_path / "receipts").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_no_other_file_stays(receipts: Receipts, tmp_path: Path) -> None:
    receipts.save(CHURN)
    receipts.save(CHURN)

    assert [path.suffix for path in (tmp_path / "receipts").iterdir()] == [".json"]


def test_no_other_file_stays_where_it_cannot_be_kept(
    receipts: Receipts, tmp_path: Path
) -> None:
    receipts.save(CHURN)
    (kept,) = (tmp_path / "receipts").iterdir()
    kept.unlink()
    kept.mkdir()

    with pytest.raises(LocalDiskError, match="is a directory"):
        receipts.save(CHURN)

    assert list((tmp_path / "receipts").iterdir()) == [kept]


def test_what_a_killed_pull_left_is_swept(receipts: Receipts, tmp_path: Path) -> None:
    receipts.save(CHURN)
    left = tmp_path / "receipts" / killed_name()
    left.touch()

    receipts.save(CHURN)

    assert not left.exists()


def test_what_another_pull_is_about_to_name_stays(
    receipts: Receipts, tmp_path: Path
) -> None:
    receipts.save(CHURN)
    live = tmp_path / "receipts" / temporary_name()
    live.touch()

    receipts.save(CHURN)

    assert live.exists()


def test_what_another_machine_left_is_swept_after_a_day(
    receipts: Receipts, tmp_path: Path
) -> None:
    receipts.save(CHURN)
    new = tmp_path / "receipts" / "placing-0123-1-elsewhere-1"
    old = tmp_path / "receipts" / "placing-4567-1-elsewhere-1"
    new.touch()
    old.touch()
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))

    receipts.save(CHURN)

    assert new.exists()
    assert not old.exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(LocalDiskError, match="not a directory"):
        Receipts(tmp_path / "file" / "receipts").save(CHURN)


def test_a_folder_that_is_a_file_has_none(tmp_path: Path) -> None:
    (tmp_path / "receipts").touch()

    assert load(Receipts(tmp_path / "receipts")) == []


# Not believed


def tampered(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    (kept,) = (tmp_path / "receipts").iterdir()
    raw = json.loads(kept.read_text("utf-8"))
    change(raw)
    kept.write_text(json.dumps(raw), "utf-8")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="cut"),
        pytest.param("null", id="null"),
        pytest.param("[]", id="a list"),
        pytest.param("{}", id="no fields"),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param("\udcff", id="not UTF-8"),
    ],
)
def test_a_broken_receipt_counts_as_absent(
    receipts: Receipts, tmp_path: Path, text: str
) -> None:
    receipts.save(CHURN)
    (kept,) = (tmp_path / "receipts").iterdir()
    kept.write_text(text, "utf-8", "surrogateescape")

    assert load(receipts) == []


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("../outside", id="outside"),
        pytest.param("/etc/passwd", id="absolute"),
        pytest.param(".git/config", id="git"),
        pytest.param("m/.dvc/config", id="dvc"),
        pytest.param("m/a\n", id="control character"),
        pytest.param("dvc.yaml", id="steering"),
        pytest.param("", id="empty"),
    ],
)
def test_a_receipt_that_names_an_unsafe_path_counts_as_absent(
    receipts: Receipts, path: str
) -> None:
    receipts.save(replace(CHURN, files={**CHURN.files, path: Digest(MD5, "a" * 32)}))

    assert load(receipts) == []


@pytest.mark.parametrize(
    "digest",
    [
        pytest.param(["sha256", "a" * 32], id="unknown algorithm"),
        pytest.param([MD5, "a" * 31], id="short"),
        pytest.param([MD5, "A" * 32], id="capitals"),
        pytest.param([MD5, "a" * 32 + "\n"], id="newline"),
        pytest.param([MD5, "a" * 32 + ".dir"], id="a directory's"),
        pytest.param([MD5, 7], id="a number"),
        pytest.param([MD5], id="no value"),
        pytest.param([MD5, "a" * 32, "b"], id="too much"),
        pytest.param(None, id="null"),
        pytest.param([[MD5], "a" * 32], id="a list"),
    ],
)
def test_a_receipt_with_no_such_hash_counts_as_absent(
    receipts: Receipts, tmp_path: Path, digest: object
) -> None:
    receipts.save(CHURN)
    tampered(tmp_path, lambda raw: raw["files"].update({"m/b": digest}))

    assert load(receipts) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("model", 7, id="model"),
        pytest.param("version", ["v1.0.0"], id="version"),
        pytest.param("commit", {"a": 1}, id="commit"),
        pytest.param("files", ["m/a"], id="files"),
        pytest.param("root", None, id="root"),
        pytest.param("selector", 7, id="selector"),
        pytest.param("selector", None, id="no selector"),
        pytest.param("selector", "; rm", id="no such selector"),
        pytest.param("selector", "@latest", id="another spelling of none"),
        pytest.param("objects", ["m/b"], id="objects"),
        pytest.param("objects", {"m/c": "0" * 64}, id="object of no file"),
        pytest.param("objects", {"m/b": ["0"]}, id="no such object"),
        pytest.param("repo", 7, id="repo"),
        pytest.param("repo", "git@host:a/\x1b[31mb", id="repo with control characters"),
        pytest.param("repo", "git@host:a/b", id="repo without its id"),
        pytest.param("more", 1, id="unknown field"),
    ],
)
def test_a_receipt_with_a_field_of_another_type_counts_as_absent(
    receipts: Receipts, tmp_path: Path, field: str, value: object
) -> None:
    receipts.save(CHURN)
    tampered(tmp_path, lambda raw: raw.update({field: value}))

    assert load(receipts) == []


@pytest.mark.parametrize("field", ["model", "root", "version", "commit", "files"])
def test_a_receipt_that_lacks_a_field_counts_as_absent(
    receipts: Receipts, tmp_path: Path, field: str
) -> None:
    receipts.save(CHURN)
    tampered(tmp_path, lambda raw: raw.pop(field))

    assert load(receipts) == []


@pytest.mark.parametrize(("field", "value"), [("model", "bert"), ("root", "/home/eve")])
def test_a_receipt_under_another_ones_name_counts_as_absent(
    receipts: Receipts, tmp_path: Path, field: str, value: str
) -> None:
    receipts.save(CHURN)
    tampered(tmp_path, lambda raw: raw.update({field: value}))

    assert receipts.load(Path(ROOT)) == []
    assert receipts.load(Path("/home/eve")) == []


def test_a_broken_receipt_hides_no_other(receipts: Receipts, tmp_path: Path) -> None:
    receipts.save(CHURN)
    (tmp_path / "receipts" / "0.json").write_text("{")
    (tmp_path / "receipts" / "1.json").mkdir()

    assert load(receipts) == [CHURN]


def test_saving_no_receipt_changes_nothing(tmp_path: Path) -> None:
    Receipts(tmp_path / "receipts").save()

    assert not (tmp_path / "receipts").exists()


def test_a_receipt_that_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    receipts = Receipts(tmp_path)
    receipts.save(CHURN)
    (file,) = tmp_path.glob("*.json")
    before = file.stat()
    loaded = receipts.load(Path(CHURN.root))
    with file.open("r+b") as opened:
        opened.write(b"#" * before.st_size)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert receipts.load(Path(CHURN.root)) == loaded == [CHURN]
    assert Receipts(tmp_path).load(Path(CHURN.root)) == []

    Receipts(tmp_path).save(replace(CHURN, version="v9.9.9"))
    assert [each.version for each in receipts.load(Path(CHURN.root))] == ["v9.9.9"]


def test_every_receipt_of_any_root_is_read_and_damaged_ones_are_named(
    tmp_path: Path,
) -> None:
    other = replace(CHURN, root="/srv/app")
    Receipts(tmp_path).save(CHURN, other)
    (tmp_path / "damaged.json").write_text("{")
    (tmp_path / "._damaged.json").write_bytes(b"\0\5\26\7")  # attributes, by macOS
    (tmp_path / temporary_name()).write_text("{")

    receipts, damaged = read_every(tmp_path)

    assert sorted(receipts, key=lambda each: each.root) == [CHURN, other]
    assert damaged == [tmp_path / "damaged.json"]


def test_a_folder_of_receipts_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert read_every(tmp_path / "none") == ([], [])


def test_a_folder_of_receipts_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(LocalDiskError):
        read_every(tmp_path / "file")
