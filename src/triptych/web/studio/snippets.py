"""What to type elsewhere to ask a committee of this studio."""

from __future__ import annotations

from dataclasses import dataclass

import flask

VARIABLE = "TRIPTYCH_API_KEY"
HERE = """\
import triptych

verdict = triptych.load("{name}").classify("photo.jpg")
print(verdict.label.name, verdict.prob)
"""
ELSEWHERE = """\
import json
{imports}import urllib.request

with open("photo.jpg", "rb") as photo:
    request = urllib.request.Request(
        "{address}",
        data=photo.read(),
        headers={{{headers}}},
    )
with urllib.request.urlopen(request) as answer:
    print(json.load(answer)["results"][0]["verdict"])
"""


@dataclass(frozen=True)
class Snippet:
    """Something to copy.

    Args:
        id: Of the element that shows it.
        title: What it is for.
        text: What is copied.
    """

    id: str
    title: str
    text: str


def of(name: str, *, has_key: bool) -> list[Snippet]:
    """The ways to ask a committee.

    Args:
        name: Of the committee.
        has_key: Whether the studio answers only to those who send its key.
    """
    address = flask.url_for("api.classify", committee=name, _external=True)
    return [
        Snippet("curl", "From a terminal", _curl(address, has_key)),
        Snippet("elsewhere", "From Python, anywhere", _elsewhere(address, has_key)),
        Snippet("here", "From Python, on this machine", HERE.format(name=name)),
    ]


def _curl(address: str, has_key: bool) -> str:
    key = f'-H "Authorization: Bearer ${VARIABLE}" ' if has_key else ""
    return f'curl {key}-F image=@photo.jpg "{address}"\n'


def _elsewhere(address: str, has_key: bool) -> str:
    headers = ['"Content-Type": "application/octet-stream"']
    if has_key:
        headers.append(f'"Authorization": "Bearer " + os.environ["{VARIABLE}"]')
    return ELSEWHERE.format(
        imports="import os\n" if has_key else "", address=address, headers=", ".join(headers)
    )
