"""Print the verdict of a committee on photos.

pip install pillow and, by the ending of the file, ai-edge-litert (.tflite), tensorflow (a folder)
or keras and tensorflow (.keras)

python classify.py PHOTO...
"""

import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL import ImageOps

FILE = Path(__file__).with_name("{file}")

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def read(name: str, enough_px: int) -> Image.Image:
    """A photo, upright and RGB; a large JPEG is decoded in a smaller size, as in Triptych."""
    with Image.open(name) as image:
        image.draft(image.mode, (enough_px, enough_px))
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            upright = Image.alpha_composite(
                Image.new("RGBA", upright.size, "white"), upright.convert("RGBA")
            )
        return upright.convert("RGB")


def crop(image: Image.Image, recipe: dict[str, Any]) -> Any:
    """What one of the networks takes of a photo, uint8, shape (1, height, width, 3)."""
    rows, columns = recipe["size"]
    box = (0, 0, image.width, image.height)
    if recipe["fit"] == "crop":
        share = recipe["crop_share"] * min(image.height / rows, image.width / columns)
        left = max(0, (image.width - columns * share) / 2)
        top = max(0, (image.height - rows * share) / 2)
        right = min(image.width, left + columns * share)
        box = (left, top, right, min(image.height, top + rows * share))
    resized = image.resize(
        (columns, rows), FILTERS[recipe["interpolation"]], box=box, reducing_gap=2.0
    )
    return np.array(resized)[np.newaxis]


def open_file() -> tuple[dict[str, Any], Any]:
    """What the file says about itself, and a function from crops by name to outputs by name."""
    if FILE.is_dir():
        import tensorflow as tf

        loaded = tf.saved_model.load(str(FILE))
        about = (FILE / "assets.extra" / "triptych.json").read_bytes()
        return json.loads(about), lambda crops: loaded.signatures["serving_default"](
            **{name: tf.constant(pixels) for name, pixels in crops.items()}
        )
    with zipfile.ZipFile(FILE) as archive:
        about = json.loads(archive.read("triptych.json"))
    if FILE.suffix == ".keras":
        import keras

        return about, keras.saving.load_model(FILE, safe_mode=True).predict_on_batch
    from ai_edge_litert.interpreter import Interpreter

    # By itself it uses one core.
    interpreter = Interpreter(str(FILE), num_threads=os.cpu_count())
    runner = interpreter.get_signature_runner("serving_default")
    return about, lambda crops: runner(**crops)


about, run = open_file()
for name in sys.argv[1:]:
    photo = read(name, about["enough_px"])
    # The committee is inside of the file, from the pixels that its networks take.
    outputs = run({each["input"]: crop(photo, each["recipe"]) for each in about["members"]})
    answer = {name: np.array(output)[0] for name, output in outputs.items()}
    probs = answer["probs"]
    order = np.argsort(-probs, kind="stable")
    guesses = [
        {"label": about["labels"][index]["name"], "prob": round(float(probs[index]), 4)}
        for index in order
    ]
    status = about["statuses"][int(answer["status"])]
    if about.get("task") == "multi-label":  # any number of classes may hold
        rows = zip(guesses, order, strict=True)
        named = {"labels": [guess for guess, index in rows if answer["holds"][index]]}
        verdict = {"photo": name, "status": status, **named}
    else:
        names = [about["labels"][index]["name"] for index in np.flatnonzero(answer["set"])]
        verdict = {"photo": name, **guesses[0], "status": status, "set": names}
    print(json.dumps(verdict, allow_nan=False))
