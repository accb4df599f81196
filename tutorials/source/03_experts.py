# %% [markdown]
# # 3. From one feed-forward block to eight experts
#
# **What you will understand at the end**
#
# - why eight experts need eight times the memory, and yet only K times the work;
# - how a router turns a token into probabilities, a choice of experts, and gates;
# - why a gate must carry the probability if a router that picks a single expert is to learn;
# - how six small arrays of integers, the routing plan, lead rows to their experts and back;
# - how to prove that the fast way computes the same as a plain loop, and what it costs, by measuring.
#
# **What you need.** Lesson 1 (operations, backward, upstream gradient). Lesson 2 helps, but is not needed: how
# many experts a token gets is simply given here. In NumPy: indexing an array with an array of integers.
#
# **Time.** About 80 minutes with the four exercises. The page itself runs in a few seconds and needs no GPU.

# %% [setup]

# %%
import inspect
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from minimoe import Tensor, nn, no_grad, ops
from minimoe.backend import blas_threads, to_host
from minimoe.moe import MoELayer, Router, route
from minimoe.moe.experts import Experts
from minimoe.plots import routing_plan

BLUE, RED, GREEN, ORANGE, GREY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#6b7280"


def axes_for(width=7.0, height=3.2):
    """A figure with plain axes."""
    _, axes = plt.subplots(figsize=(width, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def error_of(a, b):
    """The largest difference between two arrays."""
    return float(np.abs(to_host(a) - to_host(b)).max())

# %% [markdown]
# ## 3.1 One feed-forward block
#
# After attention has mixed the tokens, a transformer layer sends each token through a **feed-forward block**. It
# widens the token's vector from $d$ numbers to $f$, bends it with a function $\phi$, and comes back to $d$:
#
# $$\mathrm{FFN}(x) = \phi(x W_1 + b_1) W_2 + b_2, \qquad W_1 \text{ is } (d, f), \quad W_2 \text{ is } (f, d).$$
#
# $\phi$ is GELU, a relu without the kink. The block in the library, on six tokens:

# %%
d, f = 16, 64
random = np.random.default_rng(0)
block = nn.FeedForward(d, f, rng=0).to(BACKEND)
tokens = random.standard_normal((6, d)).astype(np.float32)
answer = block(Tensor(tokens, backend=BACKEND)).numpy()
print("tokens", tokens.shape, "  hidden", (6, f), "  answer", answer.shape)

w1, b1, w2, b2 = (to_host(p.data) for p in block.parameters())                # stored as (out, in): transpose them
hidden = ops.gelu(Tensor(tokens @ w1.T + b1)).numpy()                         # (6, f)
print("largest difference to the formula:", f"{error_of(answer, hidden @ w2.T + b2):.0e}")

# %% [markdown]
# Two things matter for what follows. **Each token is alone**: the block looks at no other token, so tokens may
# come in any order, and some of them may be left out. And **the price is known**: each of the two products costs
# a token $d f$ multiplications and as many additions. Counted as **FLOPs** (one multiplication or one addition is
# one FLOP) that is $4 d f$ per token.

# %%
order = random.permutation(6)
shuffled = block(Tensor(tokens[order], backend=BACKEND)).numpy()
print("parameters:", sum(p.size for p in block.parameters()), "  FLOPs per token:", 4 * d * f)
assert error_of(answer, hidden @ w2.T + b2) < 1e-5                            # the formula
assert error_of(shuffled, answer[order]) < 1e-5                               # any order, the same answers
assert sum(p.size for p in block.parameters()) == 2 * d * f + f + d

# %% [markdown]
# ## 3.2 Eight blocks, and what they cost
#
# A larger model can learn more, but each token pays for all of it. The idea of a **mixture of experts**: have $E$
# blocks of the same shape, the **experts**, and send each token to only a few of them, $K$.
#
# The library keeps all experts in four arrays, with the expert as the first axis. The layer around them also has
# a **router**, one matrix that chooses. Let us count: parameters as they lie in memory, and FLOPs per token,
# which are $4 d f K$ for the experts and $2 d E$ for the router.

# %%
for name, parameter in MoELayer(d, f, 8, "switch", rng=0).named_parameters():        # "switch": one expert per token
    print(f"{name:14} {parameter.shape}")

wide_d, wide_f, sizes = 128, 512, [1, 2, 4, 8, 16, 32]
one_block = sum(p.size for p in nn.FeedForward(wide_d, wide_f, rng=0).parameters())
memory = [sum(p.size for p in MoELayer(wide_d, wide_f, e, "switch", rng=0).parameters()) / one_block for e in sizes]
work = {k: [(4 * wide_d * wide_f * k + 2 * wide_d * e) / (4 * wide_d * wide_f) for e in sizes if e >= k]
        for k in (1, 2)}
print(f"\n8 experts against one block: {memory[3]:.2f} times the parameters; FLOPs per token "
      f"{work[1][3]:.2f} times with K = 1 and {work[2][2]:.2f} times with K = 2")

# %%
axes = axes_for()
axes.plot(sizes, memory, "o-", color=RED)
axes.text(sizes[-1] * 1.1, memory[-1], "parameters", color=RED, va="center")
for k, colour, mark in ((1, BLUE, "s-"), (2, GREEN, "^-")):
    axes.plot(sizes[-len(work[k]):], work[k], mark, color=colour)
    axes.text(sizes[-1] * 1.1, work[k][-1], f"FLOPs per token, K = {k}", color=colour, va="center")
axes.set_xscale("log", base=2)
axes.set_yscale("log", base=2)
axes.set(xlabel="experts E", ylabel="times one block", xticks=sizes, xticklabels=sizes, xlim=(0.9, 150),
         yticks=sizes, yticklabels=sizes)
plt.show()
assert 7.9 < memory[3] < 8.1 and work[1][3] < 1.05 and work[2][2] < 2.05

# %% [markdown]
# That is the bargain: parameters grow with $E$, work with $K$. It is not free. All experts must lie in memory,
# each learns from a part of the tokens only, and somebody has to choose well. That is the router's job.
#
# ## 3.3 The router: probabilities and a choice
#
# The router is one linear map without a bias, $W_r$ of shape $(E, d)$. It gives token $i$ one number for each
# expert, the **logits** $z_i$. A softmax makes them positive numbers that sum to 1, the **probabilities** $p_i$:
#
# $$z_i = x_i W_r^\top, \qquad p_{ie} = \frac{e^{z_{ie}}}{\sum_j e^{z_{ij}}}.$$
#
# Token $i$ goes to its $K_i$ experts of largest logit. Where do the $K_i$ come from? In a Switch Transformer all
# are 1, in many other mixtures all are 2. In DA-MoE attention decides, token by token; that is lesson 4. Today we
# write $K_i$ down ourselves. Only one thing matters: they may differ, and some may be 0 (padding).

# %%
E = 8
router_weight = random.standard_normal((E, d)) * 0.5                          # large, so that one can see differences
k = np.array([1, 3, 2, 1, 4, 0], np.int32)
logits = Tensor(tokens.astype(np.float64) @ router_weight.T, backend=BACKEND)  # (6, E)
routing = route(logits, k)                                                    # we open it up step by step
p = routing.probabilities.numpy()
plan = routing.plan
token_of, expert_of = to_host(plan.token), to_host(plan.expert)               # who goes where, one entry per choice
print("logits", logits.shape, "  probabilities", p.shape, "  sum of K:", k.sum())
for i in range(6):
    print(f"token {i}: K = {k[i]}, experts", expert_of[token_of == i].tolist())

# %% [markdown]
# The same as a picture. Each row is a token and sums to 1; a ring marks a chosen expert. The small number in it
# says which choice it was: 1 for the token's best. Token 5 has probabilities too, but with $K = 0$ nobody treats
# it.

# %%
_, axes = plt.subplots(figsize=(6.2, 3.2), layout="constrained")
image = axes.imshow(p, cmap="Blues", vmin=0, vmax=1, aspect="auto")
choice = np.concatenate([np.arange(1, n + 1) for n in k])
for i, e, c in zip(token_of, expert_of, choice, strict=True):
    ink = "white" if p[i, e] > 0.5 else "black"
    axes.plot(e, i, "o", markersize=17, markerfacecolor="none", markeredgecolor=ORANGE, markeredgewidth=2)
    axes.text(e, i, c, ha="center", va="center", size=9, color=ink)
axes.set(xlabel="expert", ylabel="token", xticks=range(E), yticks=range(6))
axes.set_yticklabels([f"{i} (K={n})" for i, n in enumerate(k)])
plt.colorbar(image, label="probability")
plt.show()
assert np.allclose(p.sum(axis=1), 1)
for i in range(6):                                                            # no expert left out is better
    chosen = expert_of[token_of == i]
    assert len(chosen) == k[i] and (k[i] == 0 or p[i, chosen].min() >= np.delete(p[i], chosen).max())

# %% [markdown]
# Each line of this choice, "token $t$ goes to expert $e$ with gate $g$", is called an **assignment**. There are
# $A = \sum_i K_i$ of them. Their order is fixed: token by token, and within a token the best expert first.
#
# ### Exercise 3.1: the choice
#
# Given logits `z` of shape $(N, E)$ and counts `k` of shape $(N)$, return the experts of all assignments in that
# order: one array of $A$ integers. If two logits are equal, the lower expert number comes first, so that every
# machine chooses alike.
#
# A hint: NumPy sorts upwards, and `kind="stable"` leaves equal values in the order in which they stand.

# %% [exercise] choose_experts
def choose_experts(z, k):
    """Experts of all assignments, token by token, best first. z: array (N, E); k: integers (N,). Returns (A,)."""
    ### BEGIN SOLUTION
    order = np.argsort(-z, axis=1, kind="stable")                            # (N, E), best first
    return order[np.arange(z.shape[1]) < k[:, None]]                         # the first k_i of row i
    ### END SOLUTION

# %% [check] choose_experts points=2
fresh = np.random.default_rng()
for _ in range(5):
    z_check = fresh.permuted(np.tile(np.arange(6.0), (5, 1)), axis=1)         # all different
    k_check = fresh.permutation([0, 1, 2, 3, 6])
    ranked = [sorted(range(6), key=lambda e, i=i: -z_check[i, e]) for i in range(5)]
    wanted = [e for i in range(5) for e in ranked[i][:k_check[i]]]
    answer_check = choose_experts(z_check.copy(), k_check.copy())
    assert answer_check is not None, "choose_experts gives nothing back: end it with return"
    assert all(np.ndim(one) == 0 for one in answer_check), (
        "the answer has a row for each token; all assignments stand in one row, token after token: (A,)")
    answer_check = np.asarray(answer_check)
    assert answer_check.size == 12, (
        f"{answer_check.size} assignments came back, and the counts ask for {k_check.sum()}: token i gets k[i] experts")
    worst = [e for i in range(5) for e in ranked[i][::-1][:k_check[i]]]
    assert answer_check.tolist() != worst, "these are the experts of smallest logit: the largest come first"
    rising = [e for i in range(5) for e in sorted(ranked[i][:k_check[i]])]
    turned = [e for i in range(5) for e in ranked[i][:k_check[i]][::-1]]
    assert answer_check.tolist() == wanted or answer_check.tolist() not in (rising, turned), (
        "the right experts, but sorted by their number or with the best at the end: the best of a token comes first")
    assert answer_check.tolist() == wanted, "these are not the experts of largest logit, token by token, best first"
ties = np.zeros((2, 6))
ties[1, fresh.integers(0, 3)] = 1.0
first = int(ties[1].argmax())
answer_check = np.asarray(choose_experts(ties.copy(), np.array([3, 3]))).tolist()
assert answer_check[:3] == [0, 1, 2] and answer_check[3:] == [first] + [e for e in range(6) if e != first][:2], (
    "equal logits: the lower expert number must come first. Reversing an upward sort turns ties round; "
    "sort the negative logits")
print("Right: the k best of every token, best first, ties to the lower number.")

# %% [markdown]
# The library sorts by logits and not by probabilities on purpose: a very negative logit has a probability that
# rounds to 0, and two such experts would look equal though they are not.
#
# ## 3.4 Gates, and how a router learns
#
# The answers of a token's experts are added with weights, the **gates** $g$:
#
# $$y_i = \sum_{e \text{ chosen by } i} g_{ie} \mathrm{FFN}_e(x_i).$$
#
# Three forms are in use. **raw**: $g = p$, as in the Switch Transformer. **renorm**: $p$ divided by the sum of
# the chosen $p$, so that the gates of a token sum to 1, as in Mixtral. **equal**: $1 / K_i$. For a token with
# probabilities .7, .1, .1, .1 and $K = 3$:

# %%
one_token = np.log(np.array([[0.7, 0.1, 0.1, 0.1]]))                         # softmax(log p) = p
gates_of = {form: route(Tensor(one_token), np.array([3]), gates=form).gates.numpy()
            for form in ("raw", "renorm", "equal")}
for form, g in gates_of.items():
    print(f"{form:7} gates {np.round(g, 3)}   sum {g.sum():.2f}")
assert np.allclose(gates_of["raw"], [0.7, 0.1, 0.1]) and np.isclose(gates_of["renorm"].sum(), 1)

# %% [markdown]
# The form decides whether the router can learn. **The choice itself has no gradient**: nudge a logit a little,
# and the same experts are chosen. So the loss reaches the router only through the gates. Look at $K = 1$:
#
# - raw: $g = p$. If the expert's answer helps, the loss wants a larger gate, so a larger $p$. The router learns.
# - renorm: $g = p / p = 1$, whatever the router says. A constant has no gradient. The router learns nothing.
# - equal: $g = 1 / K$, a constant for every $K$.
#
# We measure it: the size of the gradient of $W_r$ for a random upstream gradient. `GivenK` is a router that
# answers with the counts we give it; everything else it inherits.

# %%
class GivenK(Router):
    """The count of every token is written down, not computed."""

    def experts_per_token(self, probabilities, importance, mask):
        return self.k


def layer_with(k, gates, d=d, f=f, n_experts=E):
    """An expert layer in float64 whose router gives token i k[i] experts."""
    router = GivenK(d, n_experts, gates=gates, rng=1)
    router.k = np.asarray(k, np.int32)
    return MoELayer(d, f, n_experts, router, rng=2).to(BACKEND, np.float64)


x = Tensor(random.standard_normal((6, d)), backend=BACKEND)
gy = Tensor(random.standard_normal((6, d)), backend=BACKEND)
size = {}
print("size of the router's gradient")
for form in ("raw", "renorm", "equal"):
    for count in (1, 2, E):
        layer = layer_with(np.full(6, count), form)
        y, _ = layer(x)
        y.backward(gy)
        size[form, count] = float(np.linalg.norm(to_host(layer.router.weight.grad)))
    print(f"{form:7}", "   ".join(f"K = {count}: {size[form, count]:.5f}" for count in (1, 2, E)))
assert size["raw", 1] > 1e-6 and size["renorm", 1] < 1e-12 and size["renorm", 2] > 1e-6
assert all(size["equal", count] < 1e-12 for count in (1, 2, E))
assert abs(size["raw", E] - size["renorm", E]) < 1e-9                         # all chosen: p already sums to 1

# %% [markdown]
# Renorm needs a second expert to compare with, and equal never learns. With $K = E$ raw and renorm are one and
# the same: all $p$ are chosen, and they sum to 1 already.
#
# Now let a router learn. We take 24 tokens and 4 experts that never change. For each token one expert, drawn at
# random, answers +1, which is right; the others answer −1. The gradient may move the logits only. Each token uses
# one expert, and we count the tokens that have found the right one.

# %%
start = random.standard_normal((24, 4))
right_expert = random.integers(0, 4, 24)
answers = np.where(np.arange(4) == right_expert[:, None], 1.0, -1.0)         # (24, 4)


def learn(form, steps=60, rate=1.0):
    """Gradient descent on the logits. Returns the number of tokens at their right expert before every step."""
    z_now, found = start.copy(), []
    for _ in range(steps):
        z = Tensor(z_now, requires_grad=True, backend=BACKEND)
        routing = route(z, np.ones(24, np.int32), gates=form)
        chosen = to_host(routing.plan.expert)                                # (24,) as K = 1
        found.append(int((chosen == right_expert).sum()))
        y = routing.gates * Tensor(answers[np.arange(24), chosen], backend=BACKEND)
        ((y - 1.0) ** 2).sum().backward()
        z_now -= rate * to_host(z.grad)
    return found


found = {form: learn(form) for form in ("raw", "renorm", "equal")}
axes = axes_for(height=2.8)
axes.plot(found["raw"], color=BLUE, linewidth=2)
axes.plot(found["renorm"], color=RED, linewidth=2)
axes.plot(found["equal"], ":", color="black", linewidth=2)
axes.text(59, found["raw"][-1] - 0.7, "raw", color=BLUE, ha="right", va="top")
axes.text(59, found["equal"][-1] + 0.6, "renorm (red) and equal (dotted)", ha="right", va="bottom")
axes.set(xlabel="step", ylabel="tokens at their expert", ylim=(0, 25), yticks=range(0, 25, 6))
plt.show()
print({form: (counts[0], counts[-1]) for form, counts in found.items()}, "tokens before and after")
assert found["raw"][-1] == 24 and found["renorm"][-1] == found["renorm"][0] == found["equal"][-1]

# %% [markdown]
# With raw gates a wrong answer pushes the probability of its expert down until another one is on top, and a right
# answer pushes it up. With renorm and equal gates nothing moves.
#
# In a whole model the router also gets a gradient from auxiliary losses, which keep all experts in use (lesson
# 5); what renorm lacks at $K = 1$ is a gradient from the *task*. And raw gates have a price: at the start $p$ is
# near $1/E$, so the layer's answer is small.
#
# **How sure is this?** Raw gates are *confirmed* for the Switch Transformer. Which form DA-MoE uses is not known;
# raw is *assumed* here, because with all $K_i = 1$ DA-MoE should be a Switch Transformer, router and all.
#
# ## 3.5 The routing plan
#
# Which rows does each expert treat? The naive way lets each expert treat all tokens and throws most answers away.
# The fast way **sorts the rows by expert**, so that each expert finds its rows side by side and treats them with
# one matrix product. What leads there and back is the **routing plan**.
#
# We follow one small case through the rest of the lesson: 3 words and a padding token, 4 experts, and
# probabilities and counts that we choose. (Logits of $\log p$ have exactly the probabilities $p$.)

# %%
words = ["the", "plot", "thickens", "[PAD]"]
p_small = np.array([[0.1, 0.4, 0.4, 0.1], [0.7, 0.1, 0.1, 0.1], [0.2, 0.3, 0.1, 0.4], [0.25, 0.25, 0.25, 0.25]])
k_small = np.array([2, 3, 3, 0], np.int32)
real = np.array([True, True, True, False])                                    # the mask: True = a real token
small = route(Tensor(np.log(p_small), backend=BACKEND), k_small, mask=real)
plan = small.plan
print("assignments:", plan.expert.size, "  gates", small.gates.shape)
routing_plan(small, words)

# %% [markdown]
# On the left, who goes where: a thicker line is a larger gate. "the" has a tie between experts 1 and 2 and takes
# both; "plot" has a tie of three and takes the two lower numbers; the padding goes nowhere. On the right, the
# rows as the experts receive them.
#
# The plan is a handful of integer arrays. First the side of the **tokens**:

# %%
print("row_ptr", plan.row_ptr, "  token i owns the assignments row_ptr[i] to row_ptr[i+1] - 1")
print("expert ", plan.expert, "  the expert of each assignment\n")
for i, word in enumerate(words):
    low, high = int(plan.row_ptr[i]), int(plan.row_ptr[i + 1])
    print(f"{word:9} K = {high - low}  assignments {list(range(low, high))}  experts {plan.expert[low:high].tolist()}")

# %% [markdown]
# `row_ptr` is a running sum of the $K_i$ with a 0 in front. It has $N + 1$ entries, so that the last token too
# has an end. The padding owns the piece from 8 to 8: nothing. (The library also keeps `token`, the token of each
# assignment, which follows from `row_ptr`.)
#
# Then the side of the **experts**, after sorting:

# %%
print("counts ", plan.counts, "         rows of each expert")
print("offsets", plan.offsets, "       expert e owns the sorted rows offsets[e] to offsets[e+1] - 1")
print("perm   ", plan.perm, " sorted row -> assignment")
print("inv    ", plan.inv, " assignment -> sorted row\n")
source = to_host(plan.token)[to_host(plan.perm)]
for e in range(4):
    low, high = int(plan.offsets[e]), int(plan.offsets[e + 1])
    print(f"expert {e}: rows {list(range(low, high))}, from the assignments {plan.perm[low:high].tolist()},",
          "from the tokens", [words[i] for i in source[low:high]])

# %% [markdown]
# `perm` and `inv` are the two directions of the same road. The picture shows it: above, the assignments in token
# order; below, in expert order. Read a line downwards and you have `inv`, upwards `perm`. Lines of one expert
# (one colour) never cross: tokens keep their order. Such a sort is called **stable**. (Some mixtures limit the
# rows of an expert and drop what is too much; a dropped assignment has −1 in `inv`. We drop nothing.)

# %%
def draw_sorting(plan, words, colours):
    """Only drawing: assignments in token order above, in expert order below, and the lines that join them."""
    token, expert, inv = (to_host(a) for a in (plan.token, plan.expert, plan.inv))
    figure = plt.figure(figsize=(7.4, 3.3))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-1.9, len(expert) + 0.2), ylim=(-0.95, 3.9))
    axes.axis("off")
    for a, (t, e, s) in enumerate(zip(token, expert, inv, strict=True)):
        for place, height, number in ((a, 2.4, a), (s, 0.3, s)):
            axes.add_patch(plt.Rectangle((place + 0.06, height), 0.88, 0.6, facecolor="white", edgecolor=colours[e],
                                         linewidth=2))
            axes.text(place + 0.5, height + 0.3, f"{words[t]}\nexpert {e}", ha="center", va="center", size=8)
            axes.text(place + 0.5, height + (0.72 if height > 1 else -0.12), number, ha="center", size=9, color=GREY,
                      va="bottom" if height > 1 else "top")
        axes.plot([a + 0.5, s + 0.5], [2.4, 0.9], color=colours[e], linewidth=2)
    for cuts, height, name in ((plan.row_ptr, (2.3, 3.3), "row_ptr"), (plan.offsets, (-0.3, 1.0), "offsets")):
        for cut in sorted(set(cuts.tolist())):
            axes.plot([cut, cut], height, color="black", linewidth=1.2)
            axes.text(cut, height[1] + 0.05 if name == "row_ptr" else height[0] - 0.05, cut, ha="center", weight="bold",
                      va="bottom" if name == "row_ptr" else "top")
        axes.text(-0.35, height[1] + 0.05 if name == "row_ptr" else height[0] - 0.05, name, ha="right", weight="bold",
                  va="bottom" if name == "row_ptr" else "top")
    axes.text(-0.35, 2.7, "assignment", ha="right", va="center")
    axes.text(-0.35, 0.6, "sorted row", ha="right", va="center")
    plt.show()


draw_sorting(plan, words, (BLUE, RED, GREEN, "#CC79A7"))
perm, inv, offsets = (to_host(a) for a in (plan.perm, plan.inv, plan.offsets))
assert (inv[perm] == np.arange(8)).all() and (perm[inv] == np.arange(8)).all()      # there and back again
assert (np.diff(to_host(plan.expert)[perm]) >= 0).all()                             # sorted by expert
assert (np.diff(offsets) == to_host(plan.counts)).all() and offsets[-1] == k_small.sum()

# %% [markdown]
# ### Exercise 3.2: build the plan
#
# Given the expert of each assignment, an array of $A$ integers, and the number of experts, return `perm`, `inv`
# and `offsets`. Among assignments of one expert the lower assignment comes first. An expert may have no row at
# all, the last one too, and `offsets` still has $E + 1$ entries.

# %% [exercise] sort_by_expert
def sort_by_expert(expert, n_experts):
    """The plan's other half. expert: integers (A,). Returns perm (A,), inv (A,), offsets (n_experts + 1,)."""
    ### BEGIN SOLUTION
    perm = np.argsort(expert, kind="stable")
    inv = np.empty_like(perm)
    inv[perm] = np.arange(perm.size)
    counts = np.bincount(expert, minlength=n_experts)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return perm, inv, offsets
    ### END SOLUTION

# %% [check] sort_by_expert points=3
fresh = np.random.default_rng()
for _ in range(3):
    expert_check = np.concatenate([fresh.permutation([0, 1, 3, 5]), fresh.choice([0, 1, 3, 5], 196)])    # 2, 4, 6: none
    answer_check = sort_by_expert(expert_check.copy(), 7)
    assert isinstance(answer_check, tuple) and len(answer_check) == 3, "return three arrays: return perm, inv, offsets"
    perm_check, inv_check, offsets_check = (np.asarray(a) for a in answer_check)
    assert perm_check.shape == inv_check.shape == (200,), (
        f"perm is {perm_check.shape} and inv {inv_check.shape}; both have one entry per assignment, (200,)")
    assert sorted(perm_check.tolist()) == list(range(200)), (
        "perm must hold every assignment exactly once: it is an order of the assignments, not of the experts")
    assert (np.diff(expert_check[perm_check]) >= 0).all(), (
        "expert[perm] must rise: perm[s] is the assignment that stands in sorted row s")
    same_expert = np.diff(expert_check[perm_check]) == 0
    assert (np.diff(perm_check)[same_expert] > 0).all(), (
        "the rows of one expert are out of order: the lower assignment comes first, so sort with kind='stable'")
    assert not np.array_equal(inv_check, perm_check), "inv is the other direction: inv[perm[s]] = s"
    assert (inv_check[perm_check] == np.arange(200)).all(), "inv must lead back: inv[perm[s]] = s for every row s"
    assert offsets_check.shape == (8,), (
        f"offsets has {offsets_check.size} entries; 7 experts need 8: a leading 0, and one end for every expert, "
        "also for those without rows (np.bincount has a minlength)")
    counts_check = [int((expert_check == e).sum()) for e in range(7)]
    assert offsets_check.tolist() != counts_check + [200] and offsets_check.tolist() != [0, *counts_check], (
        "these are counts; offsets are their running sum, with a 0 in front")
    assert offsets_check.tolist() == [sum(counts_check[:e]) for e in range(8)], (
        "offsets[e] must be the number of rows of all experts before e, and offsets[-1] the number of all rows")
print("Right: a stable sort, its way back, and where every expert begins.")

# %% [markdown]
# A plan of a real sentence, read by the sentiment model that comes with the library. The picture shows the expert
# layer with the fewest assignments. `[CLS]` and `[SEP]` are marks that the model puts around a text. Look at the
# gates: near $1/E$ means that the router hardly prefers one expert to another.

# %%
from minimoe.study.reading import read_sentence
from minimoe.training import load_checkpoint

shipped = load_checkpoint(Path(minimoe.__file__).parent / "assets" / "sentiment")
reading = read_sentence(shipped.model(), shipped.tokenizer, "the film was not good .")
quiet = min(reading.routings, key=lambda one: one.plan.expert.size)
print("experts per token, layer by layer:", [k.tolist() for k in reading.k])
print("experts without a row here:", np.flatnonzero(quiet.plan.counts == 0).tolist())
g = quiet.gates.numpy()
print(f"gates from {g.min():.3f} to {g.max():.3f}; 1/E = {1 / quiet.plan.n_experts:.3f}")
assert quiet.plan.counts.sum() == sum(quiet.k) == quiet.plan.offsets[-1]
routing_plan(quiet, reading.tokens)

# %% [markdown]
# ## 3.6 Scatter, compute, gather
#
# With the plan, the whole expert layer is four lines. Here they are, read from the library. (`weigh` is a
# research switch and returns its input unchanged; "kept" is $A$ as long as nothing is dropped.)

# %%
source = inspect.getsource(MoELayer.forward)
print(source[source.index("        routing"):])

# %% [markdown]
# **Scatter.** `dispatch` copies each token once for each of its assignments, in sorted order: row $s$ is
# $x_{t(a)}$ with $a =$ `perm[s]`. A token with $K = 3$ stands in three rows.
#
# **Compute.** Expert $e$ treats the rows `offsets[e]:offsets[e+1]`, one matrix product for all of them.
#
# **Gather.** `combine` fetches, for each token, the answers of its assignments through `inv` and adds them up
# with the gates.
#
# On the small case, with tokens of width 1 that carry their own number, and experts so simple that we can follow
# by eye: expert $e$ answers every token with $e + 1$.

# %%
x_small = Tensor(np.arange(4.0)[:, None], backend=BACKEND)                   # (4, 1)
rows = ops.dispatch(x_small, plan)                                           # (8, 1)
print("scatter: tokens", x_small.shape, "-> rows", rows.shape, rows.numpy().ravel().astype(int))
u = Tensor((to_host(plan.expert)[perm] + 1.0)[:, None], backend=BACKEND)     # (8, 1), in sorted order
print("compute: answers", u.shape, u.numpy().ravel().astype(int))
y = ops.combine(u, small.gates, plan)                                        # (4, 1)
print("gather:  gates", small.gates.numpy().round(2), "-> y", y.shape, y.numpy().ravel().round(3))
assert rows.numpy().ravel().tolist() == [1, 2, 0, 1, 2, 0, 1, 2]
assert np.allclose(y.numpy().ravel(), [2.0, 1.2, 2.4, 0.0])                  # the padding gets exactly 0

# %% [markdown]
# By hand for "the": experts 1 and 2, gates .4 and .4, answers 2 and 3, so $0.4 \cdot 2 + 0.4 \cdot 3 = 2$.
#
# ### Exercise 3.3: the gather
#
# Write it with loops or without. Given the answers `u` in sorted order, shape $(A, d)$; the gates in assignment
# order, $(A)$; and the plan's `inv` and `row_ptr`, return `y` of shape $(N, d)$. Row $i$ of `y` is the sum over
# token $i$'s assignments of the gate times the answer. `row_ptr` says which assignments those are, and `inv` in
# which row of `u` the answer stands. A token without assignments gets zeros.

# %% [exercise] gather
def gather(u, gates, inv, row_ptr):
    """The weighted sum of every token's answers. u: (A, d) sorted by expert; gates, inv: (A,); row_ptr: (N + 1,)."""
    ### BEGIN SOLUTION
    y = np.zeros((len(row_ptr) - 1, u.shape[1]))
    for i in range(len(y)):
        for a in range(row_ptr[i], row_ptr[i + 1]):
            y[i] += gates[a] * u[inv[a]]
    return y
    ### END SOLUTION

# %% [check] gather points=2
fresh = np.random.default_rng()
for _ in range(3):
    row_ptr_check = np.array([0, 2, 5, 5, 8, 9])
    token_check = np.array([0, 0, 1, 1, 1, 3, 3, 3, 4])
    inv_check = np.roll(np.arange(9), fresh.integers(1, 9))                   # nothing stays in its place
    gates_check = fresh.permutation(np.arange(1, 10)) / 10
    u_check = fresh.uniform(1, 2, (9, 4))
    y_check = gather(u_check.copy(), gates_check.copy(), inv_check.copy(), row_ptr_check.copy())
    assert y_check is not None, "gather gives nothing back: end it with return"
    assert np.shape(y_check) == (5, 4), f"y has shape {np.shape(y_check)}; row_ptr speaks of 5 tokens: (5, 4)"
    one_hot = (token_check == np.arange(5)[:, None]).astype(float)            # (5, 9): which assignments are whose
    assert not np.allclose(y_check, one_hot @ u_check[inv_check]), (
        "the gates are missing: multiply each answer by its own")
    assert not np.allclose(y_check, (one_hot * gates_check) @ u_check), (
        "u stands in sorted order: the answer to assignment a is u[inv[a]], not u[a]")
    assert not np.allclose(y_check, (one_hot * gates_check[inv_check]) @ u_check[inv_check]), (
        "the gates already stand in assignment order: use gates[a] as it is, only u is read through inv")
    last_only = np.zeros((5, 4))
    last_only[token_check] = gates_check[:, None] * u_check[inv_check]
    assert not np.allclose(y_check, last_only), (
        "only one answer of each token arrived: y[token] += ... with a repeated index keeps one of them; "
        "add them one after the other, or use np.add.at")
    share = one_hot / np.maximum(one_hot.sum(axis=1, keepdims=True), 1)
    assert not np.allclose(y_check, (share * gates_check) @ u_check[inv_check]), (
        "this is the mean over the token's experts; the gates are the weights already, so add up")
    assert not np.any(np.asarray(y_check)[2]), "token 2 has no expert and must get exactly 0"
    assert np.allclose(y_check, (one_hot * gates_check) @ u_check[inv_check]), "y is not the sum of gate times answer"
print("Right: each token fetches its answers through inv and adds them with its gates.")

# %% [markdown]
# ### The same as a dense loop
#
# Sorting, scattering and gathering is bookkeeping, and bookkeeping goes wrong silently. So we compare with
# something too simple to be wrong: **each expert treats each token**, and the answer is weighted with the gate
# where the token chose the expert, and with 0 elsewhere. One loop over experts, no plan.

# %%
def dense_loop(layer, x, routing):
    """y without scatter and gather, in NumPy. x: array (N, d)."""
    w1, b1, w2, b2 = (to_host(getattr(layer.experts, name).data) for name in ("w1", "b1", "w2", "b2"))
    gate = np.zeros((len(x), len(w1)))                                        # (N, E), 0 where not chosen
    gate[to_host(routing.plan.token), to_host(routing.plan.expert)] = routing.gates.numpy()
    y = np.zeros_like(x)
    for e in range(len(w1)):
        hidden = ops.gelu(Tensor(x @ w1[e] + b1[e])).numpy()                 # (N, f)
        y += gate[:, e, None] * (hidden @ w2[e] + b2[e])
    return y


x = random.standard_normal((20, d))
k = random.integers(0, E + 1, 20)                                            # from no expert to all of them
layer = layer_with(k, "raw")
y, routing = layer(Tensor(x, backend=BACKEND))
print("K", k, "  A =", k.sum())
print("x", x.shape, " rows", (routing.plan.perm.size, d), " y", y.shape, " rows of the dense loop", (20 * E, d))
print(f"largest difference to the dense loop: {error_of(y.numpy(), dense_loop(layer, x, routing)):.0e}")
assert error_of(y.numpy(), dense_loop(layer, x, routing)) < 1e-12

# %% [markdown]
# A second check, with a thought behind it: if all experts are copies of one block and the gates of a token sum to
# 1, it cannot matter who goes where. The layer must be that block again.

# %%
copies = layer_with(np.maximum(k, 1), "renorm")
block = nn.FeedForward(d, f, rng=5).to(BACKEND, np.float64)
for e in range(E):
    for name, part in (("w1", block.linear1.weight), ("w2", block.linear2.weight)):
        getattr(copies.experts, name).data[e] = part.data.T                  # (out, in) to (in, out); biases are 0
x_both = Tensor(x, backend=BACKEND)
print(f"eight copies against one block: {error_of(copies(x_both)[0].numpy(), block(x_both).numpy()):.0e}")
assert error_of(copies(x_both)[0].numpy(), block(x_both).numpy()) < 1e-12

# %% [markdown]
# ### An expert with no token
#
# Three tokens with one expert each can reach at most three of eight experts. The others own an empty piece, from
# `offsets[e]` to the same number. What happens to them?

# %%
layer = layer_with([1, 1, 1], "raw")
y, routing = layer(Tensor(random.standard_normal((3, d)), backend=BACKEND))
y.backward(Tensor(random.standard_normal((3, d)), backend=BACKEND))
counts = to_host(routing.plan.counts)
print("counts ", counts, "\noffsets", routing.plan.offsets)
of_experts = np.abs(to_host(layer.experts.w1.grad)).max(axis=(1, 2))         # (E,)
of_router = np.abs(to_host(layer.router.weight.grad)).max(axis=1)            # (E,)
for e in range(E):
    print(f"expert {e}: {counts[e]} rows, largest gradient of w1 {of_experts[e]:.4f}, router {of_router[e]:.5f}")
assert (of_experts[counts == 0] == 0).all() and (of_experts[counts > 0] > 0).all()
assert (of_router > 0).all()

# %% [markdown]
# No work is done for an empty expert, and its gradient is exactly 0: it does not learn in this step. But **its
# row of the router does get a gradient**. The probabilities of a token sum to 1, so when the chosen one moves,
# all logits move. An empty expert can be chosen in the next step.
#
# ## 3.7 The way back
#
# The backward of the layer walks the same road in the other direction. Scatter copied tokens; what is copied
# forward is summed backward (lesson 1). So the backward of `dispatch` is a gather with gates of 1, and the
# library writes it so. (`kernels.of(x)` holds the two steps in NumPy, or in CUDA for arrays on a GPU.)

# %%
print(inspect.getsource(ops.dispatch))

# %% [markdown]
# The interesting part is the gather, $y_i = \sum_a g_a u_a$, because here the router gets its signal. An
# assignment enters the sum as a number times a vector, and both want a gradient.
#
# ### Exercise 3.4: the backward of the gather
#
# To keep to the idea, everything stands in assignment order here: `u` is $(A, d)$, `gates` is $(A)$, and `token`,
# $(A)$, names each assignment's token. Given `gy` of shape $(N, d)$, return the gradient of `u` and the gradient
# of the gates, each in the shape of its array.
#
# A hint: write $y_i$ for one token with one expert and $d = 2$, and ask how much $y_i$ moves if you nudge $g$.
# Then use the chain rule.

# %% [exercise] gather_backward
def gather_backward(gy, u, gates, token):
    """The gradients (gu, g_gates) where y[i] = sum of gates[a] * u[a] over the assignments a of token i."""
    ### BEGIN SOLUTION
    arrived = gy[token]                                                      # (A, d)
    return gates[:, None] * arrived, (arrived * u).sum(axis=1)
    ### END SOLUTION

# %% [check] gather_backward points=2
fresh = np.random.default_rng()
token_check = np.array([0, 0, 2, 2, 2, 3])                                    # token 1 has no expert
gates_check, u_check, gy_check = fresh.uniform(0.2, 0.8, 6), fresh.uniform(1, 2, (6, 3)), fresh.uniform(1, 2, (4, 3))
before = (gy_check.copy(), u_check.copy(), gates_check.copy())
answer_check = gather_backward(gy_check, u_check, gates_check, token_check)
assert isinstance(answer_check, tuple) and len(answer_check) == 2, "return two gradients: return gu, g_gates"
assert all(np.array_equal(a, b) for a, b in zip(before, (gy_check, u_check, gates_check), strict=True)), (
    "one of the inputs was changed: make new arrays instead of writing into those you were given")
gu_check, g_gates_check = answer_check
assert np.shape(gu_check) == (6, 3), f"gu has shape {np.shape(gu_check)}; it must have the shape of u, (6, 3)"
arrived_check = before[0][token_check]
assert not np.allclose(gu_check, arrived_check), "gu lacks the gate: u enters the sum times its gate"
assert np.allclose(gu_check, gates_check[:, None] * arrived_check), (
    "gu is wrong: row a is the gate of a times the upstream gradient of a's token, gy[token[a]]")
assert np.shape(g_gates_check) != (6, 3), (
    "g_gates still has one number per feature: a gate is one number that moves all d features, so sum over them")
assert np.shape(g_gates_check) == (6,), f"g_gates has shape {np.shape(g_gates_check)}; it must be that of gates, (6,)"
assert not np.allclose(g_gates_check, arrived_check.sum(axis=1)), (
    "g_gates lacks the answer: how much y moves with a gate is u, so multiply by u before summing")
assert not np.allclose(g_gates_check, (arrived_check * u_check).mean(axis=1)), (
    "g_gates is a mean; the parts of a gradient add up: use the sum")
truth_check = [sum(before[0][t, j] * u_check[a, j] for j in range(3)) for a, t in enumerate(token_check)]
assert not np.allclose(g_gates_check, gates_check * truth_check), (
    "g_gates is multiplied by the gate once too often: use u itself, not gate times u")
assert np.allclose(g_gates_check, truth_check), "g_gates[a] is not the dot product of gy[token[a]] with u[a]"
print("Right: the gate's gradient asks whether the expert's answer points along the upstream gradient.")

# %% [markdown]
# So the router's signal is one number per assignment. It says whether this expert's answer points in the
# direction in which the loss grows (then the gate should shrink) or against it (then it should grow). From the
# gates the signal goes to $p$, and through the softmax to all logits.
#
# The library's operations pass the check of lesson 1: finite differences in float64, with a random upstream
# gradient. We check each alone, and the whole layer with an empty expert inside.

# %%
on_host = route(Tensor(np.log(p_small)), k_small, mask=real).plan             # gradcheck works on NumPy arrays
checked = {
    "dispatch": minimoe.gradcheck(lambda x: ops.dispatch(x, on_host), [random.standard_normal((4, 3))]),
    "combine": minimoe.gradcheck(lambda u, g: ops.combine(u, g, on_host),
                                 [random.standard_normal((8, 3)), random.standard_normal(8)]),
    "grouped_linear": minimoe.gradcheck(
        lambda x, w, b: ops.grouped_linear(x, w, b, np.array([0, 2, 2, 5])),                       # expert 1 has no row
        [random.standard_normal(shape) for shape in ((5, 3), (3, 3, 2), (3, 2))]),
    "whole layer": minimoe.gradcheck(lambda x: layer_with([1, 2, 0], "raw", d=3, f=4).to(x.backend)(x)[0],
                                     [random.standard_normal((3, 3))]),
}
for name, worst in checked.items():
    print(f"{name:15} largest relative error {worst:.0e}")
assert max(checked.values()) < 1e-5

# %% [markdown]
# ## 3.8 What it costs, measured
#
# The claim was: the cost follows $A = \sum_i K_i$. We time routing, scatter, compute and gather for 512 tokens,
# and let $K$ go from 1 to 8. Each time is the median of several runs, taken in turns, so that a hiccup of the
# machine does not hit one point only. Where possible we measure the time that the processor worked for us, which
# other programs do not stretch, and the matrix library may use one core (`blas_threads`). Crosses are calls in
# which tokens differ: half of them get 1 expert, the others 3, 5 or 7.

# %%
d_time, f_time, N = 128, 256, 512
experts = Experts(d_time, f_time, E, rng=0).to(BACKEND)
x_time = Tensor(random.standard_normal((N, d_time)).astype(np.float32), backend=BACKEND)
z_time = Tensor(random.standard_normal((N, E)).astype(np.float32), backend=BACKEND)
same = [np.full(N, count, np.int32) for count in range(1, E + 1)]
mixed = [np.where(np.arange(N) % 2 == 0, 1, count).astype(np.int32) for count in (3, 5, 7)]
by_the_wall = BACKEND == "cupy" or sys.platform == "win32"
clock = time.perf_counter if by_the_wall else time.process_time


def seconds(k):
    """One call: route, scatter, compute, gather."""
    begin = clock()
    with no_grad():
        routing = route(z_time, k)
        u = experts(ops.dispatch(x_time, routing.plan), routing.plan.offsets)
        ops.combine(u, routing.gates, routing.plan).numpy()                  # .numpy() waits for a GPU
    return clock() - begin


with blas_threads(1):
    rounds = [[seconds(k) for k in same + mixed] for _ in range(16)][1:]      # the first round only warms up
milliseconds, fastest = 1000 * np.median(rounds, axis=0), 1000 * np.min(rounds, axis=0)
assignments = np.array([k.sum() for k in same + mixed])
slope, fixed = np.polyfit(assignments, milliseconds, 1)

axes = axes_for(height=3.4)
axes.plot([0, E * N], [fixed, fixed + slope * E * N], "--", color=GREY, linewidth=1.2, label="fitted line")
axes.plot(assignments[:E], milliseconds[:E], "o", color=BLUE, label="K the same for all tokens")
axes.plot(assignments[E:], milliseconds[E:], "X", color=RED, markersize=9, label="K differs from token to token")
axes.annotate("every expert for every token", (E * N, milliseconds[7]), (0.975, 0.2), textcoords="axes fraction",
              ha="right", arrowprops={"arrowstyle": "-", "color": GREY, "relpos": (0.97, 1.0), "shrinkB": 5})
axes.set(xlabel="assignments A = sum of K", ylabel="median time (ms)", xlim=(0, E * N * 1.04), ylim=(0, None))
axes.legend(frameon=False, loc="upper left")
plt.show()
flops = 4 * d_time * f_time * assignments
print(f"the line, measured here: {1000 * slope:.1f} microseconds per assignment, {fixed:+.1f} ms where A = 0")
print(f"K = 8 against K = 1: {flops[7] / flops[0]:.1f} times the FLOPs,",
      f"{fastest[7] / fastest[0]:.1f} times the time (fastest runs)")
print(f"speed at K = 8, routing included: {flops[7] / fastest[7] / 1e6:.1f} GFLOP per second")
assert (flops == 4 * d_time * f_time * N * np.array([*range(1, 9), 2, 3, 4])).all()     # exact, on every machine
assert fastest[7] > 2 * fastest[0] or BACKEND == "cupy"                    # a wide margin for busy machines

# %% [markdown]
# The times lie near a line, and where $K$ differs between tokens only the sum counts. The point at the far right
# is what the dense loop has to pay, whatever the $K_i$ are. Times differ on another machine; the FLOPs do not.
# The ratio of the times is usually below that of the FLOPs, because a part of the work (routing, starting a
# product for each expert) is the same for any $K$. On a GPU that part weighs more, and 512 tokens may be too few
# to see the line.
#
# This is also the warning about DA-MoE. If attention raises the $K_i$, the model becomes more expensive. A better
# score must be compared with a model that *also* spends that $\sum K$.
#
# ## What to take away
#
# - An expert is a feed-forward block. $E$ of them cost $E$ times the parameters, but a token pays for its $K_i$
#   only.
# - Router: logits, softmax, the $K_i$ largest, ties to the lower number. The choice has no gradient; the gates
#   do. With one expert per token only raw gates let the task teach the router.
# - Plan: `row_ptr` and `expert` on the side of tokens, `offsets` and `counts` on the side of experts, `perm` and
#   `inv` between them. Then scatter, compute on pieces, gather.
# - The gradient of a gate is the dot product of the upstream gradient and the expert's answer.
#
# **Read on.** In the library `minimoe/moe/plan.py` (the plan), `minimoe/ops/dispatch.py` (scatter and gather),
# `minimoe/ops/grouped.py` (compute on pieces), `minimoe/moe/layer.py` (the layer). `tutorials/one_file.py` does
# it all without an engine.
#
# **Sources.** N. Shazeer and others, *Outrageously large neural networks* ([arXiv
# 1701.06538](https://arxiv.org/abs/1701.06538)), equation 1, the weighted sum of experts. W. Fedus, B. Zoph and
# N. Shazeer, *Switch Transformers* ([arXiv 2101.03961](https://arxiv.org/abs/2101.03961)), equations 1 and 2, the
# router and the raw gates; section 2.1 recalls the belief that a router needs $K > 1$ to learn, and goes on with
# $K = 1$. A. Q. Jiang and others, *Mixtral of experts* ([arXiv 2401.04088](https://arxiv.org/abs/2401.04088)),
# section 2.1, renormalised gates. T. Gale and others, *MegaBlocks* ([arXiv
# 2211.15841](https://arxiv.org/abs/2211.15841)), sorting rows by expert without dropping any.
#
# **Next.** Lesson 4, `04_dynamic_allocation.ipynb`: how attention decides the counts $K_i$ that we wrote down by
# hand today.
