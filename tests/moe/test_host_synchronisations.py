"""How often the host waits for the device in one expert layer, router included, forward and backward."""
import numpy as np
import pytest

from minimoe import Tensor, cudasim
from minimoe.backend import get_backend
from minimoe.moe import MoELayer

MASK = np.array([[True] * 5, [True] * 3 + [False] * 2])
BUDGET = {"allocation": "budget", "mean_experts": 2}
KNOWN = [("switch", {}), ("topk", {"k": 2}), ("da", BUDGET), ("da", {**BUDGET, "importance": "colmax"})]
READ = [("da", {}), ("topp", {}), ("expert_choice", {})]


def waits(router, options, grouped, mask=MASK):
    """Waits of a forward, and of the backward after it."""
    random, xp = np.random.default_rng(0), get_backend("cudasim")
    options = {"measure" if key == "importance" else key: value for key, value in options.items()}
    layer = MoELayer(8, 12, 4, router, router_options=options, rng=0, grouped=grouped).to("cudasim")
    x = Tensor(random.standard_normal((2, 5, 8)).astype(np.float32), requires_grad=True, backend="cudasim")
    attention = random.random((2, 2, 5, 5)).astype(np.float32)
    gy = xp.asarray(random.standard_normal((2, 5, 8)).astype(np.float32))
    attention = xp.asarray(attention / attention.sum(axis=-1, keepdims=True))
    on_device = None if mask is None else xp.asarray(mask)
    before = cudasim.host_synchronisations()
    y, routing = layer(x, layer.router.importance([attention], on_device, x.data), mask)
    forward = cudasim.host_synchronisations()
    (y + 0 * routing.aux_loss).backward(gy)
    return forward - before, cudasim.host_synchronisations() - forward


@pytest.mark.parametrize("mask", [MASK, None], ids=["padded", "full"])
@pytest.mark.parametrize("router, options", KNOWN)
def test_with_the_grouped_kernel_a_known_sum_of_k_needs_no_wait(router, options, mask):
    assert waits(router, options, "kernel", mask) == (0, 0)


@pytest.mark.parametrize("router, options", READ)
def test_with_the_grouped_kernel_a_sum_of_k_that_depends_on_the_data_is_read_once(router, options):
    assert waits(router, options, "kernel") == (1, 0)
    assert waits(router, options, "library") == (2, 0)                  # and the offsets


@pytest.mark.parametrize("router, options", KNOWN)
def test_the_library_form_reads_the_offsets_once_and_backward_reuses_them(router, options):
    assert waits(router, options, "library") == (1, 0)
