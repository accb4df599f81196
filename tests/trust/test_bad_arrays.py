"""Arrays of the wrong kind through the Python API: a TypeError, ValueError or FloatingPointError that names what came.

Operations have their own table in tests/test_op_errors.py; here is the rest: tensors, layers, models, routing, metrics.
"""
import re

import numpy as np
import pytest

import minimoe.cudasim as cs
from minimoe import Tensor, nn, ops
from minimoe.data import WordTokenizer
from minimoe.models import EncoderConfig, MaskedLanguageModel, SequenceClassifier
from minimoe.moe import MoELayer, allocate_experts, build_plan, route, token_importance
from minimoe.moe.plan import scan_counts
from minimoe.plots import experts_per_token
from minimoe.training import metrics

CONFIG = EncoderConfig(vocab_size=20, d_model=8, n_heads=2, d_ff=8, n_experts=3, max_length=6)
MODEL, WORDS = SequenceClassifier(CONFIG), MaskedLanguageModel(CONFIG)
LAYER, TOP_K = MoELayer(8, 8, 3, "da", rng=0), MoELayer(8, 8, 3, "topk", rng=0)
LINEAR, ATTENTION, NORM = nn.Linear(8, 4, rng=0), nn.MultiHeadAttention(8, 2, rng=0), nn.LayerNorm(8)
TOKENIZER = WordTokenizer.train(["a b"], 10)
X, IDS = np.ones((2, 3, 8), np.float32), np.array([[1, 2, 3]])
REAL, SHARE, LOGITS = np.ones((2, 3), bool), np.full((2, 3), 0.5, np.float32), np.zeros((6, 3), np.float32)
EACH, CLASSES, NUMBERS = np.ones(6, np.int64), np.array([0, 1, 0]), np.array([0.0, 1.0, 3.0])
PTR = scan_counts(EACH)

STRANGE = {"float16": lambda a: a.astype(np.float16), "complex": lambda a: a.astype(np.complex64),
           "objects": lambda a: a.astype(object), "texts": lambda a: a.astype(str),
           "dates": lambda a: np.zeros(a.shape, "datetime64[s]"), "nothing": lambda a: None}
FRACTIONS = {"fractions": lambda a: a + 0.5}
WHOLE = {"integers": lambda a: a.astype(np.int64), "booleans": lambda a: a.astype(bool)}
NOT_FINITE = {"NaN": lambda a: a * np.nan, "infinity": lambda a: a + np.inf}
SHAPES = {"an axis more": lambda a: a[None], "an axis less": lambda a: a[0], "empty": lambda a: a[:0]}
NOT_HALF = {name: change for name, change in STRANGE.items() if name != "float16"}      # importance may be half


def without(table, *names):
    return {name: change for name, change in table.items() if name not in names}


# what is called, a good array for it, and what must be refused
CALLS = {
    "Tensor": (Tensor, X, STRANGE),
    "Tensor with gradient": (lambda a: Tensor(a, requires_grad=True), X, STRANGE | WHOLE),
    "Parameter": (nn.Parameter, X, STRANGE | WHOLE),
    "backward": (lambda a: Tensor(X, requires_grad=True).backward(a), X, STRANGE | SHAPES),
    "model ids": (MODEL, IDS, STRANGE | FRACTIONS | without(SHAPES, "empty")),
    "model mask": (lambda a: MODEL(IDS, a), IDS > 0, without(STRANGE, "texts", "nothing") | SHAPES),
    "model segments": (lambda a: MODEL(IDS, None, a), IDS * 0, without(STRANGE, "nothing") | FRACTIONS | SHAPES),
    "model labels": (lambda a: MODEL.loss(IDS, a), np.array([1]), STRANGE | FRACTIONS | SHAPES),
    "language model labels": (lambda a: WORDS.loss(IDS, a), IDS, STRANGE | FRACTIONS | SHAPES),
    "expert layer x": (TOP_K, X, STRANGE | WHOLE | NOT_FINITE | {"an axis more": SHAPES["an axis more"]}),
    "expert layer importance": (lambda a: LAYER(X, a), SHARE, NOT_HALF | NOT_FINITE | SHAPES),
    "expert layer mask": (lambda a: LAYER(X, SHARE, a), REAL, without(STRANGE, "nothing") | SHAPES),
    "linear": (LINEAR, X, STRANGE | WHOLE), "norm": (NORM, X, STRANGE | WHOLE),
    "attention": (ATTENTION, X, STRANGE | WHOLE | without(SHAPES, "empty")),
    "weights": (lambda a: LINEAR.load_state_dict({"weight": a, "bias": np.zeros(4)}), np.zeros((4, 8)),
                NOT_HALF | WHOLE | SHAPES),
    "importance": (token_importance, np.full((2, 2, 3, 3), 1 / 3), NOT_HALF | WHOLE | without(SHAPES, "empty")),
    "allocation": (allocate_experts, SHARE, NOT_HALF | WHOLE | NOT_FINITE | without(SHAPES, "empty")),
    "route logits": (lambda a: route(a, EACH), LOGITS, STRANGE | WHOLE | NOT_FINITE | SHAPES),
    "route k": (lambda a: route(LOGITS, a), EACH, STRANGE | FRACTIONS | without(SHAPES, "an axis more")),
    "route importance": (lambda a: route(LOGITS, EACH, importance=a), EACH / 6,
                         without(NOT_HALF, "nothing") | NOT_FINITE),
    "plan row_ptr": (lambda a: build_plan(a, np.zeros(6, int), 3), PTR, STRANGE | FRACTIONS | SHAPES),
    "plan expert": (lambda a: build_plan(PTR, a, 3), np.zeros(6, int), STRANGE | FRACTIONS | SHAPES),
    "accuracy": (lambda a: metrics.compute(["accuracy"], a, CLASSES), CLASSES, STRANGE | FRACTIONS | SHAPES),
    "f1": (lambda a: metrics.compute(["f1", "matthews"], CLASSES, a), CLASSES, STRANGE | FRACTIONS | SHAPES),
    "pearson": (lambda a: metrics.compute(["pearson"], a, NUMBERS), NUMBERS, NOT_HALF | NOT_FINITE | SHAPES),
    "spearman": (lambda a: metrics.compute(["spearman"], NUMBERS, a), NUMBERS, NOT_HALF | NOT_FINITE | SHAPES),
    "tokens": (TOKENIZER.tokens, np.array([5, 6]), without(STRANGE, "objects", "nothing") | FRACTIONS),
    "picture": (lambda a: experts_per_token(["a", "b"], a), np.array([[1, 2]]),
                STRANGE | FRACTIONS | without(SHAPES, "an axis less")),
}
NAMED = r"[\w.]+: \S|'.*' object cannot be interpreted as an integer"      # the second names a token's id
ROWS = [pytest.param(call, good, change, id=f"{name}: {kind}") for name, (call, good, changes) in CALLS.items()
        for kind, change in changes.items()]


@pytest.mark.parametrize("call, good, change", ROWS)
def test_it_is_refused_by_an_error_that_names_it(call, good, change):
    with np.errstate(all="ignore"), pytest.raises((TypeError, ValueError, FloatingPointError)) as caught:
        call(change(good))
    assert re.match(NAMED, str(caught.value)) and "\n" not in str(caught.value), str(caught.value)


@pytest.mark.parametrize("name", CALLS)
def test_the_good_array_is_taken(name):
    call, good, _ = CALLS[name]
    call(good)


def test_the_table_has_at_least_a_hundred_rows():
    assert len(ROWS) >= 100


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble])
def test_half_and_extended_precision_are_refused_with_what_to_use_instead(dtype):
    for call in (Tensor, LINEAR, NORM, ATTENTION, TOP_K):
        with pytest.raises(TypeError, match=rf"{np.dtype(dtype)}.*(use|must be) .*float32"):
            call(X.astype(dtype))


DEVICE = cs.asarray(X)
MIXED = {
    "add": lambda: Tensor(X) + Tensor(DEVICE), "matmul": lambda: Tensor(X) @ Tensor(DEVICE),
    "concatenate": lambda: ops.concatenate([Tensor(X), Tensor(DEVICE)]), "linear": lambda: LINEAR(Tensor(DEVICE)),
    "norm": lambda: NORM(Tensor(DEVICE)), "attention": lambda: ATTENTION(Tensor(DEVICE)),
    "mask": lambda: ops.attention(Tensor(X), Tensor(X), Tensor(X), cs.asarray(REAL)),
    "expert layer": lambda: TOP_K(Tensor(DEVICE)),
}


@pytest.mark.parametrize("call", MIXED.values(), ids=MIXED.keys())
def test_arrays_of_two_backends_are_refused_with_both_named(call):
    with pytest.raises(TypeError, match="numpy.*cudasim|cudasim.*numpy"):
        call()


@pytest.mark.parametrize("row_ptr", [[1, 2, 2], [0, 2, 1], [0, 3, 2], [0, -1, 2]], ids=str)
def test_a_row_ptr_that_does_not_rise_from_0_is_refused(row_ptr):
    with pytest.raises(ValueError, match="row_ptr (must start at 0 and never fall|asks for 1 assignments)"):
        build_plan(np.array(row_ptr), np.array([0, 1]), 2)


def test_an_expert_layer_takes_nested_lists_as_a_tensor_does():
    y, _ = TOP_K(X.tolist(), mask=REAL)
    np.testing.assert_array_equal(y.data, TOP_K(Tensor(X), mask=REAL)[0].data)


@pytest.mark.parametrize("value", [None, "texts", [[1, 2], [3]]], ids=str)
def test_what_is_no_array_is_refused_by_an_expert_layer(value):
    with pytest.raises((TypeError, ValueError)):
        TOP_K(value)
