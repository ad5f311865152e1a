"""Checks the repos of a config, and what the repos of one server share."""

from __future__ import annotations

import contextlib
import os
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from dvc_studio_models.errors import StudioModelsError
from dvc_studio_models.server.access.principal import Principal
from dvc_studio_models.server.catalog.index import ModelIndex
from dvc_studio_models.server.errors.requests import RefusedError, list_some
from dvc_studio_models.server.links.signers import Signers
from dvc_studio_models.server.mirrors.places import with_paths
from dvc_studio_models.server.repos.identity import Identity
from dvc_studio_models.server.repos.opening import Opening
from dvc_studio_models.server.repos.repos import OPEN_S, Catalog
from dvc_studio_models.server.stores.first_seen import FirstSeen

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from dvc_studio_models.server.config.document import Keys
    from dvc_studio_models.server.config.values import (
        GitHostConfig,
        OidcConfig,
        RepoConfig,
        ServeConfig,
        TokenConfig,
    )
    from dvc_studio_models.server.repos.repos import ServedRepo
    from dvc_studio_models.server.stores.places import Place

_SERVER_ERROR = 500


def find_problems(repos: Sequence[RepoConfig]) -> dict[int, str]:
    """Return the number of each repo that cannot be opened -> why.

    Mirrors are left out: the server makes them.
    """
    openings = {n: Opening(each) for n, each in enumerate(repos) if each.url is None}
    for opening in openings.values():
        opening.start(lambda _: None)
    deadline = time.monotonic() + OPEN_S
    return {
        number: opening.message
        for number, opening in openings.items()
        if not opening.wait(max(0.0, deadline - time.monotonic())) or opening.error
    }


def find_doubts(config: ServeConfig) -> list[tuple[Keys, str]]:
    """Return what is probably not meant so in a config without mistakes, and where.

    Mirrors are not opened: the server makes them.
    """
    config = with_paths(config)
    own = [each for each in config.repos if each.url is None]
    catalog = Catalog(own) if own else ()
    names = [each.name for each in config.repos if each.url]
    names += [repo.key for repo in catalog]
    doubts = [*_ended(config), *_same_urls(config), *find_unmatched(config, names)]
    doubts += _unwritable(config)
    numbers = {id(each): number for number, each in enumerate(config.repos)}
    protocols = Signers.from_environment(expires_s=config.expires_s).protocols
    indexes = {
        repo.key: ModelIndex(repo, seen=FirstSeen(), protocols=protocols)
        for repo in catalog
    }
    for first, *_ in find_shared(catalog, lambda repo: indexes[repo.key]):
        doubts.append((("repos", numbers[id(first.repo.config)]), first.text))
    for repo in catalog:
        faults = _find_faults(indexes[repo.key])
        doubts += ((("repos", numbers[id(repo.config)]), what) for what in faults)
    if isinstance(catalog, Catalog):
        catalog.close()
    return doubts


def _find_faults(index: ModelIndex) -> set[str]:
    """Return what keeps models of a repo from being served, without reading remotes.

    What is wrong with one version is no fault of the config.
    """
    found = set()
    try:
        with index.git_errors():
            samples = index.samples()
    except RefusedError as error:
        return {error.for_log}
    for ref in samples:
        try:
            index.look_up(ref)
        except RefusedError as error:
            if error.status >= _SERVER_ERROR:
                found.add(error.for_log)
    return found


def _ended(config: ServeConfig) -> Iterator[tuple[Keys, str]]:
    today = datetime.now(timezone.utc).date()
    for number, token in enumerate(config.tokens or ()):
        if token.until and token.until < today:
            yield ("tokens", number, "until"), "this token has ended"


def _same_urls(config: ServeConfig) -> Iterator[tuple[Keys, str]]:
    found: dict[Identity, str] = {}
    for number, repo in enumerate(config.repos):
        if repo.url is None:
            continue
        first = found.setdefault(Identity.of(repo.url), repo.name)
        if first != repo.name:
            what = f"'{first}' has the same URL: requests with it get only one of them"
            yield ("repos", number, "url"), what


def _unwritable(config: ServeConfig) -> Iterator[tuple[Keys, str]]:
    """Say that the folder of mirrors cannot be made or written, by this user."""
    if config.data is None or not any(repo.url for repo in config.repos):
        return
    there = next(p for p in (config.data, *config.data.parents) if os.path.lexists(p))
    if not there.is_dir():
        yield ("data",), f"'{there}' is not a folder"
    elif not os.access(there, os.W_OK | os.X_OK):
        yield ("data",), f"this user cannot write to '{there}'"


def find_unmatched(
    config: ServeConfig, names: Collection[str]
) -> Iterator[tuple[Keys, str]]:
    """List the globs of callers that match no repo, and where they are.

    Args:
        config: Whose callers.
        names: Of all repos.
    """
    sections: dict[str, Sequence[TokenConfig | OidcConfig | GitHostConfig]] = {
        "tokens": config.tokens or (),
        "oidc": config.oidc,
        "git_hosts": config.git_hosts,
    }
    for section, callers in sections.items():
        for number, caller in enumerate(callers):
            for at, glob in enumerate(caller.repos):
                if glob != "*" and not any(map(Principal("", (glob,)).may_see, names)):
                    keys = (section, number, "repos", at)
                    yield keys, f"no repo has the name '{glob}'"


class Shared(NamedTuple):
    """A thing that a repo shares with others, and should have for itself."""

    repo: ServedRepo
    what: str
    """The thing."""

    text: str
    """Says with whom, and what to do."""


def find_shared(
    repos: Iterable[ServedRepo], index_of: Callable[[ServedRepo], ModelIndex]
) -> list[list[Shared]]:
    """Return what repos share: for each thing, all repos of which it may be said.

    Args:
        repos: All of them.
        index_of: Returns the models of one.
    """
    places = [(repo, _places(index_of(repo))) for repo in repos]
    hidden = _hidden_names([repo for repo, _ in places])
    return [*([each] for each in hidden), *_shared_places(places)]


def _hidden_names(repos: Sequence[ServedRepo]) -> Iterator[Shared]:
    for repo in repos:
        for alias in repo.config.aliases:
            who = Identity.of(alias)
            others = [
                each.key for each in repos if each is not repo and who in each.homes
            ]
            if others:
                what = f"its alias '{who}' is also a URL of"
                advice = "requests with it get only one of them"
                yield Shared(repo, what, f"{what} {list_some(others)}: {advice}")


def _shared_places(
    places: Sequence[tuple[ServedRepo, frozenset[Place]]],
) -> Iterable[list[Shared]]:
    groups: dict[tuple[object, ...], list[Shared]] = {}
    for repo, own in places:
        if repo.config.roots is not None:
            continue
        for place in own:
            others = [
                other.key
                for other, theirs in places
                if other is not repo and any(map(place.overlaps, theirs))
            ]
            if others:
                what = f"its DVC remote at {place} is also in a place of"
                text = (
                    f"{what} {list_some(others)}, whose models its committers can "
                    "have the server read: set 'roots' of each of them in serve.yaml"
                )
                together = (place, *sorted((repo.key, *others)))
                groups.setdefault(together, []).append(Shared(repo, what, text))
    return groups.values()


def _places(index: ModelIndex) -> frozenset[Place]:
    """Return where the remotes of a repo's projects may be, as far as samples show."""
    found: set[Place] = set()
    with contextlib.suppress(StudioModelsError):  # requests get the reason
        found.update(index.remotes.places())
        for ref in index.samples():
            with contextlib.suppress(RefusedError):
                stores = index.look_up(ref).stores.values()
                found.update(store.place for store in stores)
    return frozenset(found)
