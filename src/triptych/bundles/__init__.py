"""Bundles: trained committees on disk, complete with all that is needed to serve them.

    <home>/bundles/<name>/active   the version that is served; without it the highest, 0 for none
    <home>/bundles/<name>/removed  the highest version that was removed
    <home>/bundles/<name>/card.json   texts for its model card, written by people
    <home>/bundles/<name>/<version>/
        bundle.json            labels, recipes, fitted parameters, and a hash of every file below
        labels.txt             one class a line, in the order of the outputs
        learned.txt            SHA-256 of each training photo, so that none is used for evaluation
        answers.npz            out-of-fold predictions, see `oof_predictions`
        README.md              model card
        metrics.json           metrics of the evaluation; report.html shows them with photos
        members/<member>/
            model.keras        the whole Keras model: backbone and head
            taught.npz         features of the training photos, the OOD reference
            network.xml, .bin  the same network for the engine; serving needs no Keras
            int8-1/            its int8 form, after ``triptych optimize``; see `conversion.int8`

    reading          a version on disk, checked: `Bundle`
    metrics          the record of ``metrics.json``
    registry         names and versions of all bundles: find, list, activate, remove
    writing          the next version
    oof_predictions  out-of-fold predictions of a version
    card_text        people's texts for the model card; `model_card` renders the card
    archive          a version as one zip file
    proof            a trial run of a version from elsewhere, in a child process
    remote           download and upload of versions by URL
    hub              the same for repositories of the Hugging Face Hub
    loading          a committee by name, from the zoo or from a bundle

Writing a version is atomic: it is written in a hidden folder, which is then renamed. It is served
from then on, until another version is activated. No file in it is a pickle.
"""

from __future__ import annotations

from triptych.bundles.archive import pack
from triptych.bundles.archive import pack_into
from triptych.bundles.archive import unpack
from triptych.bundles.card_text import card_texts
from triptych.bundles.card_text import save_card_texts
from triptych.bundles.hub import push
from triptych.bundles.reading import MULTILABEL
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
from triptych.bundles.registry import remove_version
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
    "MULTILABEL",
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
    "push",
    "read",
    "remove",
    "remove_version",
    "save_card_texts",
    "unpack",
    "upload",
    "versions",
    "with_digest",
    "with_int8",
    "with_params",
    "write",
]
