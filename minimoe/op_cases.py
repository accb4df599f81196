"""The table of operations: at least one row for each, which `minimoe gradcheck` and the tests run.

Adding an operation means adding its rows, in one of the two parts.
"""
from __future__ import annotations

import dataclasses

import numpy as np

from minimoe import op_cases_general, op_cases_moe, ops
from minimoe.backend import is_array, to_backend
from minimoe.gradcheck import GradientError, gradcheck
from minimoe.kernels.launch import launch_count
from minimoe.op_cases_general import Case

CASES: list[Case] = [*op_cases_general.CASES, *op_cases_moe.CASES]


def apply(case: Case, inputs: list, backend: str = "numpy"):
    """The operation of `case` on `inputs` with the case's options."""
    kwargs = {key: moved(value, backend) for key, value in case.kwargs.items()}
    return ops.OPS[case.op](*([inputs] if case.as_list else inputs), **kwargs)


def check(case: Case, backend: str = "numpy", seed: int = 0) -> float:
    """The largest relative error of the case's gradients. Raises GradientError that names operation and case."""
    inputs = case.inputs(np.random.default_rng(seed))
    try:
        return gradcheck(lambda *tensors: apply(case, list(tensors), backend), inputs, seed=seed, backend=backend)
    except GradientError as error:
        raise GradientError(f"{case}: {error}") from None


def check_all(backend: str = "numpy", seed: int = 0) -> dict[str, dict]:
    """Every case: operation -> {"cases": how many, "worst": largest relative error, "kernel_launches": CUDA kernels
    started, 0 on NumPy: a silent fall-back would show}. Raises as check."""
    results: dict[str, dict] = {}
    for case in CASES:
        before = launch_count()
        worst = check(case, backend, seed)
        result = results.setdefault(case.op, {"cases": 0, "worst": 0.0, "kernel_launches": 0})
        result["cases"] += 1
        result["worst"] = max(result["worst"], worst)
        result["kernel_launches"] += launch_count() - before
    return results


def moved(value, backend: str):
    """An option on the backend: arrays, tuples of them, and dataclasses of arrays such as a routing plan."""
    if is_array(value):
        return to_backend(value, backend)
    if isinstance(value, tuple):
        return tuple(moved(part, backend) for part in value)
    if dataclasses.is_dataclass(value):
        return dataclasses.replace(value, **{f.name: moved(getattr(value, f.name), backend)
                                             for f in dataclasses.fields(value)})
    return value
