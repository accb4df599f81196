"""routing.cu against its NumPy twin: router softmax, selection, gates, and the router's backward."""
import numpy as np
import pytest
from kernel_run import equals_twin

from minimoe import Tensor, cudasim
from minimoe.kernels import cuda, reference
from minimoe.op_cases import apply
from minimoe.op_cases_moe import CASES

FLOATS = pytest.mark.parametrize("dtype", ["float32", "float64"])
SIZES = [(0, 3), (1, 1), (5, 8), (9, 31), (6, 33), (3, 64), (2, 1025)]                 # tokens, experts
every_size = pytest.mark.parametrize("n, n_experts", SIZES)
FORMS = [("raw", False), ("renorm", False), ("renorm", True), ("equal", False)]


def routed(n, n_experts, dtype, seed=0):
    """Probabilities (some of them 0), experts and row_ptr of tokens with 0 to 40 experts each; the last has none."""
    random = np.random.default_rng(seed)
    k = random.integers(0, min(n_experts, 40) + 1, n)
    k[-1:] = 0 if n > 1 else n_experts
    row_ptr = np.concatenate([[0], np.cumsum(k)]).astype(np.int32)
    logits = (random.standard_normal((n, n_experts)) * 2).astype(dtype)
    expert = reference.select_experts(logits, row_ptr)
    logits[:, n_experts // 2] = -np.inf if n_experts > 1 else 0
    return reference.router_softmax(logits)[:2], expert, row_ptr


def drops(assignments, kind):
    """inv for assignments that are all kept, partly or all dropped."""
    share = {"all kept": 0, "some dropped": 0.4, "all dropped": 1}[kind]
    return np.where(np.random.default_rng(5).random(assignments) < share, -1, np.arange(assignments)).astype(np.int32)


@FLOATS
@every_size
def test_router_softmax_equals_its_twin(device, dtype, n, n_experts):
    logits = (np.random.default_rng(0).standard_normal((n, n_experts)) * 4).astype(dtype)
    logits[::2, n_experts // 2 + 1:] = -np.inf      # bans
    p, lse, bad = equals_twin("router_softmax", (logits,), device)
    assert bad.dtype == bool and not bad.any()


@FLOATS
@pytest.mark.parametrize("where", [0, 31, 32, 39])
def test_a_token_is_bad_with_nan_or_plus_infinity_or_nothing_finite_and_changes_no_other(device, dtype, where):
    logits = np.random.default_rng(1).standard_normal((6, 40)).astype(dtype)
    logits[1, where], logits[2, where], logits[3], logits[4, where] = np.nan, np.inf, -np.inf, -np.inf
    p, lse, bad = equals_twin("router_softmax", (logits,), device)
    assert bad.tolist() == [False, True, True, True, False, False]
    assert not p[bad].any() and not lse[bad].any()
    assert p[4, where] == 0


@FLOATS
@every_size
@pytest.mark.parametrize("ties", [False, True])
def test_select_experts_equals_its_twin(device, dtype, n, n_experts, ties):
    random = np.random.default_rng(2)
    scores = random.standard_normal((n, n_experts)).astype(dtype)
    scores = np.round(scores) if ties else scores
    k = random.integers(0, min(n_experts, 40) + 1, n)
    row_ptr = np.concatenate([[0], np.cumsum(k)]).astype(np.int32)
    for assignments in (None, int(row_ptr[-1])):
        equals_twin("select_experts", (scores, row_ptr, assignments), device)


@FLOATS
def test_selection_puts_minus_infinity_before_nan_and_equal_scores_by_index(device, dtype):
    nan, inf = np.nan, np.inf
    scores = np.array([[1, nan, -inf, inf, 1, nan, -inf, -0.0, 0.0]] * 2, dtype)
    row_ptr = np.array([0, 9, 9], np.int32)
    assert equals_twin("select_experts", (scores, row_ptr), device).tolist() == [3, 0, 4, 7, 8, 2, 6, 1, 5]


@FLOATS
@every_size
@pytest.mark.parametrize("dropped", ["all kept", "some dropped", "all dropped"])
@pytest.mark.parametrize("form, after", FORMS)
def test_gates_and_their_backward_equal_their_twins(device, dtype, n, n_experts, dropped, form, after):
    (p, _), expert, row_ptr = routed(n, n_experts, dtype)
    along = expert, drops(expert.size, dropped), row_ptr, form, after
    equals_twin("select_gates", (p, *along), device)
    dg = np.random.default_rng(3).standard_normal(expert.size).astype(dtype)
    equals_twin("select_gates_backward", (dg, p, *along), device)


TERMS = {"gates alone": [0, 0, 0], "balance": [0.7, 0, 0], "z": [0, 0.6, 0], "entropy": [0, 0, 0.5],
         "all": [0.7, -0.6, 0.5]}


@FLOATS
@pytest.mark.parametrize("n, n_experts", SIZES[:-1])
@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("form, after", FORMS)
def test_router_backward_equals_its_twin(device, dtype, n, n_experts, form, after, terms):
    (p, lse), expert, row_ptr = routed(n, n_experts, dtype)
    random, inv = np.random.default_rng(4), drops(expert.size, "some dropped")
    dg, gp, share = (random.standard_normal(shape).astype(dtype) for shape in (expert.size, p.shape, n_experts))
    coefficients, counted = np.array(TERMS[terms], dtype), random.random(n) < 0.7
    for upstream, m in ((gp, counted), (None, None)):
        inputs = dg, upstream, coefficients, p, lse, share, m, expert, inv, row_ptr, form, after
        equals_twin("router_backward", inputs, device)


@FLOATS
def test_router_backward_takes_more_experts_than_a_block_has_threads(device, dtype):
    (p, lse), expert, row_ptr = routed(2, 1025, dtype)
    dg = np.random.default_rng(6).standard_normal(expert.size).astype(dtype)
    equals_twin("router_backward", (dg, None, np.array([.7, .6, .5], dtype), p, lse, p[0], None, expert,
                                    drops(expert.size, "some dropped"), row_ptr, "renorm", True), device)


def test_nothing_here_waits_for_the_device():
    (p, lse), expert, row_ptr = routed(9, 31, "float32")
    along = tuple(cudasim.asarray(a) for a in (expert, drops(expert.size, "some dropped"), row_ptr))
    p, lse, dg = (cudasim.asarray(a) for a in (p, lse, p.ravel()[:expert.size]))
    before = cudasim.host_synchronisations()
    cuda.router_softmax(p)
    cuda.select_experts(p, along[2], expert.size)
    cuda.select_gates(p, *along, "renorm", True)
    cuda.select_gates_backward(dg, p, *along, "renorm", True)
    cuda.router_backward(dg, p, lse[:3], p, lse, p[0], None, *along, "renorm", True)
    assert cudasim.host_synchronisations() == before
    cuda.select_experts(p, along[2])                # has to look how many there are
    assert cudasim.host_synchronisations() == before + 1


@pytest.mark.parametrize("case", [case for case in CASES if case.op == "router_terms"], ids=str)
def test_router_terms_and_its_backward_never_wait_for_the_device(case):
    (logits,) = case.inputs(np.random.default_rng(0))
    logits = Tensor(logits, requires_grad=True, backend="cudasim")
    before = cudasim.host_synchronisations()
    p, gates, *losses = apply(case, [logits], "cudasim")
    (p.sum() + gates.sum() + losses[0] + losses[1] + losses[2]).backward()
    assert cudasim.host_synchronisations() == before and logits.grad.shape == logits.shape
