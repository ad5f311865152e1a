"""An issuer of OpenID Connect tokens, as GitHub Actions and GitLab are."""

from __future__ import annotations

import functools
import json
import time
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from servers.behaviour import json_reply
from servers.server import Reply, Server, refusal

if TYPE_CHECKING:
    from servers.wire import Exchange

REQUEST_TOKEN = "PLANTED_REQUEST_TOKEN"
"""What a job of GitHub's sends to get a token."""

CLAIMS = {
    "sub": "repo:acme/models:ref:refs/heads/main",
    "repository": "acme/models",
    "repository_owner": "acme",
    "ref": "refs/heads/main",
}
"""Of a job, if not told otherwise."""


@functools.cache
def private_key(name: str) -> Any:
    """Return a key, made once: RSA keys take long."""
    if name.startswith("EC"):
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class IssuerServer(Server):
    """Publishes keys, and issues tokens to jobs."""

    def __init__(self) -> None:
        super().__init__()
        self.keys = ["RS-1"]
        """Names of the keys that are published."""
        self.signs_with = "RS-1"
        """The key of new tokens."""
        self.claims: dict[str, Any] = dict(CLAIMS)
        """Of the tokens that jobs get."""
        self.document: dict[str, Any] = {}
        """Changes the discovery document."""

    @property
    def url(self) -> str:
        """The claim ``iss``."""
        return self.origin()

    @property
    def environ(self) -> dict[str, str]:
        """What GitHub sets in a job that may get tokens."""
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN,
        }

    def issue(
        self, audience: Any, *, key: str | None = None, life_s: int = 300, **claims: Any
    ) -> str:
        """Return a token; a claim that is None is left out."""
        now = int(time.time())
        times = {"iat": now - 5, "nbf": now - 5, "exp": now + life_s}
        name = key or self.signs_with
        chosen = {"iss": self.url, "aud": audience, **times, **self.claims, **claims}
        payload = {name: value for name, value in chosen.items() if value is not None}
        algorithm = "ES256" if name.startswith("EC") else "RS256"
        # Not ``jwt.encode``, which refuses some of what a hostile client can send.
        text = json.dumps(payload).encode()
        return jwt.api_jws.encode(text, private_key(name), algorithm, {"kid": name})

    def answer(self, exchange: Exchange) -> Reply:
        """Respond as an issuer does."""
        if exchange.path == "/.well-known/openid-configuration":
            document = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
            return refusal(json_reply({**document, **self.document}, 200))
        if exchange.path == "/keys":
            return refusal(
                json_reply({"keys": [_public(key) for key in self.keys]}, 200)
            )
        if exchange.path != "/token":
            return refusal(json_reply({"message": "not found"}, 404))
        if exchange.headers.get("authorization") != f"bearer {REQUEST_TOKEN}":
            return refusal(json_reply({"message": "bad credentials"}, 401))
        token = self.issue(exchange.params["audience"])
        return refusal(json_reply({"count": len(token), "value": token}, 200))


def _public(name: str) -> dict[str, Any]:
    kind = (
        jwt.algorithms.ECAlgorithm if name[:2] == "EC" else jwt.algorithms.RSAAlgorithm
    )
    key = json.loads(kind.to_jwk(private_key(name).public_key()))
    return {**key, "kid": name, "use": "sig"}
