"""Checks the tokens of CI jobs (OpenID Connect) by the keys of their issuer."""

from __future__ import annotations

import fnmatch
import json
import logging
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dvc_studio_models.http.hosts.client import HostClient, HostFailed
from dvc_studio_models.server.access.principal import Principal
from dvc_studio_models.server.access.tokens import utc_now
from dvc_studio_models.server.errors.requests import TokenUncheckedError
from dvc_studio_models.server.monitoring import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import jwt

    from dvc_studio_models.server.config.values import OidcConfig

logger = logging.getLogger(f"dvc.{__name__}")

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")
"""With a public key. A token must not choose how it is checked."""

LEEWAY_S = 30
"""By how much the clocks of an issuer and this server may differ, in seconds."""

FRESH_S = 3600.0
"""How long keys are used before they are fetched again, in seconds."""

AGAIN_S = 30.0
"""The shortest time between two fetches, in seconds, whatever keys tokens name."""

MAX_CHARS = 8192
"""Of a token; those of GitHub and GitLab have about 2,000."""

LONGEST_S = 24 * 3600
"""For how long a token is accepted at most, in seconds, whatever its issuer says."""

OK = 200

SHOWN_CHARS = 200
"""Of what a token says, in the log."""


class Issuer:
    """The keys of one issuer, fetched when needed. Used by several threads."""

    def __init__(
        self, url: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Fetch nothing yet."""
        self.url = url
        self._clock = clock
        self._client = HostClient()
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._lock = threading.Lock()

    def find_key(self, kid: str) -> jwt.PyJWK | None:
        """Return the key of this ID; None if the issuer has none.

        Keys that are known are used even if the issuer does not respond any more.

        Raises:
            TokenUncheckedError: No key could be fetched yet.
        """
        if kid in self._keys and not self._is_older(self._fetched_at, FRESH_S):
            return self._keys[kid]
        with self._lock:
            if self._is_older(self._tried_at, AGAIN_S):
                self._refresh()
        if self._fetched_at is None:
            raise TokenUncheckedError
        return self._keys.get(kid)

    def _refresh(self) -> None:
        try:
            self._keys = self._fetch()
            self._fetched_at = self._clock()
        except HostFailed as error:
            logger.warning("cannot fetch the keys of '%s': %s", self.url, error)
        self._tried_at = self._clock()

    def _is_older(self, moment: float | None, seconds: float) -> bool:
        return moment is None or self._clock() - moment > seconds

    def _fetch(self) -> Mapping[str, jwt.PyJWK]:
        from jwt import PyJWKSet, PyJWTError

        # The path is appended to the issuer's own, see OpenID Connect Discovery.
        where = f"{self.url.rstrip('/')}/.well-known/openid-configuration"
        document = self._read(where)
        keys_url = document.get("jwks_uri")
        if document.get("issuer") != self.url or not isinstance(keys_url, str):
            raise HostFailed(where, "it does not describe this issuer")
        if not keys_url.startswith("https://") and self.url.startswith("https://"):
            raise HostFailed(where, "its keys are not behind https")
        try:
            found = PyJWKSet.from_dict(self._read(keys_url)).keys
        except (PyJWTError, AttributeError, TypeError, ValueError):
            raise HostFailed(keys_url, "it has no usable keys") from None
        return {key.key_id: key for key in found if key.key_id}

    def _read(self, url: str) -> dict[str, Any]:
        reply = self._client.get(url)
        try:
            found = json.loads(reply.body) if reply.status == OK else None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise HostFailed(url, f"it answered {reply.status} without a JSON object")
        return found


class Jobs:
    """The rules by which the tokens of jobs are accepted."""

    def __init__(
        self, rules: Sequence[OidcConfig], issuers: Mapping[str, Issuer]
    ) -> None:
        """Accept what any of the rules accepts.

        Args:
            rules: Each with an issuer.
            issuers: By their URLs.
        """
        self._rules = tuple(rules)
        self._issuers = issuers

    def check(self, token: str) -> Principal | None:
        """Return the job whose token this is; None if it is not accepted.

        The log says why a token is refused whose signature is right: others may be of
        anybody.

        Raises:
            TokenUncheckedError: The keys of its issuer could not be fetched.
        """
        claims = self._verify(token) if len(token) <= MAX_CHARS else None
        if claims is None:
            return None
        matching = [rule for rule in self._rules if _matches(rule, claims)]
        if not matching:
            wanted = [rule for rule in self._rules if _is_for(rule, claims)]
            _refuse(
                "claims", "; or ".join(_difference(rule, claims) for rule in wanted)
            )
            return None
        repos = tuple(dict.fromkeys(glob for rule in matching for glob in rule.repos))
        life_s = int(claims["exp"]) + LEEWAY_S - int(time.time())
        ends = utc_now() + timedelta(seconds=min(life_s, LONGEST_S))
        return Principal(_shortened(claims["sub"]), repos, ends)

    def _verify(self, token: str) -> dict[str, Any] | None:
        """Return the claims, after all checks but those of the rules' own claims."""
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            unchecked = jwt.decode(token, options={"verify_signature": False})
            url, kid = unchecked.get("iss"), header.get("kid")
            issuer = self._issuers.get(url) if isinstance(url, str) else None
            if issuer is None or header.get("alg") not in ALGORITHMS:
                return None
            key = issuer.find_key(str(kid))
            if key is None:
                return None
            accepted = {rule.audience for rule in self._rules if rule.issuer == url}
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=accepted,
                issuer=url,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.InvalidAudienceError:  # the signature was checked before
            found = _shown(unchecked.get("aud"))
            _refuse("audience", f"'aud' is {found}, not {_shown(sorted(accepted))}")
            return None
        except (
            jwt.ExpiredSignatureError,
            jwt.ImmatureSignatureError,
            jwt.MissingRequiredClaimError,
        ) as error:
            _refuse(
                "expired" if isinstance(error, jwt.ExpiredSignatureError) else "form",
                f"{error}",
            )
            return None
        except (jwt.PyJWTError, ArithmeticError, RecursionError, TypeError, ValueError):
            return None
        return claims


def _matches(rule: OidcConfig, claims: Mapping[str, Any]) -> bool:
    return (
        _is_for(rule, claims)
        and bool(rule.claims)
        and all(_has(claims.get(name), globs) for name, globs in rule.claims.items())
    )


def _is_for(rule: OidcConfig, claims: Mapping[str, Any]) -> bool:
    """Return whether a rule is for the issuer and the audience of a token."""
    audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    return claims["iss"] == rule.issuer and rule.audience in audiences


def _difference(rule: OidcConfig, claims: Mapping[str, Any]) -> str:
    """Return which claims of a token do not match a rule."""
    return ", ".join(
        f"'{name}' is {_shown(claims.get(name))}, not {_shown(globs)}"
        for name, globs in rule.claims.items()
        if not _has(claims.get(name), globs)
    )


def _shown(value: object) -> str:
    """Return a claim as JSON, which escapes line ends and all but ASCII."""
    return "missing" if value is None else _shortened(json.dumps(value))


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."


def _refuse(reason: str, details: str) -> None:
    """Tell the operator why a token is refused: a metric's label, and details."""
    metrics.refused_jobs.labels(reason).inc()
    logger.warning("refused the token of a job: %s", details)


def _has(value: object, globs: Sequence[str]) -> bool:
    """Return whether a claim, or one of a list, matches a glob; a missing one never."""
    values = value if isinstance(value, list) else [value]
    texts = [each if isinstance(each, str) else json.dumps(each) for each in values]
    return value is not None and any(
        fnmatch.fnmatchcase(text, glob) for text in texts for glob in globs
    )
