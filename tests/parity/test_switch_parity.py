"""Our MoELayer with SwitchRouter against the Switch Transformer of Hugging Face transformers (5.24 read).

Random weights, no download. Equal, and tested: router probabilities, the kept tokens, outputs and all gradients for one
sequence at equal capacity, and for several sequences where nothing is dropped; dropped tokens give 0; gate =
probability of the chosen expert; the z-loss; the balance loss of one sequence; their layer norm is our RMSNorm.

Different, each with its test below:
- capacity: theirs is a number of tokens per expert and sequence, ours a factor (Switch, equation 3) over all real
  tokens of the call, and the number C itself with `capacity=0, capacity_min=C`;
- jitter: theirs multiplies the router's input in place, so in float32 the experts and the caller see the noise; ours
  acts on a copy;
- balance loss of several sequences: theirs is the mean of one loss per sequence, ours takes f and P over the batch;
- several layers: theirs concatenates their tokens along the sequence and takes one loss, ours adds one loss per layer;
  where every layer has experts (a step of 1) theirs are 0;
- padding: theirs counts it in both losses (and routes it, into the capacity too), ours leaves it out.
Different by reading: their weight of the balance loss is 0.001, ours 0.01 as in the paper (z-loss: 0.001 in both);
their router computes in float32 at most, so the tests set its dtype; their experts have no biases, ours are set to 0.
Before their pull request 37123 (2025) a dropped token gave its own input times the probability, and not 0.
"""
import numpy as np
import pytest

from minimoe import Tensor, nn
from minimoe.moe import MoELayer, route

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.slow                       # importing their model takes longer than all the rest

D, F, E, N = 8, 12, 4, 16                          # their balance loss counts in float32: exact for sixteenths
LIMITS = {"float64": 1e-10, "float32": 1e-5}       # |ours - theirs| <= limit * (1 + |theirs|)


@pytest.fixture(scope="module")
def hf():
    """Their module; imported here and not above, because the quick tests collect this file too."""
    pytest.importorskip("transformers", minversion="5.24")
    return pytest.importorskip("transformers.models.switch_transformers.modeling_switch_transformers")


def pair(hf, room, dtype="float64", jitter=0.0, **options):
    """(their sparse layer, our layer) with the same weights. `room`: their capacity; `options`: of our router."""
    config = hf.SwitchTransformersConfig(d_model=D, d_ff=F, num_experts=E, expert_capacity=room, dropout_rate=0.0,
                                         router_jitter_noise=jitter)
    theirs = hf.SwitchTransformersSparseMLP(config).to(getattr(torch, dtype))
    theirs.router.dtype = getattr(torch, dtype)
    ours = MoELayer(D, F, E, "switch", "relu", rng=0, router_options={"jitter": jitter, **options}).to(dtype=dtype)
    random = np.random.default_rng(1)
    for name, p in ours.named_parameters():
        p.data[...] = random.standard_normal(p.shape) if name.split(".")[-1] not in ("b1", "b2") else 0
    with torch.no_grad():
        for path, p in theirs.named_parameters():
            p.copy_(torch.from_numpy(ours_under(path, {name: q.data for name, q in ours.named_parameters()})))
    return theirs, ours


def ours_under(path, values):
    """Our array for a parameter of theirs: `router.classifier.weight`, `experts.expert_3.wi.weight` and so on."""
    if path.startswith("router."):
        return values["router.weight"]
    _, expert, matrix, _ = path.split(".")
    return values["experts.w1" if matrix == "wi" else "experts.w2"][int(expert.removeprefix("expert_"))].T


def tokens(*shape, dtype="float64"):
    return np.random.default_rng(2).standard_normal(shape).astype(dtype)


def kept(routing):
    """bool (N,): tokens that have an expert."""
    return np.asarray(routing.plan.inv) >= 0        # one assignment per token


def assert_close(ours, theirs, dtype="float64", name=""):
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=LIMITS[dtype], atol=LIMITS[dtype], err_msg=name)


def assert_layers_equal(theirs, ours, x, dtype="float64"):
    """Outputs and every gradient under a random upstream one. Returns our routing."""
    x_ours, x_theirs = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    (y, routing), expected = ours(x_ours), theirs(x_theirs)
    assert_close(y.numpy(), expected, dtype)
    upstream = np.random.default_rng(3).standard_normal(x.shape).astype(dtype)
    y.backward(upstream)
    expected.backward(torch.tensor(upstream))
    assert_close(x_ours.grad, x_theirs.grad, dtype)
    gradients = {name: p.grad for name, p in ours.named_parameters()}
    for path, p in theirs.named_parameters():
        gradient = torch.zeros_like(p) if p.grad is None else p.grad    # theirs never calls an expert without tokens
        assert_close(ours_under(path, gradients), gradient, dtype, path)
    return routing


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("capacity", [1, 2, 3, N])
def test_kept_tokens_outputs_and_gradients_of_one_sequence_are_equal_at_equal_capacity(hf, capacity, dtype):
    theirs, ours = pair(hf, capacity, dtype, capacity=capacity * E / N)
    x = tokens(1, N, D, dtype=dtype)
    routing = assert_layers_equal(theirs, ours, x, dtype)
    chosen, probability, logits = theirs.router(torch.tensor(x))
    assert (kept(routing) == chosen[0].sum(-1).bool().numpy()).all()
    assert kept(routing).all() == (capacity == N)                       # the smaller ones do drop
    assert_close(routing.logits.numpy(), logits[0], dtype)
    assert_close(routing.probabilities.numpy().max(axis=1), probability[0, :, 0], dtype)


def test_several_sequences_are_equal_where_nothing_is_dropped(hf):
    theirs, ours = pair(hf, N)
    assert_layers_equal(theirs, ours, tokens(3, N, D))


def test_a_dropped_token_gives_zero_in_both(hf):
    theirs, ours = pair(hf, 1, capacity=0.0, capacity_min=1)
    x = tokens(1, N, D)
    y, routing = ours(Tensor(x))
    dropped = ~kept(routing)
    assert dropped.any()
    assert not y.numpy()[0, dropped].any() and not theirs(torch.tensor(x))[0, torch.tensor(dropped)].any()


def test_their_capacity_counts_per_sequence_and_ours_per_call(hf):
    theirs, ours = pair(hf, 2, capacity=0.0, capacity_min=2)
    x = tokens(3, N, D)
    chosen = theirs.router(torch.tensor(x))[0].numpy()                  # (3, N, E)
    one_by_one = [ours(Tensor(sequence))[1] for sequence in x]
    assert ([kept(routing).tolist() for routing in one_by_one] == chosen.any(-1)).all()
    assert (chosen.sum((0, 1)) > 2).any()
    assert max(ours(Tensor(x))[1].plan.counts) == 2


def test_their_jitter_reaches_the_experts_and_the_caller_and_ours_the_router_only(hf):
    theirs, ours = pair(hf, N, "float32", jitter=0.3)
    x = tokens(1, N, D, dtype="float32")
    noisy = torch.tensor(x)
    theirs.train()(noisy)
    assert not np.allclose(noisy.numpy(), x, rtol=0.01)
    mine = Tensor(x.copy())
    y, routing = ours.train()(mine)
    assert (mine.data == x).all()
    assert not np.allclose(routing.logits.data, x[0] @ ours.router.weight.data.T, rtol=0.01)
    ours.eval()
    clean = ours.experts(Tensor(x[0][routing.plan.token[routing.plan.perm]]), routing.plan.offsets).data
    np.testing.assert_allclose(y.data[0], clean[routing.plan.inv] * routing.gates.data[:, None], rtol=1e-5, atol=1e-6)


def losses(logits, mask=None):
    """Our balance loss and z-loss of logits (N, E) with weights of 1."""
    routing = route(logits, np.ones(logits.shape[0], np.int32), mask=mask, balance_weight=1.0, z_weight=1.0)
    return routing.balance_loss, routing.z_loss


def their_losses(hf, logits):
    """Theirs of logits (B, S, E)."""
    return hf.load_balancing_loss_func(logits.softmax(-1), logits.argmax(-1)), hf.router_z_loss_func(logits)


@pytest.mark.parametrize("which", [0, 1], ids=["balance", "z"])
def test_auxiliary_losses_of_one_sequence_and_their_gradients_are_equal(hf, which):
    z = tokens(N, E) * 2
    ours, theirs = Tensor(z, requires_grad=True), torch.tensor(z[None], requires_grad=True)
    loss, expected = losses(ours)[which], their_losses(hf, theirs)[which]
    assert_close(loss.numpy(), expected)
    loss.backward()
    expected.backward()
    assert_close(ours.grad, theirs.grad[0])


def test_the_balance_loss_counts_what_was_asked_before_dropping_in_both(hf):
    z = tokens(N, E) * 2
    dropping = route(z, np.ones(N, np.int32), capacity=0.0, balance_weight=1.0)
    assert not kept(dropping).all()
    assert_close(dropping.balance_loss.numpy(), their_losses(hf, torch.tensor(z[None]))[0])


def test_their_balance_loss_of_a_batch_is_the_mean_over_sequences_and_ours_is_over_the_batch(hf):
    z = tokens(3, N, E) * 2
    balance, z_loss = their_losses(hf, torch.tensor(z))
    assert_close(np.mean([losses(Tensor(sequence))[0].item() for sequence in z]), balance)
    over_batch, z_over_batch = losses(Tensor(z.reshape(-1, E)))
    assert abs(over_batch.item() - balance.item()) > 1e-3
    assert_close(z_over_batch.numpy(), z_loss)                          # a plain mean over tokens: no difference


def run_model(hf, n_sparse):
    """Their whole model with 4 layers, of which n_sparse have experts, on a batch with padding."""
    torch.manual_seed(0)
    model = hf.SwitchTransformersForConditionalGeneration(hf.SwitchTransformersConfig(
        vocab_size=20, d_model=D, d_kv=4, d_ff=F, num_heads=2, num_experts=E, num_layers=4, num_decoder_layers=4,
        num_sparse_encoder_layers=n_sparse, num_sparse_decoder_layers=n_sparse, expert_capacity=N, dropout_rate=0.0,
        router_jitter_noise=0.0, decoder_start_token_id=0)).eval()
    ids = torch.tensor([[3, 7, 5, 2, 9], [4, 6, 0, 0, 0]])
    return model(ids, attention_mask=ids != 0, labels=ids, output_router_logits=True), (ids != 0).numpy()


def test_their_model_takes_one_loss_over_concatenated_layers_and_padding(hf):
    output, mask = run_model(hf, n_sparse=2)
    layers = [logits.detach().numpy() for logits in output.encoder_router_logits if logits is not None]
    assert len(layers) == 2
    sequences = np.concatenate(layers, axis=1)                          # (2, 2 * 5, E)
    ours = [[loss.item() for loss in losses(Tensor(sequence))] for sequence in sequences]
    assert_close(np.mean(ours, axis=0), torch.stack([output.encoder_aux_loss, output.encoder_z_loss]), "float32")
    z, z_of_real = ([losses(Tensor(layer.reshape(-1, E)), m)[1].item() for layer in layers] for m in (None, mask))
    assert_close(np.mean(z), output.encoder_z_loss, "float32")          # the mean over layers, where ours is the sum
    assert abs(np.mean(z_of_real) - np.mean(z)) > 1e-3                  # padding counted, where ours leaves it out


def test_their_model_has_no_auxiliary_loss_where_every_layer_has_experts(hf):
    output, _ = run_model(hf, n_sparse=4)
    assert all(logits is not None for logits in output.encoder_router_logits)
    assert output.encoder_aux_loss == output.encoder_z_loss == 0


def test_their_layer_norm_is_our_rms_norm(hf):
    x = tokens(3, D, dtype="float32")
    theirs, ours = hf.SwitchTransformersLayerNorm(D, eps=1e-6), nn.RMSNorm(D, eps=1e-6)
    weight = tokens(D, dtype="float32")
    ours.weight.data[...] = weight
    theirs.weight.data.copy_(torch.tensor(weight))
    assert_close(ours(Tensor(x)).numpy(), theirs(torch.tensor(x)), "float32")
