"""A trial of a student, where its graph does not tell what signs its layers see."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_rbcn._samples import input_signature
from keras_rbcn.conversion.binary_inputs import check_binary_inputs
from keras_rbcn.conversion.graph import Call
from keras_rbcn.conversion.operations import is_activation, is_doubtful, sign_sources
from keras_rbcn.conversion.plan import Plan

_SAMPLES = 2


def blind_layers(student: Any, plan: Plan) -> list[Any]:
    """Finds layers of the model whose 1-bit form sees one sign only.

    The student runs on random inputs, but only if signs come from operations whose
    effect on them is not known, such as layers of the user's own.

    Args:
        student: What was built after the plan.
        plan: The plan.

    Returns:
        The layers of the model; those that the user wants to be 1-bit are not asked.
    """
    calls = [call for call in plan.binary_calls() if plan.takes_signs(call)]
    layers = {
        call.name: call.layer
        for call in calls
        if not plan.choices[call.layer].wished and _has_doubtful_inputs(call, plan)
    }
    if not layers:
        return []
    try:
        specs = input_signature(student).specs
    except ValueError:
        return []  # With undefined sizes there is nothing to try it on.
    if any(spec.dtype == "string" for spec in specs):
        return []
    generator = np.random.default_rng(0)
    arrays = [_random_input(spec, generator) for spec in specs]
    report = check_binary_inputs(student, arrays, samples=_SAMPLES)
    return [
        layers[row.name]
        for row in report.layers
        if row.name in layers and row.positive in (0.0, 1.0)
    ]


def _random_input(spec: Any, generator: np.random.Generator) -> np.ndarray:
    shape = (_SAMPLES, *spec.shape[1:])
    if spec.dtype.is_floating:
        return generator.normal(size=shape)
    # Integers that are right for every vocabulary, and for flags.
    return generator.integers(0, 2, shape).astype(spec.dtype.as_numpy_dtype)


def _has_doubtful_inputs(call: Call, plan: Plan) -> bool:
    pending = [plan.resolve(*plan.source(call))]
    seen = set(pending)
    while pending:
        maker = pending.pop().producer
        if maker is None:
            continue
        if is_doubtful(maker):
            return True
        known = maker.inputs if is_activation(maker) else sign_sources(maker)
        pending += [value for value in known if value not in seen]
        seen.update(known)
    return False
