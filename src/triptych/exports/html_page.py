"""A page in one HTML file: the committee and onnxruntime-web inside, answers without a server."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
from importlib import resources
from pathlib import Path

from triptych import errors
from triptych.exports import onnxruntime_web
from triptych.exports.source import Source
from triptych.utils.formatting import counted
from triptych.utils.formatting import odds
from triptych.utils.formatting import plain_text


def build(source: Source, model: bytes, home: Path) -> str:
    """The page, as HTML.

    Its policy for content (CSP) lets it fetch nothing, and run no script but its own.

    Args:
        source: What the model was made of.
        model: The committee as an ONNX file.
        home: Home folder, where onnxruntime-web is kept.

    Raises:
        errors.SettingError: onnxruntime-web is not there, and cannot be fetched.
        errors.SourceError: It is another one.
    """
    script, wasm = onnxruntime_web.read(home)
    committee, about = source.committee, source.metadata
    about["odds"] = odds(source.coverage) if about["coverage"] is not None else None
    for label in about["labels"]:
        label["name"] = plain_text(label["name"])
    names = ", ".join(member.name for member in committee.members)
    style = _colours() + _part("page.css")
    values = {
        "name": html.escape(plain_text(committee.name)),
        "classes": f"Its {counted(len(committee.labels), 'class', 'classes')}",
        "about": html.escape(
            f"Made by Triptych {about['triptych']}: {names}; rule {committee.rule}, precision "
            f"{source.precision}; onnxruntime-web {onnxruntime_web.VERSION}."
        ),
        "style": style,
        "style_hash": _hash(style),
        "script": _part("page.js"),
        "script_hash": _hash(_part("page.js")),
        "worker": _part("worker.js"),
        # No text of it can end the element that it is in.
        "metadata": json.dumps(about, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"),
        "runtime": _packed(script),
        "wasm": _packed(wasm),
        "model": _packed(model),
    }
    # In one pass, so that nothing in a value is replaced.
    return re.sub(r"\{([a-z_]+)\}", lambda slot: values[slot[1]], _part("page.html"))


def model_of(page: Path) -> bytes:
    """The ONNX file in a page.

    Raises:
        errors.SourceError: There is none.
    """
    packed = re.search(r'id="model">([A-Za-z0-9+/=]+)<', page.read_text(encoding="utf-8"))
    if not packed:
        raise errors.SourceError(f"{page} is no page that Triptych exported.")
    return gzip.decompress(base64.b64decode(packed[1]))


def _part(name: str) -> str:
    return resources.files("triptych.exports").joinpath("page", name).read_text(encoding="utf-8")


def _colours() -> str:
    """The palette of the studio, by day and by night."""
    folder = resources.files("triptych.evaluation").joinpath("static")
    return folder.joinpath("colours.css").read_text(encoding="utf-8")


def _packed(data: bytes) -> str:
    # Without the time, the same committee gives the same page.
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
