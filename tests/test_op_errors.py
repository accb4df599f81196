"""What operations refuse, and that the message names the operation, what came and what to do."""
from dataclasses import dataclass, field

import numpy as np
import pytest

from minimoe import Tensor, op_cases, ops
from minimoe.moe import build_plan


@dataclass(frozen=True)
class Error:
    """One row: an operation that must refuse these inputs with a message like `match`."""

    op: str
    inputs: list
    raises: type
    match: str
    kwargs: dict = field(default_factory=dict)


def ones(*shape, dtype="float32"):
    return np.ones(shape, dtype)


integers, halves, booleans = ones(3, dtype="int64"), ones(3, dtype="float16"), ones(3, dtype="bool")
classes = np.array([0, 1])

# two tokens, two experts: token 0 goes to both, token 1 to expert 1
PLAN = build_plan(np.array([0, 2, 3], np.int32), np.array([0, 1, 1], np.int32), 2)

ERRORS = [
    # shapes that do not broadcast
    *[Error(op, [ones(2, 3), ones(4)], ValueError, rf"{op}: a is \(2, 3\), b is \(4,\)")
      for op in ("add", "sub", "mul", "div", "maximum", "minimum")],
    Error("where", [booleans, ones(2), ones(2)], ValueError, r"where: condition is \(3,\), a is \(2,\), b is \(2,\)"),
    Error("where", [booleans, ones(2), ones(3)], ValueError, r"where: a is \(2,\), b is \(3,\)"),
    Error("broadcast_to", [ones(3), (2, 4)], ValueError, r"broadcast_to: x is \(3,\).*\(2, 4\)"),
    Error("broadcast_to", [ones(1, 3), (3,)], ValueError, r"broadcast_to: x is \(1, 3\).*\(3,\)"),
    # dtypes
    *[Error(op, [integers], TypeError, rf"{op}: x is int64.*astype\('float32'\)")
      for op in ("exp", "log", "sqrt", "tanh", "sigmoid", "relu", "gelu", "mean", "logsumexp", "softmax", "log_softmax",
                 "rms_norm", "dropout")],
    Error("layer_norm", [integers, None, None], TypeError, "layer_norm: x is int64"),
    Error("clip", [integers, 0], TypeError, "clip: x is int64"),
    Error("pow", [integers, 2], TypeError, "pow: x is int64"),
    *[Error(op, [halves], TypeError, rf"{op}: x is float16") for op in ("exp", "softmax", "rms_norm")],
    *[Error(op, [booleans, booleans], TypeError, rf"{op}: a is bool and b is bool")
      for op in ("add", "sub", "mul", "div")],
    *[Error(op, [halves, halves], TypeError, rf"{op}: a is float16 and b is float16") for op in ("add", "maximum")],
    Error("add", [ones(3), ones(3, dtype="complex64")], TypeError, "add: a is float32 and b is complex64"),
    Error("add", [ones(3), [1.0, 2.0, 3.0]], TypeError, "add: b is a list; give a Tensor, an array or a number"),
    Error("mul", ["x", ones(3)], TypeError, "mul: a is a str"),
    Error("div", [integers, integers], TypeError, "div: a and b are int64"),
    Error("neg", [booleans], TypeError, "neg: x is bool"),
    Error("abs", [None], TypeError, "abs: x is a NoneType"),
    Error("pow", [ones(3), ones(3)], TypeError, "pow: exponent is a ndarray"),
    Error("where", [integers, ones(3), ones(3)], TypeError, "where: condition is int64; it must be bool"),
    Error("matmul", [integers, integers], TypeError, "matmul: a is int64"),
    Error("matmul", [ones(2, 2), ones(2, 2, dtype="float64")], TypeError, "matmul: a is float32, b is float64"),
    Error("matmul", [ones(2, 2), 2.0], TypeError, "matmul: b is a float"),
    Error("linear", [ones(2, 2, dtype="float64"), ones(2, 2)], TypeError, "linear: x is float64, weight is float32"),
    Error("concatenate", [[ones(2), integers]], TypeError, "concatenate: dtypes are float32, int64"),
    Error("stack", [[ones(2), ones(2, dtype="float64")]], TypeError, "stack: dtypes are float32, float64"),
    Error("embedding", [ones(2), ones(3, 2)], TypeError, "embedding: ids is float32; it must be an integer array"),
    Error("embedding", [booleans, ones(3, 2)], TypeError, "embedding: ids is bool"),
    Error("embedding", [[0, 1], ones(3, 2)], TypeError, "embedding: ids is a list"),
    Error("embedding", [classes, ones(3, 2, dtype="int64")], TypeError, "embedding: weight is int64"),
    Error("cross_entropy", [ones(2, 3), ones(2)], TypeError, "cross_entropy: target is float32"),
    Error("cross_entropy", [ones(2, 3), [0, 1]], TypeError, "cross_entropy: target is a list"),
    Error("cross_entropy", [ones(2, 3, dtype="int64"), classes], TypeError, "cross_entropy: logits is int64"),
    Error("mse_loss", [integers, integers], TypeError, "mse_loss: input is int64"),
    # axes
    *[Error(op, [ones(2, 3)], ValueError, rf"{op}: axis 2 is out of range for shape \(2, 3\)", {"axis": 2})
      for op in ("sum", "mean", "max", "min", "logsumexp", "softmax", "log_softmax")],
    *[Error(op, [ones(2, 3)], ValueError, rf"{op}: axis \(0, -2\) names an axis .* twice", {"axis": (0, -2)})
      for op in ("sum", "mean", "max", "logsumexp")],
    Error("sum", [ones(2)], TypeError, "sum: axis is 0.5", {"axis": 0.5}),
    Error("softmax", [ones(2, 2)], TypeError, r"softmax: axis is \(0, 1\); it must be an int", {"axis": (0, 1)}),
    Error("concatenate", [[ones(2), ones(2)]], ValueError, r"concatenate: axis -2 is out of range", {"axis": -2}),
    Error("stack", [[ones(2), ones(2)]], ValueError, r"stack: axis 2 is out of range", {"axis": 2}),
    Error("split", [ones(4), 2], ValueError, r"split: axis 1 is out of range", {"axis": 1}),
    *[Error(op, [ones(2, 0)], ValueError, rf"{op}: x is \(2, 0\).*no element", {"axis": 1})
      for op in ("mean", "max", "min")],
    # shapes
    Error("reshape", [ones(2, 3), (4, 2)], ValueError, r"reshape: x is \(2, 3\), 6 elements.*\(4, 2\)"),
    Error("reshape", [ones(2, 3), (-1, -1)], ValueError, r"reshape: x is \(2, 3\)"),
    Error("reshape", [ones(2, 3), (-2, 3)], ValueError, r"reshape: x is \(2, 3\), 6 elements.*\(-2, 3\)"),
    *[Error("transpose", [ones(2, 3)], ValueError, r"transpose: axes is .*each of the 2 axes", {"axes": axes})
      for axes in ((0,), (0, 0), (0, 2), (0, 1, 1))],
    Error("concatenate", [[ones(2, 3), ones(2, 4)]], ValueError, r"concatenate: shapes are \[\(2, 3\), \(2, 4\)\]"),
    Error("concatenate", [[ones(2, 3), ones(3)]], ValueError, r"concatenate: shapes are \[\(2, 3\), \(3,\)\]"),
    Error("concatenate", [[]], ValueError, "concatenate: tensors is .*at least one"),
    Error("concatenate", [ones(2)], ValueError, "concatenate: tensors is .*list"),
    Error("stack", [[ones(2), ones(3)]], ValueError, r"stack: shapes are \[\(2,\), \(3,\)\]"),
    Error("split", [ones(5), 2], ValueError, r"split: axis 0 of x \(5,\) does not divide into 2"),
    Error("split", [ones(5), 0], ValueError, "does not divide into 0"),
    Error("split", [ones(5), [3, 2]], ValueError, r"split: sections is \[3, 2\].*rise from 0 to 5"),
    Error("split", [ones(5), [6]], ValueError, r"split: sections is \[6\]"),
    Error("split", [ones(5), [-1]], ValueError, r"split: sections is \[-1\]"),
    Error("getitem", [ones(3), 3], IndexError, r"getitem: x is \(3,\).*out of bounds"),
    Error("getitem", [ones(3), (0, 0)], IndexError, r"getitem: x is \(3,\).*too many indices"),
    Error("getitem", [ones(3), ones(2)], IndexError, r"getitem: x is \(3,\).*integer"),
    Error("matmul", [ones(4, 8), ones(7, 3)], ValueError, r"matmul: a is \(4, 8\) and b is \(7, 3\).*to-last\.$"),
    Error("matmul", [ones(4, 8), ones(7, 8)], ValueError, r"matmul.*Did you mean b\.T\?"),
    Error("matmul", [ones(4, 8), ones(7)], ValueError, r"matmul: a is \(4, 8\) and b is \(7,\).*only one"),
    Error("matmul", [ones(), ones(2)], ValueError, r"matmul: a is \(\) and b is \(2,\)"),
    Error("matmul", [ones(2, 1, 3), ones(4, 3, 1)], ValueError, r"matmul: a is \(2, 1, 3\) and b is \(4, 3, 1\)"),
    Error("linear", [ones(2, 3), ones(3, 2)], ValueError, r"linear: x is \(2, 3\) and weight is \(3, 2\)"),
    Error("linear", [ones(2, 3), ones(2, 3), ones(3)], ValueError, r"linear: bias is \(3,\).*\(2,\)"),
    Error("layer_norm", [ones(2, 4, 3), ones(2), None], ValueError, r"layer_norm: weight is \(2,\).*needs \(3,\)"),
    Error("layer_norm", [ones(2, 3), None, ones(2)], ValueError, r"layer_norm: bias is \(2,\).*\(3,\)"),
    Error("layer_norm", [ones(2, 0), None, None], ValueError, r"layer_norm: x is \(2, 0\)"),
    Error("rms_norm", [ones()], ValueError, r"rms_norm: x is \(\)"),
    Error("rms_norm", [ones(2, 3), ones(2)], ValueError, r"rms_norm: weight is \(2,\)"),
    Error("mse_loss", [ones(3, 1), ones(3)], ValueError, r"mse_loss: input is \(3, 1\) and target is \(3,\)"),
    Error("mse_loss", [ones(3), 1.0], ValueError, r"mse_loss: input is \(3,\) and target is a float"),
    Error("cross_entropy", [ones(2, 3), classes[:1]], ValueError, r"logits is \(2, 3\) and target is \(1,\)"),
    Error("cross_entropy", [ones(2, 0), classes], ValueError, r"cross_entropy: logits is \(2, 0\)"),
    Error("embedding", [classes, ones(3)], ValueError, r"embedding: weight is \(3,\)"),
    # values
    Error("embedding", [np.array([0, 3]), ones(3, 2)], ValueError, "embedding: ids go from 0 to 3.*rows 0 to 2"),
    Error("embedding", [np.array([-1, 0]), ones(3, 2)], ValueError, "embedding: ids go from -1 to 0"),
    Error("embedding", [classes, ones(3, 2)], ValueError, "embedding: padding_idx is 3", {"padding_idx": 3}),
    Error("embedding", [classes, ones(3, 2)], ValueError, "embedding: padding_idx is -4", {"padding_idx": -4}),
    Error("cross_entropy", [ones(2, 3), classes], ValueError, "label_smoothing is 1.5", {"label_smoothing": 1.5}),
    Error("gelu", [ones(3)], ValueError, "gelu: approximate is 'erf'; .* 'none' or 'tanh'", {"approximate": "erf"}),
    Error("clip", [ones(3)], ValueError, "clip: min is None and max is None"),
    Error("clip", [ones(3), 1, 0], ValueError, "clip: min is 1 and max is 0"),
    Error("clip", [ones(3), ones(3)], TypeError, "clip: min is a ndarray and max a NoneType"),
    *[Error("dropout", [ones(3)], ValueError, f"dropout: p is {p}; it must be a probability", {"p": p, "rng": 0})
      for p in (-0.1, 1.5, float("nan"))],
    Error("dropout", [ones(3)], ValueError, "dropout: p is 0.5 and rng is None"),
    Error("dropout", [ones(3)], TypeError, "dropout: rng is a RandomState", {"rng": np.random.RandomState(0)}),
    # attention and experts
    Error("attention", [ones(3, 2), ones(3, 2), [[1.0]]], TypeError, "attention: v is a list"),
    Error("attention", [ones(3, 2), ones(3, 2).astype(float), ones(3, 2)], TypeError, "q is float32, k is float64"),
    Error("attention", [ones(3, 2).astype(int)] * 3, TypeError, "attention: q is int64"),
    Error("attention", [ones(3, 0)] * 3, ValueError, r"attention: q is \(3, 0\).* d of at least 1"),
    Error("attention", [ones(3, 2), ones(4, 2), ones(3, 2)], ValueError, r"attention: q is \(3, 2\), k is \(4, 2\)"),
    Error("attention", [ones(2, 3, 2)] * 3, ValueError, r"mask is \(3, 3\)", {"mask": np.ones((3, 3), bool)}),
    Error("dispatch", [ones(3, 2), PLAN], ValueError, r"dispatch: x is \(3, 2\); this plan needs \(2, d\)"),
    Error("dispatch", [[[1.0]], PLAN], TypeError, "dispatch: x is a list"),
    Error("combine", [ones(2, 2), ones(3), PLAN], ValueError, r"combine: u is \(2, 2\); this plan needs \(3, d\)"),
    Error("combine", [ones(3, 2), ones(2), PLAN], ValueError, r"combine: gates is \(2,\); the plan has 3"),
    Error("combine", [ones(3, 2), ones(3).astype(float), PLAN], TypeError, "u is float32, gates is float64"),
    Error("select_gates", [ones(2, 3), PLAN], ValueError, r"probabilities is \(2, 3\); the plan needs \(2, 2\)"),
    Error("select_gates", [ones(2, 2), PLAN], ValueError, "form 'sum' is not one of raw", {"form": "sum"}),
    Error("router_terms", [ones(3, 2), PLAN], ValueError, r"router_terms: logits is \(3, 2\); the plan needs \(2, 2\)"),
    Error("router_terms", [ones(2, 2), PLAN, "sum"], ValueError, "router_terms: form 'sum' is not one of raw"),
    Error("router_terms", [integers, PLAN], TypeError, "router_terms: logits is int64"),
    *[Error("router_terms", [ones(2, 2), PLAN], ValueError, rf"counted is {dtype} \({n},\); it must be bool \(2,\)",
            {"counted": ones(n, dtype=dtype)}) for dtype, n in (("bool", 3), ("float32", 2))],
    Error("grouped_linear", [ones(3, 2), ones(2, 3, 4), None, PLAN.offsets], ValueError, r"x is \(3, 2\) and weight"),
    Error("grouped_linear", [ones(3, 2), ones(2, 2, 4), ones(4), PLAN.offsets], ValueError, r"bias is \(4,\)"),
    Error("grouped_linear", [ones(4, 2), ones(2, 2, 4), None, PLAN.offsets], ValueError, "must rise from 0 to 4"),
    Error("grouped_linear", [ones(3, 2), ones(2, 2, 4), None, PLAN.offsets, "fast"], ValueError,
          "grouped_linear: grouped is 'fast'; it must be 'library' or 'kernel'"),
    Error("expert_ffn", [ones(3, 2), ones(2, 2, 4), ones(2, 4), ones(2, 4, 3), ones(2, 2), PLAN.offsets], ValueError,
          r"expert_ffn: w1 is \(2, 2, 4\), w2 is \(2, 4, 3\)"),
    Error("expert_ffn", [ones(3, 2), ones(2, 2, 4), ones(2, 4), ones(2, 4, 2), ones(2, 2), PLAN.offsets], ValueError,
          "activation 'swish' is not one of", {"activation": "swish"}),
    Error("expert_ffn", [ones(3, 3), ones(2, 2, 4), ones(2, 4), ones(2, 4, 2), ones(2, 2), PLAN.offsets], ValueError,
          r"expert_ffn: x is \(3, 3\) and weight is \(2, 2, 4\)"),
    Error("expert_ffn", [ones(3, 2), ones(2, 2, 4).astype(float), ones(2, 4).astype(float), ones(2, 4, 2), ones(2, 2),
                         PLAN.offsets], TypeError, "expert_ffn: x is float32, weight is float64"),
    Error("expert_ffn", [ones(3, 2), ones(2, 2, 4), ones(2, 4), ones(2, 4, 2).astype(float), ones(2, 2), PLAN.offsets],
          TypeError, "expert_ffn: x is float32, w2 is float64, b2 is float32"),
    Error("expert_ffn", [ones(3, 2), ones(2, 2, 4), ones(4), ones(2, 4, 2), ones(2, 2), PLAN.offsets], ValueError,
          r"expert_ffn: bias is \(4,\)"),
    Error("expert_ffn", [ones(4, 2), ones(2, 2, 4), ones(2, 4), ones(2, 4, 2), ones(2, 2), PLAN.offsets], ValueError,
          r"offsets: \[0, 1, 3\] must rise from 0 to 4"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: f"{e.op}: {e.match}")
def test_operation_refuses_with_a_message_that_says_what_came(error, backend):
    half = any(isinstance(a, np.ndarray) and a.dtype in ("float16", "complex64") for a in error.inputs)
    if backend != "numpy" and half:
        pytest.skip("NumPy only: other dtypes never reach a device")
    inputs = [Tensor(a, backend=backend) if isinstance(a, np.ndarray) and not half else a for a in error.inputs]
    kwargs = {name: op_cases.moved(value, backend) for name, value in error.kwargs.items()}
    with pytest.raises(error.raises, match=error.match) as caught:
        ops.OPS[error.op](*inputs, **kwargs)
    assert "\n" not in str(caught.value)
