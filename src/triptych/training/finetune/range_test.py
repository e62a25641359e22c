"""The peak learning rate of fine-tuning, found by a range test."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from triptych.preprocessing.recipe import Recipe
from triptych.training.finetune import network
from triptych.training.finetune.batches import AugmentedBatches
from triptych.typing import ShouldStop

# The lowest and the highest learning rate, how much lower the rate is than the one at which the
# network breaks down, and the rates of the range test with the steps over which its losses are
# averaged. The rate with the lowest loss is no guide here: the head was fitted to these photos, so
# any step raises the loss at first (measured on omniglot136: it would give 5e-5, with which little
# is learned). Measured: flowers12 (frozen loss 0.07) gets worse with 1e-3 and better with 3e-4;
# omniglot136 (1.1) gets 3 points better with 1e-3 than with 5e-4; hence the root of the loss. The
# test begins low: Adam's first steps at a higher rate break any network.
LEAST_RATE, MOST_RATE = 1e-4, 1e-3
SAFETY = 5.0
RATES = np.geomspace(LEAST_RATE, SAFETY * MOST_RATE, 17)
AVERAGED_STEPS = 3


def find_rate(
    model: Any,
    batches: AugmentedBatches,
    photo_recipe: Recipe,
    loss: float,
    stop: ShouldStop,
) -> float:
    """Find a learning rate by a range test; the model is unchanged afterwards.

    The rate rises from step to step until the loss exceeds that of equal probabilities for all
    classes. The better the frozen network is, the less it has to learn, and the more it can lose.

    Args:
        model: Compiled, with its head fitted.
        batches: Training batches; some of them are used.
        photo_recipe: With the size of the model's input.
        loss: Its loss on the held-out photos, in nats.
        stop: Polled at each step; ends the test.

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks", 2017 (the range test).
    """
    knows_nothing = math.log(model.output_shape[-1])
    losses: list[float] = []
    with network.restored(model):
        for rate, batch in zip(RATES, batches.repeated(photo_recipe), strict=False):
            losses.append(network.train_step(model, batch, rate))
            if stop() or not np.mean(losses[-AVERAGED_STEPS:]) < knows_nothing:
                break
    safe = RATES[len(losses) - 1] / SAFETY
    return float(max(LEAST_RATE, safe * min(1.0, math.sqrt(loss))))
