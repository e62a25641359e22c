"""Print the verdict of a committee on photos.

pip install openvino pillow
python classify.py PHOTO...
"""

import json
import sys
from pathlib import Path

import numpy as np
import openvino
from PIL import Image
from PIL import ImageOps

FILE = Path(__file__).with_name("{file}")

core = openvino.Core()
model = core.read_model(FILE)
about = json.loads(model.get_rt_info(["triptych"]).astype(str))
# Other precisions would round the positions of pixels, too.
network = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

for name in sys.argv[1:]:
    with Image.open(name) as image:
        # A large JPEG is decoded in a smaller size, as in Triptych.
        image.draft(image.mode, (about["enough_px"], about["enough_px"]))
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            upright = Image.alpha_composite(
                Image.new("RGBA", upright.size, "white"), upright.convert("RGBA")
            )
        photo = np.asarray(upright.convert("RGB"))
    answer = network({"image": photo})
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
