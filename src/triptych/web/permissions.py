"""Which role each endpoint needs: the one table, and the committees that a request may ask."""

from __future__ import annotations

from collections.abc import Sequence

from werkzeug.exceptions import Forbidden

from triptych.studio.keys import ASK
from triptych.studio.keys import OWN
from triptych.studio.keys import TEACH
from triptych.studio.keys import Key
from triptych.utils.text import text

# By endpoint, or by blueprint for all others of it; a test holds every route to be here.
ROLES = {
    "access": None,  # signing in and out
    "figures.static": None,
    "languages": None,
    "probes": None,
    "sso": None,
    "static": None,
    "v2.live": None,
    "v2.ready": None,
    "api.classify": ASK,
    "api.committees": ASK,
    "api.explain": ASK,
    "api-docs": ASK,
    "classify": ASK,
    "docs": ASK,
    "metrics": ASK,
    "repository.index": ASK,
    "studio_publish.share": ASK,
    "tfserving": ASK,
    "v2": ASK,
    "api": TEACH,
    "import_api": TEACH,
    "inbox_api": TEACH,
    "project_api": TEACH,
    "studio": TEACH,
    "studio_decisions": TEACH,
    "studio_exports": TEACH,
    "studio_imports": TEACH,
    "studio_int8": TEACH,
    "studio_publish": TEACH,
    "studio_review": TEACH,
    "studio_sorting": TEACH,
    "fetching": OWN,
    "keys": OWN,
    "project_api.remove_project": OWN,
    "project_api.remove_version": OWN,
    "repository": OWN,
    "studio_disk": OWN,
    "studio.remove": OWN,
}
# What a key for one committee is good for; each of these holds it to that one.
OF_ONE_COMMITTEE = (
    "api.classify",
    "api.committees",
    "api.explain",
    "classify.page",
    "studio_publish.share",
    "tfserving",
    "v2",
)
MEANINGS = {
    ASK: text("classify photos"),
    TEACH: text("classify photos, and see, change, train and publish projects"),
    OWN: text("everything, with removing projects and making keys"),
}


def role_of(endpoint: str | None) -> str | None:
    """The role that a request needs; ``None`` if it needs no key.

    Args:
        endpoint: Flask's name of what answers it; ``None`` for an address that does not exist.

    Example:
        >>> role_of("api.classify"), role_of("studio.remove"), role_of("probes.live")
        ('ask', 'own', None)
    """
    if endpoint is None:  # the answer is 404, for those who may ask
        return ASK
    blueprint = endpoint.rpartition(".")[0]
    return ROLES[endpoint] if endpoint in ROLES else ROLES.get(blueprint, OWN)


def check(key: Key, endpoint: str | None) -> None:
    """Refuse what a key is not good for.

    Args:
        key: The key of a request.
        endpoint: Flask's name of what answers it.

    Raises:
        Forbidden: It needs another role, or is not for one committee alone.
    """
    role = role_of(endpoint)
    if role and not key.may(role):
        raise Forbidden(
            text(
                "This needs a key with the role {role} ({meaning}), and yours has the role "
                "{other}. Whoever owns the studio can make one.",
                role=role,
                meaning=MEANINGS[role],
                other=key.role,
            )
        )
    parts = (endpoint or "", (endpoint or "").rpartition(".")[0])
    if key.committee and role and not set(parts) & set(OF_ONE_COMMITTEE):
        raise Forbidden(
            text(
                "This key is for asking the committee {committee} and for nothing else. "
                "Whoever owns the studio can make another one.",
                committee=key.committee,
            )
        )


def allowed(key: Key, committee: str | None) -> str | None:
    """The committee that a request asks.

    Args:
        key: The key of the request.
        committee: The name in the request; ``None`` where it leaves that open.

    Returns:
        The key's only committee, or else what the request says.

    Raises:
        Forbidden: The key is for another one.
    """
    if not key.committee:
        return committee
    if committee not in (None, key.committee):
        raise Forbidden(
            text(
                "This key is for asking the committee {committee}, and the request asks "
                "{committee_2}. Whoever owns the studio can make another one.",
                committee=key.committee,
                committee_2=committee,
            )
        )
    return key.committee


def visible(key: Key, committees: Sequence[str]) -> list[str]:
    """The names of those committees that a key may ask."""
    return [name for name in committees if key.committee in (None, name)]
