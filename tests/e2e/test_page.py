"""The pages in a real Chromium: sign in, search, open, copy; checked by axe."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from needs import need_package, need_program
from projects import TOKEN, Project, copy_project, git, serving, serving_site

from dvc_studio_models.server.config.values import (
    RepoConfig,
    ServeConfig,
    TokenConfig,
)
from dvc_studio_models.server.site.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

PHONE = {"width": 360, "height": 740}
CHURN = "/models/models/churn"
LONG = "a-model-whose-name-is-as-long-as-a-name-can-be-" + "x" * 120


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    need_program("chromium")
    need_package("playwright")
    need_package("axe_playwright_python")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-dev-shm-usage"],
        )
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a browser window, whose errors fail the test."""
    problems: list[str] = []
    contexts = []

    def opened(url: str, *, token: str | None = TOKEN, **options: object) -> Page:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text))
        page.goto(url)
        if token:
            page.fill("#token", token)
            page.press("#token", "Enter")
            page.wait_for_selector("h1:not(#sign-in)")
        return page

    yield opened
    for context in contexts:
        context.close()
    expected = re.compile(
        r"status of (400|401|404)|Password forms should have"
        r"|Autofocus processing was blocked"  # a test is faster at the field
    )
    assert [each for each in problems if not expected.search(each)] == []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("page")
    template = tmp_path_factory.getbasetemp() / "template"
    project = copy_project(template, root / "project")
    project.tag(f"{LONG}@v1.0.0-rc.1+a-long-build-number-20260131")
    project.tag(f"{LONG}#a-stage-with-a-long-name-too#1")
    project.tag(f"{LONG}#qa-eu#2")
    git(project.repo, "tag", "-a", "-m", "a" * 300, "churn@v3.0.0")
    with serving(project.repo, f"acme/team={project.bare}") as url:
        yield url


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


def names(page: Page) -> list[str]:
    return page.locator("a.name").all_inner_texts()


def test_somebody_signs_in_searches_opens_and_signs_out(
    server: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(server)
    assert "churn" in names(page)

    page.keyboard.press("/")
    page.keyboard.type("frau")
    page.wait_for_url("**/?q=frau")
    assert names(page) == ["services/fraud:fraud"] * 2
    assert page.evaluate("document.activeElement.id") == "q"

    page.click("a.name >> nth=0")
    page.wait_for_selector("#versions")
    assert page.locator("h1").inner_text() == "services/fraud:fraud"

    page.click("text=Sign out")
    page.wait_for_selector("#token")
    page.goto(server + CHURN)
    assert page.locator("#token").is_visible()


def test_back_leads_to_the_list_before_a_repo_was_chosen(
    server: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(server)
    page.fill("#q", "churn")
    page.wait_for_url("**/?q=churn")
    page.select_option("#repo", "acme/team")
    page.wait_for_url("**/?q=churn&repo=team")
    assert names(page) == ["churn"]

    page.go_back()
    page.wait_for_selector("text=2 models of")

    assert (page.url, names(page)) == (f"{server}/?q=churn", ["churn"] * 2)
    assert page.input_value("#repo") == ""
    page.go_forward()
    page.wait_for_selector("text=1 model of")
    assert page.input_value("#repo") == "team"


def test_an_address_that_is_not_valid_says_so_and_leads_back_to_the_model(
    server: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{server}{CHURN}?version=v9")
    assert page.inner_text("h1") == "This address is not valid"
    assert "'v9' is not a version: use the form v1.2.3" in page.inner_text("main")

    page.goto(f"{server}{CHURN}?version=v9.0.0")
    assert page.inner_text("h1") == "Not found"
    page.click("text=Show the latest version")
    page.wait_for_selector("#versions")


@pytest.mark.parametrize("width", [320, 1280])
def test_a_long_version_does_not_break_the_name_of_its_stage(
    server: str, open_page: Callable[..., Page], width: int
) -> None:
    page = open_page(server, viewport={"width": width, "height": 800})
    lines = """each => {
        const range = document.createRange();
        range.selectNodeContents(each);
        return range.getClientRects().length;
    }"""
    for path in ("/?q=a-model", f"/models/models/{LONG}"):
        page.goto(server + path)
        for stage in page.locator("bdi:text-is('qa-eu'):not(.choices bdi)").all():
            assert stage.evaluate(lines) == 1


def test_models_are_filtered_by_stage(
    server: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(server)

    page.click(".chip:has-text('prod')")
    page.wait_for_url("**/?stage=prod")

    assert names(page) == ["churn", "churn"]
    assert page.locator(".chip[aria-current]").inner_text().startswith("prod")


def test_a_command_is_copied(server: str, open_page: Callable[..., Page]) -> None:
    permissions = ["clipboard-read", "clipboard-write"]
    page = open_page(f"{server}{CHURN}?stage=prod", permissions=permissions)

    page.click(".command:has-text('Command line') >> text=Copy")
    page.wait_for_selector("button:has-text('Copied')")

    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "dvc models pull churn --stage prod"


def test_signing_in_opens_the_page_that_was_asked_for(
    server: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{server}{CHURN}?version=v1.0.0")

    assert page.url == f"{server}{CHURN}?version=v1.0.0"
    assert "--version v1.0.0" in page.inner_text(".get")


def test_a_wrong_token_is_refused_and_the_next_one_accepted(
    server: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(server, token=None)
    page.fill("#token", "wrong")
    page.press("#token", "Enter")
    page.wait_for_selector("[role=alert]")
    assert page.inner_text("[role=alert]") == "This token is not accepted."

    page.fill("#token", TOKEN)
    page.click("button:has-text('Sign in')")

    page.wait_for_selector("table.models")


def test_scripts_cannot_read_the_session(
    server: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(server)

    assert page.evaluate("document.cookie") == ""
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert TOKEN not in cookie["value"]


def test_a_link_on_another_site_opens_the_page_of_who_has_signed_in(
    server: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(server)
    other = server.replace("127.0.0.1", "localhost")
    page.goto(f"{other}/sign-in")
    page.evaluate(
        """url => {
            const link = document.createElement("a");
            link.href = url;
            document.body.append(link);
            link.click();
        }""",
        server + CHURN,
    )

    page.wait_for_selector("#versions")
    assert page.url == server + CHURN


def test_a_token_out_of_scope_and_one_that_has_ended(
    project: Project, open_page: Callable[..., Page]
) -> None:
    token = TokenConfig.of(TOKEN, "ada")
    config = ServeConfig(
        (RepoConfig(str(project.repo), "models"), RepoConfig(str(project.bare), "b")),
        (token,),
    )
    site = Site(config)
    with serving_site(site) as url:
        page = open_page(f"{url}/models/b/churn")
        assert page.locator("#versions").is_visible()

        site.apply(replace(config, tokens=(replace(token, repos=("models",)),)))
        page.reload()
        assert page.inner_text("h1") == "Not found"
        page.click("text=Show all models")
        page.wait_for_selector("table.models")
        assert page.locator("a[href*='models/b/']").count() == 0

        site.apply(replace(config, tokens=()))
        page.click("a.name >> nth=0")
        page.wait_for_selector("#token")
        assert page.inner_text("[role=alert]").startswith("Your session has ended")


PATHS = ("/", "/?q=nothing", CHURN, f"/models/models/{LONG}", "/models/models/none")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", ["wide", "phone"])
def test_axe_finds_nothing_and_all_fits(
    server: str, open_page: Callable[..., Page], scheme: str, width: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    size = {"viewport": PHONE} if width == "phone" else {}
    page = open_page(f"{server}/sign-in", token=None, color_scheme=scheme, **size)
    found = {"/sign-in": Axe().run(page)}
    page.fill("#token", TOKEN)
    page.press("#token", "Enter")
    page.wait_for_selector("table.models")
    for path in PATHS:
        page.goto(server + path)
        found[path] = Axe().run(page)
        overflow = "document.documentElement.scrollWidth - innerWidth"
        assert page.evaluate(overflow) <= 0, path

    reports = [each.generate_report() for each in found.values()]
    assert [r for r, f in zip(reports, found.values(), strict=True) if _count(f)] == []


@pytest.mark.parametrize("width", [320, 375])
def test_the_header_shows_the_name_on_a_narrow_phone(
    server: str, open_page: Callable[..., Page], width: int
) -> None:
    page = open_page(server, viewport={"width": width, "height": 640})
    cut = "each => each.scrollWidth > each.clientWidth + 1"

    assert not page.eval_on_selector(".user > bdi", cut)
    assert page.locator(".account button").bounding_box()["height"] < 44
    assert page.get_by_role("link", name="Model registry").is_visible()


def _count(results: object) -> int:
    return int(results.violations_count)  # type: ignore[attr-defined]


def test_everything_is_reached_by_keyboard(
    server: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(server)
    reached = set()
    for _ in range(25):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.className"))
        if page.evaluate("document.activeElement.matches('a.name')"):
            break

    assert {"skip", "brand", "quiet", "chip tone-green", "name"} <= reached
    page.keyboard.press("Enter")
    page.wait_for_selector("#versions")


def test_the_pages_work_without_javascript(
    server: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(server, java_script_enabled=False)
    page.fill("#q", "churn")
    page.click(".search button")
    page.wait_for_url("**/?*q=churn*")
    assert names(page) == ["churn", "churn"]

    page.click("a.name >> nth=0")
    page.wait_for_selector("#versions")
    assert "dvc models pull churn" in page.inner_text(".get")
    assert page.locator(".copy-button").count() == 0
    page.click("text=Sign out")
    page.wait_for_selector("#token")


def test_the_script_of_the_screenshots_takes_those_of_the_docs(
    browser: Browser, tmp_path: Path
) -> None:
    assert browser.is_connected()
    docs = Path(__file__).parents[2] / "docs"
    script = docs.parent / "examples" / "screenshots.py"
    programs = os.fspath(Path(sys.executable).parent)
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}

    subprocess.run([sys.executable, script, tmp_path], env=env, check=True)

    taken = {path.name for path in tmp_path.glob("*.png")}
    assert taken == {path.name for path in docs.glob("page-*.png")}
    assert all(0 < path.stat().st_size < 200_000 for path in docs.glob("page-*.png"))
    shown = set(re.findall(r"\((page-[a-z-]+\.png)\)", (docs / "page.md").read_text()))
    assert shown <= taken
