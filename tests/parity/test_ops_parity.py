"""Every operation that PyTorch has too: same arguments in, same values, gradients and dtypes out.

`TORCH` says what torch's function is, with the arguments of ours. The inputs are every row of minimoe.op_cases and the
`EDGES` below, where two libraries part company first: ties, kinks, infinities, rows that count for nothing. What
differs on purpose stands in test_differences_parity.py.
"""
import itertools

import numpy as np
import pytest

from minimoe import Tensor, op_cases, ops
from minimoe.backend import is_array
from minimoe.op_cases_general import Case, fixed, normal, of

torch = pytest.importorskip("torch")
F = torch.nn.functional

LIMITS = {"float64": 1e-12, "float32": 1e-5}       # |ours - torch's| <= limit * (1 + |torch's|)


def sdpa(q, k, v, mask=None, scale=None):
    """(O, P) of torch's fused attention; a value matrix of ones on the diagonal shows its weights P."""
    if mask is not None and mask.ndim == 2 and q.ndim > 2:              # (B, S) of ours: query and key must be real
        live = mask[:, :, None] & mask[:, None, :]
        mask = live.reshape(live.shape[:1] + (1,) * (q.ndim - 3) + live.shape[1:])
    diagonal = torch.eye(k.shape[-2], dtype=q.dtype).expand(*k.shape[:-1], k.shape[-2])
    return tuple(F.scaled_dot_product_attention(q, k, values, attn_mask=mask, scale=scale) for values in (v, diagonal))


def getitem(x, index):
    """x at the elements that NumPy's indexing picks (torch itself takes no negative steps)."""
    return x.reshape(-1)[torch.tensor(np.arange(x.numel()).reshape(x.shape)[index].copy())]


def cross_entropy(logits, target, **options):
    """Classes last, as ours: torch wants them second."""
    return F.cross_entropy(logits.movedim(-1, 1) if logits.ndim > 1 else logits, target.long(), **options)


def extreme(function):
    return lambda x, axis=None, keepdims=False: function(x, () if axis is None else axis, keepdims)


TORCH = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "neg": torch.neg, "pow": torch.pow,
    "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "tanh": torch.tanh, "sigmoid": torch.sigmoid,
    "relu": F.relu, "gelu": F.gelu, "abs": torch.abs, "maximum": torch.maximum, "minimum": torch.minimum,
    "clip": torch.clamp, "where": torch.where,
    "sum": torch.sum, "mean": torch.mean, "max": extreme(torch.amax), "min": extreme(torch.amin),
    "logsumexp": lambda x, axis=-1, keepdims=False: torch.logsumexp(
        x, tuple(range(x.ndim)) if axis is None else axis, keepdims),
    "reshape": torch.reshape,
    "transpose": lambda x, axes=None: x.permute(tuple(range(x.ndim))[::-1] if axes is None else axes),
    "concatenate": lambda tensors, axis=0: torch.cat(tensors, axis),
    "stack": lambda tensors, axis=0: torch.stack(tensors, axis),
    "split": lambda x, sections, axis=0: torch.tensor_split(x, sections, axis),
    "getitem": getitem, "broadcast_to": lambda x, shape: torch.broadcast_to(x, shape),
    "matmul": torch.matmul, "linear": F.linear,
    "softmax": lambda x, axis=-1: F.softmax(x, axis), "log_softmax": lambda x, axis=-1: F.log_softmax(x, axis),
    "cross_entropy": cross_entropy, "mse_loss": F.mse_loss,
    "layer_norm": lambda x, weight=None, bias=None, eps=1e-5: F.layer_norm(x, x.shape[-1:], weight, bias, eps),
    "rms_norm": lambda x, weight=None, eps=None: F.rms_norm(x, x.shape[-1:], weight, eps),
    "embedding": lambda ids, weight, padding_idx=None: F.embedding(ids.long(), weight, padding_idx),
    "dropout": F.dropout, "attention": sdpa,
}
ROUTED = "follows a RoutingPlan; compared inside whole expert layers, in test_layers_parity.py"
NO_COUNTERPART = {
    "dispatch": ROUTED, "combine": ROUTED, "select_gates": ROUTED, "router_terms": ROUTED,
    "expert_ffn": ROUTED,
    "grouped_linear": "torch's grouped_mm has neither float64 nor bias; compared on its own below",
}


def ties(*shape):
    """Small whole numbers: many are equal, and several are 0."""
    return lambda r: np.round(r.standard_normal(shape))


def wide(*shape):
    return lambda r: r.standard_normal(shape) * 20


HIDDEN = [[0.3, -np.inf, 1.2], [-np.inf, -np.inf, 0.1]]
NO_KEY = [[[True, False, True], [False, False, False], [True, True, True]]]
LABELS = [3, 0, -100, 4, 1, -100, 2]
EDGES = [
    *[Case(op, of(ties(4, 30)), note="at 0") for op in ("relu", "abs", "gelu")],
    *[Case(op, of(ties(40), ties(4, 1)), note="ties") for op in ("maximum", "minimum")],
    *[Case(op, of(ties(3, 4, 5)), {"axis": (0, 2)}, "ties") for op in ("max", "min")],
    *[Case(op, of(wide(50)), note="far from 0") for op in ("tanh", "sigmoid", "relu", "gelu", "softmax", "log_softmax",
                                                           "logsumexp")],
    *[Case(op, of(fixed(HIDDEN)), note="of -inf") for op in ("softmax", "log_softmax", "logsumexp")],
    Case("gelu", of(wide(50)), {"approximate": "tanh"}, "tanh, far from 0"),
    Case("clip", of(ties(30)), {"min": -1, "max": 1}, "at its ends"),
    Case("pow", of(fixed([0.0, 0.5, 2.0])), {"exponent": 1.5}, "fraction at 0"),
    Case("rms_norm", of(fixed(np.zeros((2, 6)))), note="of zeros"),
    *[Case("cross_entropy", of(wide(7, 5), fixed(LABELS)), {"label_smoothing": s}, f"smoothing {s}, some left out")
      for s in (0.0, 0.1, 1.0)],
    Case("embedding", of(fixed([[1, 1, 0], [2, 1, 3]]), normal(4, 3)), {"padding_idx": -3}, "padding in use"),
    Case("attention", of(normal(1, 2, 3, 4), normal(1, 2, 3, 4), normal(1, 2, 3, 4), fixed([NO_KEY])),
         note="a row without keys"),
]
RANDOM = {"dropout_p", "rng"}                       # torch draws other numbers
MEAN_OF_NOTHING = {"cross_entropy (nothing counts)", "cross_entropy (no row)", "mse_loss (no element)"}     # NaN there
CASES = [case for case in [*op_cases.CASES, *EDGES]
         if case.op in TORCH and str(case) not in MEAN_OF_NOTHING
         and (case.kwargs.get("training") is False or not RANDOM & case.kwargs.keys())]


def scattered(a):
    """The same values, in memory backwards and two apart along every axis."""
    room = np.zeros([2 * size for size in a.shape], a.dtype)
    view = room[(slice(None, None, -2),) * a.ndim] if a.ndim else room
    view[...] = a
    return view


def outputs(case, function, inputs):
    y = function(inputs, **case.kwargs) if case.as_list else function(*inputs, **case.kwargs)
    return y if isinstance(y, tuple | list) else (y,)


def check(case, dtype, layout):
    """Values of every output, then the gradients of all of them together under a random upstream gradient."""
    arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in case.inputs(np.random.default_rng(1))]
    ours = [Tensor(layout(a), requires_grad=True) if a.dtype.kind == "f" else layout(a) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    y, expected = outputs(case, ops.OPS[case.op], ours), outputs(case, TORCH[case.op], theirs)
    random = np.random.default_rng(2)
    loss, torch_loss = 0.0, 0.0
    for a, b in zip(y, expected, strict=True):
        assert_close(a.numpy(), b, dtype)
        finite = np.isfinite(a.numpy())             # an upstream gradient times -inf would be no loss
        gy = random.standard_normal(a.shape).astype(dtype)
        loss = loss + (ops.where(finite, a, 0.0) * layout(gy)).sum()
        torch_loss = torch_loss + (torch.where(torch.tensor(finite), b, 0.0) * torch.tensor(gy)).sum()
    loss.backward()
    torch_loss.backward()
    for a, b in zip(ours, theirs, strict=True):
        if b.requires_grad:
            assert_close(a.grad, b.grad, dtype)


def assert_close(ours, theirs, dtype):
    theirs = theirs.detach().numpy()
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    np.testing.assert_allclose(ours, theirs, rtol=LIMITS[dtype], atol=LIMITS[dtype])


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients_equal_those_of_torch(case, dtype):
    check(case, dtype, np.asarray)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients_equal_those_of_torch_for_arrays_that_are_not_packed(case):
    check(case, "float64", scattered)


def test_every_operation_has_a_row_or_a_reason_for_having_none():
    assert {case.op for case in CASES} == set(TORCH)
    assert not TORCH.keys() & NO_COUNTERPART.keys()
    assert TORCH.keys() | NO_COUNTERPART.keys() == set(ops.OPS)


def test_grouped_linear_equals_grouped_mm_of_torch():
    random = np.random.default_rng(3)
    arrays = [random.standard_normal(shape).astype("float32") for shape in ((6, 8), (3, 8, 4))]
    ours, theirs = ([make(a, requires_grad=True) for a in arrays] for make in (Tensor, torch.tensor))
    offsets = np.array([0, 2, 2, 6], np.int32)      # ours starts with the leading zero that torch leaves out
    y, expected = ops.grouped_linear(*ours, None, offsets), F.grouped_mm(*theirs, offs=torch.tensor(offsets[1:]))
    gy = random.standard_normal(y.shape).astype("float32")
    y.backward(gy)
    expected.backward(torch.tensor(gy))
    for a, b in [(y.numpy(), expected), *((a.grad, b.grad) for a, b in zip(ours, theirs, strict=True))]:
        assert_close(a, b, "float32")


NUMBERS = [*(np.ones(shape, dtype) for dtype in ("bool", "uint8", "int32", "int64", "float32", "float64")
             for shape in ((2,), ())), 2, 2.0]


@pytest.mark.parametrize("name", ["add", "mul"])
def test_dtypes_of_mixed_arithmetic_are_those_of_torch(name):
    """Every pair of array, 0-d array and Python number; two bool arrays are refused, see test_differences_parity.py."""
    for a, b in itertools.product(NUMBERS, repeat=2):
        kinds = {np.asarray(a).dtype.kind, np.asarray(b).dtype.kind}
        if kinds == {"b"} or not (is_array(a) or is_array(b)):
            continue
        expected = getattr(torch, name)(*(torch.tensor(x) if is_array(x) else x for x in (a, b)))
        assert f"torch.{ops.OPS[name](a, b).dtype}" == str(expected.dtype), (a, b)


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "maximum", "minimum", "where"])
def test_a_python_number_meets_an_array_in_the_precision_of_the_array_as_in_torch(name, dtype):
    x = np.random.default_rng(4).standard_normal(5).astype(dtype)
    first = (np.array([True, False, True, False, True]),) if name == "where" else ()
    for a, b in ((x, 0.1), (0.1, x)):
        y = ops.OPS[name](*first, a, b)
        tensors = [torch.tensor(v, dtype=getattr(torch, dtype)) for v in (a, b)]
        assert_close(y.numpy(), TORCH[name](*map(torch.tensor, first), *tensors), dtype)
