"""Recompute the facts of the zoo's table and compare them with the table.

    python tools/zoo_facts.py              # every backbone; minutes, and some 3 GB of memory
    python tools/zoo_facts.py ResNet50     # only these

Builds every network with random weights and counts; intercepts the address that Keras would
download ``weights="imagenet"`` from. Exits with 1 if the table is wrong.
"""

from __future__ import annotations

import sys
from typing import Any

import keras
from keras.src.utils import file_utils

from triptych.models import zoo
from triptych.models.zoo import network


class InterceptedDownload(Exception):
    """Stops Keras before it downloads, and carries the request."""


def computed_facts(backbone: zoo.Backbone) -> dict[str, Any]:
    """Parameters, feature length and multiply-adds of the built network."""
    model = backbone.build()
    return {
        "parameters": model.count_params(),
        "feature_length": network.features_output(model).shape[-1],
        "multiply_adds": network.multiply_adds(model),
    }


def weights_facts(backbone: zoo.Backbone) -> dict[str, Any]:
    """File, address and hash that Keras uses for ``weights="imagenet"``."""

    def catch(fname: str, origin: str, file_hash: str | None = None, **_: Any) -> None:
        hash_name = "sha256" if file_hash and len(file_hash) == 64 else "md5"
        raise InterceptedDownload(
            {
                "file": fname,
                "url": origin,
                "hash": f"{hash_name}:{file_hash}" if file_hash else None,
            }
        )

    real, file_utils.get_file = file_utils.get_file, catch
    try:
        builder = getattr(keras.applications, backbone.name)
        builder(weights="imagenet", input_shape=(*backbone.recipe.size, 3))
    except InterceptedDownload as intercepted:
        facts: dict[str, Any] = intercepted.args[0]
        return facts
    finally:
        file_utils.get_file = real
    raise SystemExit(f"Keras downloads nothing for {backbone.name}.")


def differences(backbone: zoo.Backbone) -> list[str]:
    """Where the table differs from the network, one sentence each."""
    facts: list[tuple[Any, dict[str, Any]]] = [(backbone, computed_facts(backbone))]
    if backbone.builder.startswith("keras.applications:"):
        facts.append((backbone.weights, weights_facts(backbone)))
    return [
        f"{backbone.name}: {field} is {fact!r}; the table says {getattr(row, field)!r}"
        for row, values in facts
        for field, fact in values.items()
        if getattr(row, field) != fact
    ]


def main(names: list[str]) -> int:
    """Print what is wrong; 1 if anything is."""
    backbones = [zoo.find(name) for name in names] or list(zoo.BACKBONES.values())
    any_wrong = False
    for backbone in backbones:
        wrong = differences(backbone)
        any_wrong |= bool(wrong)
        keras.backend.clear_session()
        print(*wrong or [f"{backbone.name}: right"], sep="\n", flush=True)
    return int(any_wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
