"""Whether hashes are a commit's: yes, no, or nobody can tell."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from dvc_studio_models.model import Digest
from dvc_studio_models.registry.recorded import (
    GitFile,
    Listing,
    RecordedFile,
    RecordedModel,
    RecordedOutput,
    expand,
)
from dvc_studio_models.sources.comparison import is_recorded
from dvc_studio_models.store.dvc.objects import tree_digest


def digest(content: bytes) -> Digest:
    return Digest("md5", hashlib.md5(content).hexdigest())


A, B, C = map(digest, (b"a", b"b", b"c"))
LISTING: Listing = {"a": A, "in/b": B}
FOLDER = RecordedOutput("m/dir", tree_digest(LISTING))
FILE = RecordedOutput("m/file.bin", C, 1)
IN_GIT = GitFile("m/config.json", "0" * 40, B, 2)
WHOLE_FILE = RecordedModel("m/file.bin", outputs=(FILE,))
WHOLE_FOLDER = RecordedModel("m/dir", outputs=(FOLDER,))
PART_FILE = RecordedModel("m/dir/a", outputs=(FOLDER,))
PART_FOLDER = RecordedModel("m/dir/in", outputs=(FOLDER,))
MIXED = RecordedModel("m", outputs=(FILE, FOLDER), git_files=(IN_GIT,))
ALL = {"m/file.bin": C, "m/dir/a": A, "m/dir/in/b": B, "m/config.json": B}


def known(_: RecordedOutput) -> Listing | None:
    return LISTING


def unknown(_: RecordedOutput) -> Listing | None:
    return None


@pytest.mark.parametrize(
    ("record", "digests"),
    [
        pytest.param(WHOLE_FILE, {"m/file.bin": C}, id="file"),
        pytest.param(WHOLE_FOLDER, {"m/dir/a": A, "m/dir/in/b": B}, id="folder"),
        pytest.param(PART_FILE, {"m/dir/a": A}, id="file in a folder"),
        pytest.param(PART_FOLDER, {"m/dir/in/b": B}, id="folder in a folder"),
        pytest.param(MIXED, ALL, id="all kinds"),
        pytest.param(
            MIXED,
            {path: each for path, each in ALL.items() if path != "m/config.json"},
            id="without what Git keeps",
        ),
        pytest.param(RecordedModel("m"), {}, id="nothing"),
    ],
)
def test_what_was_recorded_is_recognised(
    record: RecordedModel, digests: dict[str, Digest]
) -> None:
    assert is_recorded(record, digests, known) is True


@pytest.mark.parametrize(
    ("record", "digests"),
    [
        pytest.param(WHOLE_FILE, {"m/file.bin": A}, id="other content"),
        pytest.param(WHOLE_FILE, {"m/file": C}, id="another name"),
        pytest.param(WHOLE_FILE, {}, id="no file"),
        pytest.param(WHOLE_FILE, {"m/file.bin": C, "x": A}, id="a file too many"),
        pytest.param(WHOLE_FOLDER, {"m/dir/a": A}, id="a file of a folder is missing"),
        pytest.param(
            WHOLE_FOLDER, {"m/dir/a": B, "m/dir/in/b": A}, id="exchanged in a folder"
        ),
        pytest.param(
            WHOLE_FOLDER, {"m/dirs/a": A, "m/dirs/in/b": B}, id="a folder beside it"
        ),
        pytest.param(WHOLE_FOLDER, {}, id="no file of a folder"),
        pytest.param(PART_FILE, {"m/dir/a": B}, id="other content in a folder"),
        pytest.param(PART_FILE, {"m/dir/a": A, "m/dir/in/b": B}, id="more of a folder"),
        pytest.param(PART_FILE, {"m/dir/x": A}, id="another file of a folder"),
        pytest.param(PART_FILE, {}, id="no part"),
        pytest.param(
            RecordedModel("m/dir/x", outputs=(FOLDER,)),
            {},
            id="what the folder has not",
        ),
        pytest.param(MIXED, {**ALL, "m/config.json": A}, id="other content than Git's"),
        pytest.param(MIXED, {**ALL, "m/more.json": A}, id="more than Git's"),
        pytest.param(
            MIXED,
            {path: each for path, each in ALL.items() if path != "m/file.bin"},
            id="one output is missing",
        ),
        pytest.param(RecordedModel("m"), {"m": A}, id="of nothing"),
    ],
)
def test_anything_else_is_refused(
    record: RecordedModel, digests: dict[str, Digest]
) -> None:
    assert is_recorded(record, digests, known) is False


@pytest.mark.parametrize(
    ("record", "digests"),
    [
        pytest.param(WHOLE_FILE, {"m/file.bin": None}, id="a hash is not known yet"),
        pytest.param(
            WHOLE_FOLDER, {"m/dir/a": A, "m/dir/in/b": None}, id="one of a folder"
        ),
        pytest.param(
            RecordedModel("x", outputs=(RecordedOutput("x", None),)),
            {"x": A},
            id="no hash",
        ),
        pytest.param(PART_FILE, {"m/dir/a": A}, id="nobody has the listing"),
        pytest.param(PART_FILE, {"m/dir/a": B}, id="nor of other content"),
    ],
)
def test_what_cannot_be_told_is_neither(
    record: RecordedModel, digests: dict[str, Digest | None]
) -> None:
    assert is_recorded(record, digests, unknown) is None


def test_one_file_that_differs_outweighs_what_cannot_be_told() -> None:
    record = replace(MIXED, outputs=(FILE, RecordedOutput("m/other", None)))

    assert is_recorded(record, {"m/file.bin": A, "m/other": B}, unknown) is False


def test_hashes_of_dvc_2_and_of_dvc_3_are_compared_by_their_value() -> None:
    old = Digest("md5-dos2unix", C.value)
    record = RecordedModel("m/file.bin", outputs=(replace(FILE, digest=old),))

    assert is_recorded(record, {"m/file.bin": C}, known) is True


# -- the files of a model


def test_the_files_of_all_outputs_are_listed_by_path() -> None:
    assert FOLDER.digest

    assert expand(MIXED, {FOLDER.digest: LISTING}) == (
        RecordedFile("m/dir/a", A),
        RecordedFile("m/dir/in/b", B),
        RecordedFile("m/file.bin", C, 1),
    )


def test_only_the_files_of_the_model_are_listed_of_a_folder() -> None:
    assert FOLDER.digest

    found = expand(PART_FOLDER, {FOLDER.digest: LISTING})

    assert found == (RecordedFile("m/dir/in/b", B),)


def test_a_listing_that_is_missing_is_an_error() -> None:
    with pytest.raises(KeyError):
        expand(WHOLE_FOLDER, {})


def test_a_listing_in_git_needs_no_other() -> None:
    files = (RecordedFile("m/dir/a", A, 1), RecordedFile("m/dir/in/b", B, 2))
    record = replace(WHOLE_FOLDER, outputs=(replace(FOLDER, files=files),))

    assert expand(record, {}) == files


def test_files_keep_what_is_recorded_of_their_output() -> None:
    one = replace(FILE, remote="other", is_executable=True)
    folder = replace(FOLDER, remote="far")
    assert folder.digest

    files = expand(RecordedModel("m", outputs=(one, folder)), {folder.digest: LISTING})

    assert [(f.path, f.remote, f.is_executable) for f in files] == [
        ("m/dir/a", "far", False),
        ("m/dir/in/b", "far", False),
        ("m/file.bin", "other", True),
    ]


def test_what_has_no_hash_has_no_files() -> None:
    assert expand(RecordedModel("m", outputs=(RecordedOutput("m", None),)), {}) == ()


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(WHOLE_FILE, C, id="file"),
        pytest.param(WHOLE_FOLDER, FOLDER.digest, id="folder"),
        pytest.param(PART_FILE, None, id="part of a folder"),
        pytest.param(MIXED, None, id="several"),
        pytest.param(
            RecordedModel("m/config.json", git_files=(IN_GIT,)), None, id="Git's"
        ),
        pytest.param(RecordedModel("m"), None, id="nothing"),
    ],
)
def test_only_a_model_that_is_one_output_has_a_hash_of_its_own(
    record: RecordedModel, expected: Digest | None
) -> None:
    assert record.digest == expected
