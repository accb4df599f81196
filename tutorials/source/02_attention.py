# %% [markdown]
# # 2. Attention, and what it says about importance
#
# **What you will understand at the end**
#
# - how a word looks at other words: queries, keys, values, scores, and why the scores are scaled;
# - what a mask does, and what must come out where a word has nothing to look at;
# - the way back through attention;
# - several ways to read from attention how important a word is, what each of them asks, and why they disagree;
# - why importance is read before dropout, and what it is before any training.
#
# **What you need.** Lesson 1: gradients, upstream gradients, the softmax and its backward. Matrix products with
# leading axes, such as `(B, H, S, d) @ (B, H, d, S)`.
#
# **Time.** About 75 minutes with the four exercises. The page itself runs in a few seconds and needs no GPU.
#
# Fill in the exercises where it says `YOUR CODE HERE`, run the cell, then run the check below it. Nothing later
# on the page depends on your answers.

# %% [setup]

# %%
import inspect
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from minimoe import Tensor, nn, ops
from minimoe.backend import to_backend, to_host
from minimoe.moe import allocate_experts, token_importance
from minimoe.plots import attention_heatmap, experts_per_token

BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6b7280"     # told apart with every kind of colour vision


def plain_axes(width=7.0, height=3.2):
    """One plot without a box around it."""
    _, axes = plt.subplots(figsize=(width, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def on_device(*arrays):
    """Tensors of these arrays, on the GPU where there is one."""
    return [Tensor(array, backend=BACKEND) for array in arrays]


def error_of(a, b):
    """The largest difference between two arrays."""
    return float(np.abs(to_host(a) - to_host(b)).max())

# %% [markdown]
# ## 2.1 One word looks at the others
#
# Read "the film was not good". To understand "good" you must look at "not". **Attention** is the part of a
# network that lets a word look at others and take something from them. Each word comes with three vectors:
#
# - its **query** $q_i$: what the word is looking for;
# - its **key** $k_j$: what the word offers to those who look;
# - its **value** $v_j$: what one takes home after looking at it.
#
# In a network all three are made from the word's vector by learned weights. Here we write them by hand, so that
# one can see what happens. The three columns of queries and keys mean "a thing", "a negation" and "an opinion":
# "good" looks for a negation, and "not" offers one. The word "was" looks for nothing.

# %%
words = ["the", "film", "was", "not", "good"]
#                    thing negation opinion
queries = np.array([[2.0, 0.0, 0.0],      # the: looks for its thing
                    [0.0, 0.0, 2.0],      # film: looks for an opinion
                    [0.0, 0.0, 0.0],      # was: looks for nothing
                    [0.0, 0.0, 2.0],      # not: looks for what it turns round
                    [0.0, 2.0, 0.0]])     # good: looks for a negation
keys = np.array([[0.0, 0.0, 0.0],         # the: offers nothing
                 [2.0, 0.0, 0.0],         # film: a thing
                 [0.0, 0.0, 0.0],
                 [0.0, 2.0, 0.0],         # not: a negation
                 [0.0, 0.0, 2.0]])        # good: an opinion
values = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
print("queries", queries.shape, " keys", keys.shape, " values", values.shape)

# %% [markdown]
# How well does what word $j$ offers fit what word $i$ seeks? The answer is a number, the **score**: the dot
# product of query and key, divided by $\sqrt{d_h}$, where $d_h$ is the width of the vectors (the next section
# says why). A softmax turns the scores of one query into **attention weights**, positive numbers that sum to 1,
# and the output of word $i$ is the mean of all values with these weights:
#
# $$s_{ij} = \frac{q_i \cdot k_j}{\sqrt{d_h}}, \qquad P_{ij} = \frac{e^{s_{ij}}}{\sum_k e^{s_{ik}}}, \qquad
# o_i = \sum_j P_{ij} v_j.$$
#
# Let us follow the single word "good", step by step.

# %%
i = words.index("good")
scores = [float(np.dot(queries[i], key)) / np.sqrt(3) for key in keys]
total = sum(np.exp(score) for score in scores)
weights = [np.exp(score) / total for score in scores]
taken = sum(weight * value for weight, value in zip(weights, values, strict=True))

for word, score, weight in zip(words, scores, weights, strict=True):
    print(f"good looks at {word:5} score {score:5.2f}   weight {weight:.2f}")
print("taken home: thing {:.2f}, negation {:.2f}, opinion {:.2f}".format(*taken))

# %% [markdown]
# "good" takes home mostly a negation. The library does it for all words at once, and answers with the outputs and
# with $P$. In the picture of $P$ a **row looks** and a **column is looked at**. The second half of the lesson is
# about little else.

# %%
output, attention = ops.attention(*on_device(queries, keys, values))
print("output", output.shape, "  P", attention.shape, "  sums of the rows", attention.numpy().sum(axis=1))
attention_heatmap(attention, words)

# %%
assert error_of(attention.data[i], np.array(weights)) < 1e-12      # the same weights as by hand
assert error_of(output.data[i], taken) < 1e-12                     # the same output
assert np.allclose(attention.numpy().sum(axis=1), 1)               # a row is a whole look, shared out
assert np.allclose(attention.numpy()[words.index("was")], 1 / 5)   # who seeks nothing looks at all alike

# %% [markdown]
# Columns need not sum to 1: nobody has to be looked at.
#
# ### Exercise 2.1: one head of attention
#
# Write attention for all words at once. `q`, `k` and `v` have the shape `(..., S, d_h)`: the last two axes hold
# the words and their vectors. In front there may be any number of further axes, for example sentences; each
# sentence looks at itself only. Return the outputs `(..., S, d_h)` and the weights `(..., S, S)`.
#
# Two hints. `a.T` turns *all* axes round; `np.swapaxes(a, -1, -2)` only the last two. And $e^{800}$ is more than
# a float can hold. A softmax does not change when the same number is subtracted from all scores of a row, so
# choose a number after which no score is large.

# %% [exercise] one_head
def one_head(q, k, v):
    """Attention of every word to all words. q, k, v: (..., S, d_h). Returns (outputs (..., S, d_h), P (..., S, S))."""
    ### BEGIN SOLUTION
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    p = p / p.sum(axis=-1, keepdims=True)
    return p @ v, p
    ### END SOLUTION

# %% [check] one_head points=2
fresh = np.random.default_rng()
q_check, k_check, v_check = fresh.standard_normal((3, 6, 4))


def library_check(q, k, v, scale=None):
    """The library's answer."""
    return [t.numpy() for t in ops.attention(Tensor(q), Tensor(k), Tensor(v), scale=scale)]


answer = one_head(q_check, k_check, v_check)
assert isinstance(answer, tuple) and len(answer) == 2, "return two things, the outputs and the weights: return o, p"
o_check, p_check = answer
assert np.shape(p_check) == (6, 6), f"the weights have shape {np.shape(p_check)}; for 6 words they must be (6, 6)"
assert np.allclose(np.sum(p_check, axis=1), 1) or not np.allclose(np.sum(p_check, axis=0), 1), (
    "the columns sum to 1, but a row is one word's look: take the softmax over the last axis")
assert np.allclose(np.sum(p_check, axis=1), 1), (
    "the rows of the weights do not sum to 1: divide by the sum of the row, and let keepdims=True keep it in its row")
for scale_check, mistake in ((1.0, "the scores are not scaled: divide them by sqrt(d_h)"),
                             (1 / 4, "the scores are divided by d_h: divide them by its square root"),
                             (1 / np.sqrt(6), "the scores are divided by sqrt(S): d_h is the last axis of q")):
    assert not np.allclose(p_check, library_check(q_check, k_check, v_check, scale_check)[1]), mistake
o_true, p_true = library_check(q_check, k_check, v_check)
assert not np.allclose(p_check, p_true.T) and not np.allclose(
    p_check, library_check(k_check, q_check, v_check)[1]), "queries and keys have changed places: a row is a query"
assert np.allclose(p_check, p_true), (
    "the weights are not the softmax of the scaled scores q . k (does keepdims=True keep each maximum in its row?)")
assert np.allclose(o_check, o_true), "the outputs are not the values, averaged with the weights of each row: p @ v"
_, p_check = one_head(1e3 * q_check, k_check, v_check)
assert np.isfinite(p_check).all(), (
    "large scores overflow: subtract the largest score of each row before you take the exponential")
q_check, k_check, v_check = fresh.standard_normal((3, 2, 5, 3, 4))
try:
    o_check, p_check = one_head(q_check, k_check, v_check)
except ValueError as error:
    raise AssertionError("with axes in front the shapes do not fit: turn only the last two axes of k round, with "
                         f"np.swapaxes ({error})") from None
assert np.shape(p_check) == (2, 5, 3, 3) and np.allclose(p_check, library_check(q_check, k_check, v_check)[1]), (
    "with axes in front the weights are wrong: count the axes from the end, -1 and -2")
print("Right: scaled scores, a softmax for each row that cannot overflow, and a mean of the values.")

# %% [markdown]
# ## 2.2 Why the scores are divided by $\sqrt{d_h}$
#
# Think of query and key as vectors with independent elements of mean 0 and variance 1. Their dot product is a sum
# of $d_h$ products, each with variance 1, so it has variance $d_h$: wide vectors make large scores. And a softmax
# of large scores is nearly all on one word. We draw 400 queries with 16 keys each and watch the largest weight.

# %%
widths = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]


def watch(width, scaled, seed=0):
    """For random queries and 16 keys: the spread of the scores, the mean largest weight, and its mean slope."""
    random = np.random.default_rng(seed)
    q = random.standard_normal((400, 1, width))
    k = random.standard_normal((400, 16, width))
    s = (q * k).sum(axis=-1) / (np.sqrt(width) if scaled else 1.0)             # (400, 16)
    largest = ops.softmax(Tensor(s)).numpy().max(axis=-1)                      # (400,)
    return s.std(), largest.mean(), (largest * (1 - largest)).mean()


plain, scaled = (np.array([watch(width, flag) for width in widths]) for flag in (False, True))
axes = plain_axes()
axes.semilogx(widths, plain[:, 1], "o-", color=RED, base=2)
axes.semilogx(widths, scaled[:, 1], "s-", color=BLUE, base=2)
axes.axhline(1 / 16, color=GREY, linewidth=1, linestyle="--")
axes.text(2, 1 / 16 + 0.02, "all 16 words alike: 1/16", color="black", va="bottom")
axes.text(1150, plain[-1, 1], r"$q \cdot k$", color=RED, va="center")
axes.text(1150, scaled[-1, 1], r"$q \cdot k / \sqrt{d_h}$", color=BLUE, va="center")
axes.set(xlabel="width $d_h$ of queries and keys", ylabel="largest attention weight", ylim=(0, 1.02), xlim=(1.8, 3600),
         xticks=widths[::3])
axes.set_xticklabels(widths[::3])
plt.show()

print("width    spread of scores      slope of the largest weight")
for width, a, b in zip(widths[::3], plain[::3], scaled[::3], strict=True):
    print(f"{width:5}    {a[0]:5.1f} scaled {b[0]:.1f}      {a[2]:.3f} scaled {b[2]:.3f}")

# %% [markdown]
# Unscaled, the largest weight runs to 1 as the vectors get wider. That is bad for learning: the slope of a
# softmax output with respect to its own score is $p (1 - p)$ (put $\delta p = 1$ at one place into the formula of
# lesson 1), and next to 1 (or 0) there is nearly no slope left. With the division the spread of the scores is 1
# at every width, and so the network starts with soft looks that can still be moved. How sharp a look is will
# matter again in section 2.7.

# %%
assert np.all(np.abs(scaled[:, 0] - 1) < 0.1)                      # the spread does not depend on the width
assert plain[-1, 1] > 0.9 > 0.5 > scaled[-1, 1]                    # unscaled: nearly everything on one word
assert plain[-1, 2] < scaled[-1, 2] / 2                            # ... with little slope left to learn from

# %% [markdown]
# ## 2.3 Masks, and a row with nothing to look at
#
# From here on we say **token** for what stands at one place of a sentence: a word, a punctuation mark, or a
# special sign. Sentences of different length are put into one array by filling the short ones up with a special
# sign, the **padding**. Padding means nothing: nobody may look at it, and it looks at nobody. A **mask** says
# which places are real. In this library a mask is a bool array $(B, S)$ in which **`True` marks a real token**.
# (Others do it the other way round: the `key_padding_mask` of `torch.nn.MultiheadAttention` marks the padding.
# Look it up when you move between libraries; both ways run without an error.)
#
# A key is **live** for a query when both are real tokens. The softmax is taken over live keys only. (Attention
# also takes a bool array of the shape of $P$: `True` where the query may see the key.)

# %%
random = np.random.default_rng(0)
mask = np.array([[True, True, True, True, True],
                 [True, True, True, False, False]])                # the second sentence has three words
q, k, v = random.standard_normal((3, 2, 1, 5, 4))                  # each (B, H, S, d_h): H = 1 until section 2.5
output, attention = ops.attention(*on_device(q, k, v), to_backend(mask, BACKEND))
print("P", attention.shape, " the second sentence:")
print(attention.numpy()[1, 0].round(2))
assert np.allclose(attention.numpy().sum(axis=-1), mask[:, None, :])    # real rows sum to 1, the others to 0

# %% [markdown]
# The last two columns are 0: nobody looks at padding. The last two *rows* are 0 as well: they are queries without
# any live key. What should a softmax over nothing be? The formula says $0/0$. Three answers are in use. The usual
# recipes put $-\infty$, or a very negative number, in place of the dead scores before the softmax.

# %%
live = mask[1][:, None] & mask[1][None, :]                         # (S, S): both must be real
scores = (q[1, 0] @ k[1, 0].T / 2).astype(np.float32)              # (S, S), sqrt(4) = 2
with np.errstate(invalid="ignore"):                                # NumPy would warn of what comes now
    with_infinity = ops.softmax(Tensor(np.where(live, scores, -np.inf).astype(np.float32))).numpy()
with_large_number = ops.softmax(Tensor(scores + np.where(live, 0, np.float32(-1e9)))).numpy()

print("the last row, a padding token,")
print("  with -inf      ", with_infinity[-1])
print("  with -1e9      ", with_large_number[-1])
print("  in the library ", attention.numpy()[1, 0, -1])
assert np.isnan(with_infinity[-1]).all() and np.allclose(with_large_number[-1], 1 / 5)
assert not attention.numpy()[1, 0, -1].any()

# %% [markdown]
# - **NaN** ("not a number") is what $0/0$ gives. It spreads.
# - **Evenly spread** is what $-10^9$ gives: next to so large a number the scores themselves vanish in rounding,
#   and all keys look alike. It seems harmless, but now a token that does not exist looks at all places, real and
#   not. Whoever later takes a sum or a maximum over rows counts these ghosts.
# - **Exactly 0** is what we want: who looks at nothing takes nothing home.
#
# (Many programs mask the keys only. Then padding looks at real words like anybody else, which makes ghosts of the
# same kind, and a sentence without any word is still $0/0$.)
#
# One may think that the NaN does not matter, since nobody uses the output of padding. Let us see. We make queries
# with a weight matrix, use the outputs of the three real words only, and ask for the gradient of the weights.

# %%
def weight_gradient(attend):
    """The gradient of the weights that make the queries, when only the outputs of real words are used."""
    x, w = (Tensor(a, requires_grad=True, backend=BACKEND) for a in (q[1, 0], np.eye(4)))
    output = attend(x @ w, *on_device(k[1, 0], v[1, 0]))           # (S, d_h)
    output[:3].sum().backward()                                    # rows 3 and 4 are padding: not used
    return to_host(w.grad)


def attend_with_infinity(q, k, v):
    shut = Tensor(np.where(live, 0, -np.inf), backend=BACKEND)
    return ops.softmax(q @ ops.transpose(k) / 2 + shut) @ v


with np.errstate(invalid="ignore"):
    poisoned = weight_gradient(attend_with_infinity)
healthy = weight_gradient(lambda q, k, v: ops.attention(q, k, v, to_backend(live, BACKEND))[0])
print("with -inf, first row of the gradient      ", poisoned[0])
print("in the library, first row of the gradient ", healthy[0].round(3))
assert np.isnan(poisoned).all() and np.isfinite(healthy).all()

# %% [markdown]
# The whole gradient is lost. The upstream gradient of the padding rows is 0, but $0 \cdot \mathrm{NaN}$ is NaN,
# and a weight gradient sums over all tokens. One empty row, and after one step of training these weights are NaN,
# and all that the model computes with them.
#
# So the rule is: **a row without a live key gives exactly 0, and so do all gradients through it.** It holds for a
# whole empty sentence too.

# %%
empty = np.array([[True] * 5, [False] * 5])                        # the second sentence has no word at all
leaves = [Tensor(a, requires_grad=True, backend=BACKEND) for a in (q, k, v)]
output, attention = ops.attention(*leaves, to_backend(empty, BACKEND))
((output * output).sum() + (attention * attention).sum()).backward()
for name, leaf in zip("qkv", leaves, strict=True):
    gradient = to_host(leaf.grad)
    print(f"gradient of {name}: largest in the full sentence {np.abs(gradient[0]).max():.3f}, "
          f"in the empty one {np.abs(gradient[1]).max()}")
    assert np.abs(gradient[0]).max() > 0.01 and not gradient[1].any()
assert not output.numpy()[1].any() and not attention.numpy()[1].any()

# %% [markdown]
# ### Exercise 2.2: a masked softmax
#
# Write it yourself: a softmax over the last axis of `scores`, over live entries only. `live` is a bool array of
# the same shape. Dead entries get 0; a row with no live entry is 0 throughout. Leave `scores` as it is.
#
# What stands in dead entries may be anything, even a huge number, and must not matter. But a NaN among the *live*
# scores is a fault that somebody should see: its row must not come out as harmless numbers.

# %% [exercise] masked_softmax
def masked_softmax(scores, live):
    """Softmax over the live entries of the last axis. scores: (..., S) floats; live: the same shape, bool."""
    ### BEGIN SOLUTION
    masked = np.where(live, scores, -np.inf)
    top = masked.max(axis=-1, keepdims=True)
    top = np.where(top == -np.inf, 0.0, top)                       # nothing is live: any number will do
    weights = np.exp(masked - top)                                 # exp(-inf) = 0
    total = weights.sum(axis=-1, keepdims=True)
    return weights / np.where(total == 0, 1.0, total)
    ### END SOLUTION

# %% [check] masked_softmax points=2
fresh = np.random.default_rng()
scores_check = fresh.uniform(-2, 2, (3, 4, 5))
live_check = fresh.random((3, 4, 5)) < 0.5
live_check[..., 0], live_check[..., 4], live_check[1, 2] = True, False, False      # rows of 1 to 4, and one of none
full_check = live_check.any(axis=-1)
before_check = scores_check.copy()
with np.errstate(all="ignore"):
    answer = masked_softmax(scores_check, live_check)
assert answer is not None, "masked_softmax returns nothing: end it with return"
assert np.shape(answer) == (3, 4, 5), f"the answer has shape {np.shape(answer)}; it must be that of scores, (3, 4, 5)"
assert np.array_equal(scores_check, before_check), "scores has changed: work on a copy, np.where makes one"
assert not np.isnan(answer[1, 2]).any(), "the row without a live entry is NaN: its sum is 0, so do not divide by it"
assert not answer[1, 2].any(), f"the row without a live entry is {answer[1, 2].round(2)}; it must be exactly 0"
assert not np.any(answer[~live_check]), "dead entries have weight: they must be exactly 0"
assert np.allclose(answer[full_check].sum(axis=-1), 1), (
    "the weights of a row do not sum to 1: leave the dead entries out before you divide, not after")
expected_check = np.exp(before_check) * live_check
expected_check = expected_check / np.maximum(expected_check.sum(axis=-1, keepdims=True), 1e-9)
assert np.allclose(answer, expected_check), "the live weights are not in proportion to exp(score)"
with np.errstate(all="ignore"):
    high = masked_softmax(np.where(live_check, before_check + 5000, 0), live_check)
    hidden = masked_softmax(np.where(live_check, before_check, 5000), live_check)
    faulty = masked_softmax(np.where(np.arange(5) == 0, np.nan, before_check), live_check)
assert np.allclose(high, expected_check), "large scores overflow: subtract the largest score of the row first"
assert np.allclose(hidden, expected_check), (
    "a huge number in a dead entry matters: replace dead scores before you take the maximum and the exponential")
assert np.isnan(faulty[full_check][:, 0]).all(), (
    "a NaN among the live scores became a harmless number: treat the empty row by its mask or sum, not by its NaN")
assert not np.any(faulty[1, 2]), "the row without a live entry must be 0, whatever its dead entries hold"
print("Right: only live entries count, an empty row is 0, and a real fault stays visible.")

# %% [markdown]
# ## 2.4 The way back
#
# Attention is a chain of steps that lesson 1 took apart: a matrix product, a scale, a softmax, a matrix product.
#
# $$s = \frac{Q K^\top}{\sqrt{d_h}}, \qquad P = \mathrm{softmax}(s), \qquad O = P V.$$
#
# Each step sends back a gradient by a rule that you know. For a product $y = a b$ we had $\delta a = \delta y
# b^\top$ and $\delta b = a^\top \delta y$. For a softmax, row by row, with $\delta P$ as its upstream gradient,
# $\delta s = P \circ (\delta P - \sum_k P_k \delta P_k)$. Note the $P$ in front: where $P$ is 0, nothing comes
# back. So an empty row has no gradient, and no special case is needed for it.
#
# The library checks its attention with finite differences, here with an empty row in the mask.

# %%
holes = np.ones((4, 4), bool)
holes[1, 2] = holes[0, 3] = False                                  # two dead entries
holes[3] = False                                                   # and an empty row
arrays = [random.standard_normal((4, 3)) for _ in range(3)]
worst = minimoe.gradcheck(lambda q, k, v: ops.attention(q, k, v, holes), arrays)
print(f"attention with an empty row: largest relative error {worst:.1e}")
assert worst < 1e-6

# %% [markdown]
# ### Exercise 2.3: the backward of attention
#
# One sentence, one head: `q`, `k` and `v` are arrays `(S, d_h)`, `p` is $P$ `(S, S)`, and `go` `(S, d_h)` is the
# upstream gradient of the outputs. Return the gradients of `q`, `k` and `v`. Walk from the last step to the
# first, and let the shapes check your transposes where they can. Here $S \ne d_h$, but $P$ is square: think which
# of its axes is summed over.

# %% [exercise] attention_backward
def attention_backward(go, q, k, v, p):
    """Gradients (gq, gk, gv) of attention. go, q, k, v: (S, d_h); p: (S, S), rows are queries; empty rows are 0."""
    ### BEGIN SOLUTION
    gv = p.T @ go
    gp = go @ v.T
    gs = p * (gp - (p * gp).sum(axis=-1, keepdims=True)) / np.sqrt(q.shape[-1])
    return gs @ k, gs.T @ q, gv
    ### END SOLUTION

# %% [check] attention_backward points=3
fresh = np.random.default_rng()
go_check = fresh.standard_normal((6, 4))
q_check, k_check, v_check = (Tensor(fresh.standard_normal((6, 4)), requires_grad=True) for _ in range(3))
live_check = np.ones((6, 6), bool)
live_check[2] = False                                              # word 2 looks at nothing
o_check, p_check = ops.attention(q_check, k_check, v_check, live_check)
o_check.backward(Tensor(go_check))
q_true, k_true, v_true = q_check.grad, k_check.grad, v_check.grad
answer = attention_backward(go_check, q_check.numpy(), k_check.numpy(), v_check.numpy(), p_check.numpy())
assert isinstance(answer, tuple) and len(answer) == 3, "return three gradients: return gq, gk, gv"
for name, found in zip(("gq", "gk", "gv"), answer, strict=True):
    assert np.shape(found) == (6, 4), f"{name} has shape {np.shape(found)}; it must have that of its array, (6, 4)"
gq_check, gk_check, gv_check = answer
assert not np.allclose(gv_check, p_check.numpy() @ go_check), (
    "gv uses P as on the way forward: value j was taken by all rows i, so sum over the rows of its column, with P.T")
assert np.allclose(gv_check, v_true), "gv is wrong: the outputs are P V, a product; use its rule"
assert not np.any(gq_check[2]), (
    "word 2 looks at nothing and still gets a gradient: the way back through the softmax begins with P times ...")
assert not np.allclose(gq_check, 2 * q_true), "gq lacks the scale: the scores were divided by sqrt(d_h)"
assert np.allclose(gq_check, q_true) or np.allclose(np.sum(gk_check, axis=0), 0), (
    "the rows of gk do not sum to 0, though moving all keys together changes no weight: subtract, in each row, the "
    "sum of P times its upstream gradient (keepdims=True keeps it in its row)")
assert np.allclose(gq_check, q_true), "gq is wrong: it is the gradient of the scaled scores times K"
assert not np.allclose(gk_check, 2 * k_true), "gk lacks the scale: the scores were divided by sqrt(d_h)"
assert np.allclose(gk_check, k_true), (
    "gk is wrong: key j was met by all queries i, so sum over the rows: the gradient of the scores is transposed")
print("Right: keys and values collect from every word that looked at them.")

# %% [markdown]
# ## 2.5 Several heads
#
# One softmax is one look, and a word may need two: at its negation and at its noun. So the vectors of width $d$
# are cut into $H$ pieces of width $d_h = d/H$, and each piece does attention on its own. The pieces are called
# **heads**. Their outputs are put side by side again and mixed by one more weight matrix.
#
# The array $P$ then has four axes, $(B, H, S, S)$: sentence, head, who looks, who is looked at. Here is the layer
# of the library. `in_proj_weight` holds the weights of queries, keys and values in one matrix.

# %%
print(inspect.getsource(nn.MultiHeadAttention.forward))

# %% [markdown]
# Nothing new happens inside: the layer gives what a loop over heads gives.

# %%
B, S, d, H = 2, 5, 12, 3
layer = nn.MultiHeadAttention(d, H, rng=0).to(BACKEND)
x = Tensor(random.standard_normal((B, S, d)).astype(np.float32), backend=BACKEND)
output, attention = layer(x, to_backend(mask, BACKEND))
print("x", x.shape, " output", output.shape, " P", attention.shape)

q, k, v = ops.split(ops.linear(x, layer.in_proj_weight, layer.in_proj_bias), 3, axis=-1)       # (B, S, d) each
pairs = to_backend(mask[:, :, None] & mask[:, None, :], BACKEND)    # (B, S, S): may this query see this key?
pieces = []
for h in range(H):
    mine = slice(h * d // H, (h + 1) * d // H)                     # the columns of head h
    piece, p = ops.attention(q[:, :, mine], k[:, :, mine], v[:, :, mine], pairs)
    assert error_of(p.data, attention.data[:, h]) < 1e-6           # P of this head alone
    pieces.append(piece)
by_loop = layer.out_proj(ops.concatenate(pieces, axis=-1))
print(f"largest difference to the loop over heads: {error_of(by_loop.data, output.data):.0e}")
assert error_of(by_loop.data, output.data) < 1e-5

# %% [markdown]
# ## 2.6 A real sentence
#
# In the library there is a small model, trained to say whether a review is positive or negative. It has two
# layers with four heads each, and every layer has eight **experts**. Experts are the subject of lesson 3. The
# model gives each token a number $K$ of them between 1 and 8, and reads this number from attention.
#
# `[CLS]` and `[SEP]` are special tokens that mark the start and the end; the model reads its answer off `[CLS]`.

# %%
from minimoe.study.reading import read_sentence
from minimoe.training import load_checkpoint

checkpoint = load_checkpoint(Path(minimoe.__file__).parent / "assets" / "sentiment")
model, tokenizer = checkpoint.model(backend=BACKEND), checkpoint.tokenizer


def look_inside(text):
    """(what the command `minimoe inspect` shows of a text, P of both layers (H, S, S))."""
    reading = read_sentence(model, tokenizer, text)
    ids = np.array([reading.ids])                                  # (1, S)
    with minimoe.no_grad():                                        # segments: which of two texts a token is from
        output = model(ids, segments=np.zeros_like(ids))
    return reading, [to_host(p.data)[0] for p in output.attentions]


reading, attentions = look_inside("the plot was not bad , but the ending was dull .")
print(checkpoint.task["label_names"][reading.logits.argmax()], "  P", [p.shape for p in attentions])
attention_heatmap(attentions[0], reading.tokens)

# %% [markdown]
# Four heads of the first layer. The dark *columns* are the tokens at which nearly all others look, and not all
# heads look at the same one. Note also the pale *rows*: a token at which the others look hard may itself look
# nowhere in particular. Here is the most looked-at token of each head.

# %%
for h, p in enumerate(attentions[0]):
    received = p.mean(axis=0)                                      # (S,): the mean of a column
    print(f"head {h}: {received.max():.2f} of all attention goes to {reading.tokens[received.argmax()]!r}")
favourites = {int(p.mean(axis=0).argmax()) for p in attentions[0]}
assert all(p.mean(axis=0).max() > 3 / len(reading.tokens) for p in attentions[0])     # far more than an even share
assert len(favourites) > 1                                                            # and the heads differ

# %% [markdown]
# ## 2.7 From attention to importance
#
# The idea of DA-MoE ([arXiv 2409.06669](https://arxiv.org/abs/2409.06669)): **attention tells how important each
# token is, and important tokens get more experts.** So much is **confirmed** by the paper's abstract. But *which*
# number in $P$ is the importance of token $i$? A matrix offers several, and they ask different questions:
#
# | measure | importance of token $i$, in each head | the question |
# | --- | --- | --- |
# | `rowmax` | the largest weight of row $i$ | how sharply does it look? |
# | `focus` | 1 − (entropy of row $i$) / log n | the same, from the whole row |
# | `colmax` | the largest weight of column $i$ | how hard does somebody look at it? |
# | `colsum` | the sum of column $i$, divided by n | what share of all attention does it get? |
# | `cls` | the weight in row 0, column $i$ | how much does the first token look at it? |
#
# Here $n$ is the number of real tokens, and the mean over heads is taken last. (The **entropy** of a row,
# $-\sum_k P_{ik} \log P_{ik}$, is 0 when one key has all the weight and $\log n$ when all have the same.)
# `rowmax` and `focus` read the token's *own row*: what it does. The other three read its *column*: what is done
# to it.
#
# Which one does the paper use? That is only **reported**, by a reader's note: importance is the mean over heads
# of the largest attention weight. The note does not say whether the maximum runs along rows or along columns. (A
# second note says that the size of the weights counts and not their entropy, which speaks against `focus`.) Rows,
# so `rowmax`, are the default of this library; that is **assumed**.
#
# ### Exercise 2.4: along the row, along the column
#
# Write both. `p` is $(B, H, S, S)$, `mask` is $(B, S)$ with `True` for real tokens. Padding gets importance 0,
# and weights from padding or to padding must not count, whatever they are (think of the ghosts of section 2.3).
# Return two arrays $(B, S)$.

# %% [exercise] rowmax_and_colmax
def rowmax_and_colmax(p, mask):
    """Mean over heads of the largest weight in each row, and in each column. p: (B, H, S, S); mask: (B, S) bool."""
    ### BEGIN SOLUTION
    live = mask[:, None, :, None] & mask[:, None, None, :]         # (B, 1, S, S)
    p = np.where(live, p, 0.0)
    return p.max(axis=3).mean(axis=1), p.max(axis=2).mean(axis=1)
    ### END SOLUTION

# %% [check] rowmax_and_colmax points=2
fresh = np.random.default_rng()
p_check = fresh.dirichlet(np.full(6, 0.4), (3, 4, 6))              # (B, H, S, S) = (3, 4, 6, 6), rows sum to 1
no_padding = np.ones((3, 6), bool)
answer = rowmax_and_colmax(p_check.copy(), no_padding)
assert isinstance(answer, tuple) and len(answer) == 2, "return two arrays: return rowmax, colmax"
rows_check, columns_check = answer
for name, found in (("rowmax", rows_check), ("colmax", columns_check)):
    assert np.shape(found) != (3, 4, 6), f"{name} still has one number for each head: take the mean over axis 1"
    assert np.shape(found) == (3, 6), f"{name} has shape {np.shape(found)}; it must be (B, S), here (3, 6)"
rows_true = [[np.mean([p_check[b, h, i].max() for h in range(4)]) for i in range(6)] for b in range(3)]
columns_true = [[np.mean([p_check[b, h, :, i].max() for h in range(4)]) for i in range(6)] for b in range(3)]
assert not np.allclose(rows_check, columns_true), (
    "rowmax and colmax have changed places: the last axis runs along a row, over the keys")
assert not np.allclose(rows_check, p_check.max(axis=(1, 3))), (
    "rowmax is the largest over all heads: take the maximum in each head, then the mean over heads")
assert not np.allclose(rows_check, p_check.mean(axis=1).max(axis=-1)), (
    "the heads are averaged first, which blurs their looks: take the maximum in each head, then the mean")
assert np.allclose(rows_check, rows_true), "rowmax is not the mean over heads of the largest weight in the row"
assert np.allclose(columns_check, columns_true), "colmax is not the mean over heads of the largest weight in the column"
short = np.arange(6) < np.array([[6], [4], [0]])                   # the second has two places of padding, the third all
ghosts = np.where(short[:, None, :, None] & short[:, None, None, :], p_check, 2.0)
rows_check, columns_check = rowmax_and_colmax(ghosts, short)
assert np.allclose(rows_check[0], rows_true[0]), "a sentence without padding has changed: treat each sentence alone"
assert not np.any(rows_check[~short]) and not np.any(columns_check[~short]), "padding must get importance 0"
assert np.allclose(rows_check[1, :4], p_check[1, :, :4, :4].max(axis=2).mean(axis=0)), (
    "rowmax counts weights to padding: set them to 0 before you take the maximum")
assert np.allclose(columns_check[1, :4], p_check[1, :, :4, :4].max(axis=1).mean(axis=0)), (
    "colmax counts weights from padding: a padding row is nobody's look; set it to 0 before you take the maximum")
print("Right: two directions through the same matrix, and padding has no say in either.")

# %% [markdown]
# ### The measures side by side
#
# Now a longer sentence, and the second layer. First $P$, as the mean over heads.

# %%
text = "although the lobby of the hotel was awful , my brother found the hotel we chose truly lovely ."
reading, attentions = look_inside(text)
tokens, p = reading.tokens, attentions[1]                          # p (H, S, S), second layer
print(checkpoint.task["label_names"][reading.logits.argmax()], "  P", p.shape)
attention_heatmap(p, tokens, head="mean")

# %% [markdown]
# Two columns stand out, and so do the rows of the same two words: most of the others look at "awful", some at
# "found", but "awful" and "found" themselves look nowhere in particular.
#
# And now the importance of each token by all five measures. Each line has its own scale: 100 is the largest
# importance on the line, and darker means more.

# %%
MEASURES = ("rowmax", "focus", "colmax", "colsum", "cls")
importance = {measure: token_importance(p[None], measure=measure)[0] for measure in MEASURES}      # each (S,)
percent = [np.round(100 * i / i.max()).astype(int) for i in importance.values()]
experts_per_token(tokens, np.stack(percent), format="figure", k_max=100, labels=MEASURES,
                  title="Importance, in percent of the largest on the line")

# %% [markdown]
# Two families. The upper two lines, which read rows, are dark nearly everywhere except at a few words. The lower
# three, which read columns, are white except at a few words, and partly at the same ones! To be looked at and to
# look sharply are different things, here nearly opposite ones.
#
# What would the model do with it? Under the rule `ceil`, a token with importance $I$ gets $K = \lceil E I \rceil$
# of the $E$ experts (lesson 4 is about this step). This is the model's own rule with `rowmax`, and the same rule
# with `colmax` in its place. (Importance is read off as plain numbers: no gradient flows back through it, neither
# here nor in training.)

# %%
k_of = {measure: allocate_experts(importance[measure][None], n_experts=8)[0] for measure in ("rowmax", "colmax")}
experts_per_token(tokens, np.stack(list(k_of.values())), format="figure", k_max=8, labels=list(k_of),
                  title="Experts per token, of 8")

# %%
at = tokens.index("awful")
n = len(tokens)
for measure in MEASURES:
    place = int((importance[measure] > importance[measure][at]).sum()) + 1
    print(f"{measure:7} awful {importance[measure][at]:.2f}, place {place:2} of {n}")

np.testing.assert_array_equal(k_of["rowmax"], reading.k[1])        # it is what `minimoe inspect` shows
assert importance["colmax"].argmax() == importance["colsum"].argmax() == importance["cls"].argmax() == at
assert k_of["rowmax"][at] < np.median(k_of["rowmax"]) and k_of["colmax"][at] == k_of["colmax"].max()
assert np.isclose(importance["colsum"].sum(), 1) and np.isclose(importance["cls"].sum(), 1)
assert importance["rowmax"].min() >= 1 / n - 1e-6

# %% [markdown]
# Under `rowmax` "awful" gets few experts, under `colmax` the most. The reason can be read off the picture: a word
# that others look at for its strong meaning need not look for anything itself.
#
# Note also the sizes. `colsum` and `cls` are shared out: over a sentence they sum to 1, so their mean is $1/n$.
# `rowmax` of a single token can be anything from $1/n$ to 1. The rule `ceil` fits that range; with `colsum`
# nearly all tokens would get one expert. A measure and a rule must fit together.
#
# ## 2.8 Which measure finds the words that matter?
#
# One sentence proves nothing. The sentences of this task are made by a grammar, and each knows the **deciding
# words**, those that fix its label. (The sentences above were written by hand and know nothing of the kind.) Here
# are some, with the deciding words between stars.
#
# %%
from minimoe.data import load_builtin
from minimoe.data.batching import encode_dataset, make_batch

dataset = load_builtin("sentiment", "test")
for example in dataset.examples[:6]:
    marked = [f"*{word}*" if at in example.deciding else word for at, word in enumerate(example.text.split())]
    print(f"{dataset.label_names[example.label]}: {' '.join(marked)}")

# %% [markdown]
# Now we can ask of each measure: draw a deciding word and another word of the same sentence; how often has the
# deciding one the higher importance? Chance gives 0.5. We ask it over 400 test sentences, in both layers. As a
# control we add `shuffled(rowmax)`: the same numbers, handed to random tokens of the sentence.

# %%
encoded = encode_dataset(dataset, tokenizer, model.config.max_length)
batch = make_batch(encoded, range(400))
with minimoe.no_grad():
    output = model(batch.ids, batch.mask, batch.segments)
accuracy = float((output.logits.numpy().argmax(axis=1) == batch.labels).mean())
print("ids", batch.ids.shape, "  P", output.attentions[0].shape, f"  accuracy {accuracy:.3f}")
print(f"deciding words per sentence: {batch.deciding.sum(axis=1).mean():.2f}")


def deciding_wins(importance):
    """How often a deciding word beats another word of its sentence; a tie counts half. importance (B, S)."""
    wins = []
    for mine, decides, word in zip(importance, batch.deciding, batch.words, strict=True):
        a, b = mine[decides][:, None], mine[word & ~decides]       # words only: no [CLS], no [SEP], no padding
        wins.append(((a > b) + 0.5 * (a == b)).mean())
    return float(np.mean(wins))


asked = (*MEASURES, "shuffled(rowmax)")
wins = {measure: [deciding_wins(token_importance(to_host(p.data), batch.mask, measure, rng=0))
                  for p in output.attentions] for measure in asked}

# %%
axes = plain_axes(height=3.4)
places = np.arange(len(asked))[::-1]
for layer_number, (colour, marker) in enumerate(((BLUE, "o"), (RED, "s"))):
    axes.plot([wins[measure][layer_number] for measure in asked], places, marker, color=colour, markersize=8,
              label=f"layer {layer_number + 1}")
axes.axvline(0.5, color=GREY, linewidth=1, linestyle="--")
axes.text(0.5, len(asked) - 0.45, "chance", ha="center", va="bottom")
axes.set(xlabel="how often a deciding word has the higher importance", xlim=(0, 1), ylim=(-0.5, len(asked) - 0.5))
axes.set_yticks(places, asked)
axes.legend(frameon=False, loc="upper right")
plt.show()
for measure in asked:
    print(f"{measure:17} layer 1 {wins[measure][0]:.2f}   layer 2 {wins[measure][1]:.2f}")

# %% [markdown]
# In the first layer the measures that read columns find the deciding words most of the time. `rowmax` is *below*
# chance: it puts them behind the others, since they are looked at and do not look sharply themselves. In the
# second layer the columns know less. A likely reason, which we do not test here: the first layer has already
# carried the meaning of the deciding words to other places, so a look at "brother" is no longer a look at the
# word "brother" alone.
#
# How alike are the measures? We turn each into ranks within its sentence and correlate them: 1 means the same
# order, 0 no relation.

# %%
first = to_host(output.attentions[0].data)
ranks = {measure: token_importance(first, batch.mask, measure, normalise="rank")[batch.mask] for measure in MEASURES}
alike = np.corrcoef(np.stack(list(ranks.values())))                # (5, 5)
print("layer 1  " + "".join(f"{measure:>8}" for measure in MEASURES))
for measure, row in zip(MEASURES, alike, strict=True):
    print(f"{measure:9}" + "".join(f"{value:8.2f}" for value in row))

assert wins["rowmax"][0] < 0.45 < 0.55 < 0.7 < wins["colmax"][0]   # in the first layer they say the opposite
assert abs(wins["shuffled(rowmax)"][0] - 0.5) < 0.06               # the control knows nothing
assert alike[0, 1] > 0.8 and alike[2, 3] > 0.6                     # alike within a family,
assert abs(alike[0, 2]) < 0.4 and abs(alike[0, 3]) < 0.4           # not between families

# %% [markdown]
# Be careful with the conclusion. It is one small model and one task with planted words, and the model was trained
# *with* `rowmax`. "Finds the deciding words" and "helps when it hands out experts" are two different claims. A
# deciding word may need no expert at all, once others have read it. And attention is not an explanation: a weight
# says how much of $v_j$ is taken, not how large $v_j$ is, nor what becomes of it. What the result does show: the
# axis of that one maximum, which nobody has published, changes who gets the experts. So report both.
#
# ## 2.9 Before dropout, and before training
#
# ### Before dropout
#
# In training, **dropout** sets each attention weight to 0 with a small probability, and makes the others larger
# so that the mean stays. The layer mixes values with the weights after dropout, but hands out $P$ *before* it.
# (Again our assumption about the paper.) We call the same layer twice in training mode.

# %%
layer = nn.MultiHeadAttention(d, H, dropout=0.1, rng=0).to(BACKEND)
layer.train()
(output_1, attention_1), (output_2, attention_2) = (layer(x, to_backend(mask, BACKEND)) for _ in range(2))
print("the two outputs are equal:", error_of(output_1.data, output_2.data) == 0)
print("the two P are equal:      ", error_of(attention_1.data, attention_2.data) == 0)
assert error_of(output_1.data, output_2.data) > 0 and error_of(attention_1.data, attention_2.data) == 0

# %% [markdown]
# Why does it matter? Suppose we read importance after dropout. Then a token loses its sharpest look now and then,
# by the luck of the draw, and its number of experts jumps. Let us count how often, for the second layer and the
# long sentence of section 2.7. We draw 500 times, with probability 0.1.

# %%
dropping = np.random.default_rng(0)
rate, draws = 0.1, 500
keep = (dropping.random((draws, *p.shape), np.float32) >= rate) / np.float32(1 - rate)      # (draws, H, S, S)
noisy = token_importance(p * keep)                                                      # (draws, S): draws as sentences
k_noisy = allocate_experts(noisy, n_experts=8)
changed = (k_noisy != k_of["rowmax"]).mean(axis=0)                                      # (S,)
print(f"of the tokens of the sentence, {100 * changed.mean():.0f} % change their number of experts in an average draw")
swing = int((k_noisy.max(axis=0) - k_noisy.min(axis=0)).argmax())
print(f"widest swing: {tokens[swing]!r} has {k_of['rowmax'][swing]} experts before dropout, and from "
      f"{k_noisy[:, swing].min()} to {k_noisy[:, swing].max()} after it")
assert changed.mean() > 0.1

# %% [markdown]
# ### Before training
#
# A look that is spread evenly over $n$ tokens has all weights $1/n$, so `rowmax` is $1/n$, its smallest value,
# and `focus` is 0. That is nearly the state of a fresh model, whose weights, and so whose scores, are small. Let
# us compare a fresh model of the same shape with the trained one, for sentences of all lengths in the batch.

# %%
from minimoe.models import SequenceClassifier

untrained = SequenceClassifier(model.config, rng=0).eval().to(backend=BACKEND)
with minimoe.no_grad():
    fresh_output = untrained(batch.ids, batch.mask, batch.segments)


def mean_rowmax(attention):
    """The mean `rowmax` over the real tokens of each sentence, (B,)."""
    return token_importance(to_host(attention.data), batch.mask).sum(axis=1) / batch.mask.sum(axis=1)


lengths = batch.mask.sum(axis=1)
every_length = np.unique(lengths)
axes = plain_axes(height=3.6)
shown = (("trained, layer 1", output.attentions[0], RED, "s-"), ("trained, layer 2", output.attentions[1], GREEN, "^-"),
         ("fresh, layers 1 and 2", fresh_output.attentions[0], BLUE, "o"),
         ("", fresh_output.attentions[1], BLUE, "o"))
for name, attention, colour, style in shown:
    means = mean_rowmax(attention)
    line = [means[lengths == length].mean() for length in every_length]
    axes.plot(every_length, line, style, color=colour, markersize=5, linewidth=1.4)
    axes.text(every_length[-1] + 0.3, line[-1], name, color=colour, va="bottom")
axes.plot(every_length, 1 / every_length, "--", color="black", linewidth=1)
axes.text(every_length[0] - 0.2, 1 / every_length[0], "1/n", ha="right", va="center")
axes.set(xlabel="tokens n in the sentence", ylabel="importance (rowmax), mean", ylim=(0, 1),
         xlim=(every_length[0] - 1, every_length[-1] + 5), xticks=every_length[::2])
plt.show()
fresh_k = np.concatenate([to_host(routing.k).ravel() for routing in fresh_output.routings])
trained_k = np.concatenate([to_host(routing.k).ravel() for routing in output.routings])
print(f"experts per real token: fresh {fresh_k[fresh_k > 0].mean():.2f}, trained {trained_k[trained_k > 0].mean():.2f}")

# %% [markdown]
# The fresh model lies close to the line $1/n$. As heads learn where to look, importance rises, and with it the
# number of experts. With even attention each token gets one expert as soon as $n \ge E$; the trained model gives
# several. The compute of the method grows while it learns, and nobody has set a limit. Keep it in mind when you
# compare it with a model that always uses one expert.

# %%
uniform = {n: token_importance(np.full((1, 4, n, n), 1 / n), measure="rowmax") for n in (1, 2, 4, 8, 16)}
for n, importance_n in uniform.items():
    k = allocate_experts(importance_n, n_experts=8)
    print(f"uniform attention over {n:2} tokens: importance {importance_n[0, 0]:.4f}, {k[0, 0]} of 8 experts each")
    assert np.allclose(importance_n, 1 / n) and np.all(k == -(-8 // n))                # 8 / n, rounded up
assert np.allclose(token_importance(np.full((1, 4, 8, 8), 1 / 8), measure="focus"), 0)
assert np.abs(mean_rowmax(fresh_output.attentions[0]) * lengths - 1).max() < 0.5      # near 1/n at every length
assert trained_k[trained_k > 0].mean() > 2 * fresh_k[fresh_k > 0].mean()

# %% [markdown]
# A sentence of one token has importance 1 and gets all experts, trained or not.
#
# ## What to take away
#
# - Attention is a mean of values, with weights from a softmax of scaled scores. A row looks, a column is looked
#   at.
# - A query without a live key gives exactly 0, forward and backward. NaN and "evenly over padding" are both
#   wrong.
# - Keys and values collect their gradients from all words that looked at them.
# - Importance by rows asks how sharply a token looks (`rowmax`, `focus`), by columns how much it is looked at
#   (`colmax`, `colsum`, `cls`). On the sentences of this page the two disagree.
# - Importance is read before dropout, starts near $1/n$, and grows as heads sharpen.
#
# **What is certain of DA-MoE.** That attention gives importance and importance gives the number of experts is in
# the abstract of [arXiv 2409.06669](https://arxiv.org/abs/2409.06669). The formula (mean over heads of the
# largest weight) is reported by a reader's note only. Rows, and before dropout, are our assumptions. The table is
# in `notation.md`.
#
# **Read on.** In the library: `minimoe/ops/attention.py`, `minimoe/nn/attention.py` and
# `minimoe/moe/importance.py`, where each measure is one line. Papers: A. Vaswani et al., *Attention is all you
# need* ([arXiv 1706.03762](https://arxiv.org/abs/1706.03762)), section 3.2, equation 1 and the footnote on the
# variance of a dot product. S. Jain and B. C. Wallace, *Attention is not explanation* ([arXiv
# 1902.10186](https://arxiv.org/abs/1902.10186)), and the answer of S. Wiegreffe and Y. Pinter, *Attention is not
# not explanation* ([arXiv 1908.04626](https://arxiv.org/abs/1908.04626)). S. Abnar and W. Zuidema, *Quantifying
# attention flow in transformers* ([arXiv 2005.00928](https://arxiv.org/abs/2005.00928)), follows attention
# through several layers; the library has it as `rollout`.
#
# **Next.** Lesson 3, `03_experts.ipynb`: what an expert is. Lesson 4, `04_dynamic_allocation.ipynb`, takes up
# importance again.
