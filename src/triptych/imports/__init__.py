"""Classifiers from elsewhere, as bundles.

    formats       the table of formats: how each is recognized, checked, and compared with
    sources       the model in a file, folder or zip, such as Teachable Machine's downloads
    facts         what a file says of itself: `onnx_file`, `tflite_file` and `saved_model_file` read
                  it without the libraries of these formats
    protobuf      fields of the messages that two of these formats are
    labels        the file with the classes
    readers       reads a model, by Keras or by OpenVINO's front ends
    runtimes      the programs that files are made for, in a child process
    rules         what a model's inputs and outputs mean, from facts about it
    recipe        how photos are prepared for it, from the user's text and from the file
    photo_proof   which of the likely recipes is right, by labelled photos
    importer      all of it in order

Nothing that a file brings is run: it is checked before a library opens it, and libraries open it in
child processes with a limit of memory and time.
"""

from __future__ import annotations

from triptych.imports.formats import FORMATS
from triptych.imports.importer import ExternalModel
from triptych.imports.importer import Importer
from triptych.imports.importer import import_model

__all__ = ["FORMATS", "ExternalModel", "Importer", "import_model"]
