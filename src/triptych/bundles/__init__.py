"""Bundles: a trained committee on disk, complete; nothing else is needed to serve it.

    <home>/bundles/<name>/active   which version is served; without it the highest, at 0 none
    <home>/bundles/<name>/card.json   what people say of it
    <home>/bundles/<name>/<version>/
        bundle.json            what it is, with the hash of every file below
        labels.txt             one class a line, in the order of the outputs
        learned.txt            SHA-256 of each photo it learned, so that none is taken to judge it
        answers.npz            what it said of photos it had not learned, see `answers`
        README.md              model card
        metrics.json           figures of the evaluation, report.html with pictures
        members/<member>/
            model.keras        the whole Keras model: backbone and head
            taught.npz         what the photos it was taught on look like to it
            network.xml, .bin  the same for the engine, so that serving needs no Keras
            int8-1/            the same at int8, after ``triptych optimize``; see `engine.int8`

    reading    a version that lies on disk, checked
    shelf      the versions of all bundles: names, which is served, finding, removing
    wording    what people say of a bundle, on its model card
    writing    the next version
    archive    a version as one zip file
    borrowing  bundles that lie elsewhere, at a URL

A version is written in a hidden folder and appears by a rename: whole or not at all. It is served
from then on, until another one is made the active one. Nothing in it is a pickle.
"""

from __future__ import annotations

from triptych.bundles.archive import pack
from triptych.bundles.archive import pack_into
from triptych.bundles.archive import unpack
from triptych.bundles.card_text import card_texts
from triptych.bundles.card_text import save_card_texts
from triptych.bundles.reading import OOD_REFERENCE
from triptych.bundles.reading import TRAINED_ON
from triptych.bundles.reading import Bundle
from triptych.bundles.reading import check_files
from triptych.bundles.reading import read
from triptych.bundles.registry import RESERVED
from triptych.bundles.registry import activate
from triptych.bundles.registry import active
from triptych.bundles.registry import check_name
from triptych.bundles.registry import find
from triptych.bundles.registry import listed
from triptych.bundles.registry import names
from triptych.bundles.registry import remove
from triptych.bundles.registry import versions
from triptych.bundles.remote import download
from triptych.bundles.remote import get
from triptych.bundles.remote import import_from_url
from triptych.bundles.remote import upload
from triptych.bundles.remote import with_digest
from triptych.bundles.writing import with_int8
from triptych.bundles.writing import with_params
from triptych.bundles.writing import write

__all__ = [
    "OOD_REFERENCE",
    "RESERVED",
    "TRAINED_ON",
    "Bundle",
    "activate",
    "active",
    "card_texts",
    "check_files",
    "check_name",
    "download",
    "find",
    "get",
    "import_from_url",
    "listed",
    "names",
    "pack",
    "pack_into",
    "read",
    "remove",
    "save_card_texts",
    "unpack",
    "upload",
    "versions",
    "with_digest",
    "with_int8",
    "with_params",
    "write",
]
