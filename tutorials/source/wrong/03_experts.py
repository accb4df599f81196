# %% choose_experts: sorts upwards
# says: these are the experts of smallest logit
def choose_experts(z, k):
    order = np.argsort(z, axis=1, kind="stable")
    return order[np.arange(z.shape[1]) < k[:, None]]

# %% choose_experts: sorts upwards and reverses, which reverses ties
# says: the lower expert number must come first
def choose_experts(z, k):
    order = np.argsort(z, axis=1, kind="stable")[:, ::-1]
    return order[np.arange(z.shape[1]) < k[:, None]]

# %% choose_experts: the chosen ones in the order of their numbers
# says: sorted by their number
def choose_experts(z, k):
    order = np.argsort(-z, axis=1, kind="stable")
    return np.concatenate([np.sort(order[i, :n]) for i, n in enumerate(k)])

# %% choose_experts: the last ones of an upward sort
# says: with the best at the end
def choose_experts(z, k):
    order = np.argsort(z, axis=1, kind="stable")
    return np.concatenate([order[i, z.shape[1] - n:] for i, n in enumerate(k)])

# %% choose_experts: the same count for all
# says: token i gets k[i] experts
def choose_experts(z, k):
    return np.argsort(-z, axis=1, kind="stable")[:, :k.max()].ravel()

# %% choose_experts: a list for each token
# says: all assignments stand in one row
def choose_experts(z, k):
    order = np.argsort(-z, axis=1, kind="stable")
    return [order[i, :n] for i, n in enumerate(k)]

# %% choose_experts: the mask is transposed in the mind, choice after choice instead of token after token
# says: these are not the experts of largest logit, token by token
def choose_experts(z, k):
    order = np.argsort(-z, axis=1, kind="stable")
    return order.T[(np.arange(z.shape[1]) < k[:, None]).T]

# %% choose_experts: no return
# says: end it with return
def choose_experts(z, k):
    order = np.argsort(-z, axis=1, kind="stable")
    chosen = order[np.arange(z.shape[1]) < k[:, None]]

# %% sort_by_expert: the two directions are mixed up
# says: perm[s] is the assignment that stands in sorted row s
def sort_by_expert(expert, n_experts):
    inv = np.argsort(expert, kind="stable")
    perm = np.empty_like(inv)
    perm[inv] = np.arange(inv.size)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(expert, minlength=n_experts))])
    return perm, inv, offsets

# %% sort_by_expert: equal experts in reverse order
# says: the rows of one expert are out of order
def sort_by_expert(expert, n_experts):
    perm = np.lexsort((-np.arange(expert.size), expert))
    inv = np.argsort(perm)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(expert, minlength=n_experts))])
    return perm, inv, offsets

# %% sort_by_expert: sorts the experts themselves
# says: an order of the assignments, not of the experts
def sort_by_expert(expert, n_experts):
    perm = np.sort(expert)
    inv = np.argsort(expert, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(expert, minlength=n_experts))])
    return perm, inv, offsets

# %% sort_by_expert: inv is perm once more
# says: inv is the other direction
def sort_by_expert(expert, n_experts):
    perm = np.argsort(expert, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(expert, minlength=n_experts))])
    return perm, perm, offsets

# %% sort_by_expert: inv runs backwards
# says: inv must lead back
def sort_by_expert(expert, n_experts):
    perm = np.argsort(expert, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(expert, minlength=n_experts))])
    return perm, perm[::-1], offsets

# %% sort_by_expert: the last expert has no row and is forgotten
# says: np.bincount has a minlength
def sort_by_expert(expert, n_experts):
    perm = np.argsort(expert, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(expert))])
    return perm, np.argsort(perm), offsets

# %% sort_by_expert: no leading zero
# says: 7 experts need 8: a leading 0
def sort_by_expert(expert, n_experts):
    perm = np.argsort(expert, kind="stable")
    return perm, np.argsort(perm), np.cumsum(np.bincount(expert, minlength=n_experts))

# %% sort_by_expert: counts in place of offsets
# says: these are counts
def sort_by_expert(expert, n_experts):
    perm = np.argsort(expert, kind="stable")
    return perm, np.argsort(perm), np.concatenate([[0], np.bincount(expert, minlength=n_experts)])

# %% sort_by_expert: offsets end one row too early
# says: offsets[e] must be the number of rows of all experts before e
def sort_by_expert(expert, n_experts):
    perm = np.argsort(expert, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(expert, minlength=n_experts)) - 1])
    return perm, np.argsort(perm), offsets

# %% sort_by_expert: two arrays only
# says: return three arrays
def sort_by_expert(expert, n_experts):
    perm = np.argsort(expert, kind="stable")
    return perm, np.argsort(perm)

# %% gather: no gates
# says: the gates are missing
def gather(u, gates, inv, row_ptr):
    y = np.zeros((len(row_ptr) - 1, u.shape[1]))
    for i in range(len(y)):
        for a in range(row_ptr[i], row_ptr[i + 1]):
            y[i] += u[inv[a]]
    return y

# %% gather: forgets that u is sorted
# says: the answer to assignment a is u[inv[a]]
def gather(u, gates, inv, row_ptr):
    return np.array([gates[lo:hi] @ u[lo:hi] for lo, hi in zip(row_ptr[:-1], row_ptr[1:])])

# %% gather: the gates are sorted too
# says: only u is read through inv
def gather(u, gates, inv, row_ptr):
    y = np.zeros((len(row_ptr) - 1, u.shape[1]))
    for i in range(len(y)):
        for a in range(row_ptr[i], row_ptr[i + 1]):
            y[i] += gates[inv[a]] * u[inv[a]]
    return y

# %% gather: += with an index that occurs several times
# says: with a repeated index keeps one of them
def gather(u, gates, inv, row_ptr):
    token = np.repeat(np.arange(len(row_ptr) - 1), np.diff(row_ptr))
    y = np.zeros((len(row_ptr) - 1, u.shape[1]))
    y[token] += gates[:, None] * u[inv]
    return y

# %% gather: the mean
# says: this is the mean over the token's experts
def gather(u, gates, inv, row_ptr):
    y = np.zeros((len(row_ptr) - 1, u.shape[1]))
    for i in range(len(y)):
        for a in range(row_ptr[i], row_ptr[i + 1]):
            y[i] += gates[a] * u[inv[a]] / (row_ptr[i + 1] - row_ptr[i])
    return y

# %% gather: reduceat gives a token without experts the next one's row
# says: token 2 has no expert and must get exactly 0
def gather(u, gates, inv, row_ptr):
    return np.add.reduceat(gates[:, None] * u[inv], row_ptr[:-1], axis=0)

# %% gather: one row too many
# says: row_ptr speaks of 5 tokens
def gather(u, gates, inv, row_ptr):
    y = np.zeros((len(row_ptr), u.shape[1]))
    for i in range(len(y) - 1):
        for a in range(row_ptr[i], row_ptr[i + 1]):
            y[i] += gates[a] * u[inv[a]]
    return y

# %% gather: the last assignment of every token is lost
# says: y is not the sum of gate times answer
def gather(u, gates, inv, row_ptr):
    y = np.zeros((len(row_ptr) - 1, u.shape[1]))
    for i in range(len(y)):
        for a in range(row_ptr[i], row_ptr[i + 1] - 1):
            y[i] += gates[a] * u[inv[a]]
    return y

# %% gather_backward: no gate in gu
# says: gu lacks the gate
def gather_backward(gy, u, gates, token):
    return gy[token], (gy[token] * u).sum(axis=1)

# %% gather_backward: one number per feature
# says: sum over them
def gather_backward(gy, u, gates, token):
    return gates[:, None] * gy[token], gy[token] * u

# %% gather_backward: the answer is forgotten
# says: g_gates lacks the answer
def gather_backward(gy, u, gates, token):
    return gates[:, None] * gy[token], gy[token].sum(axis=1)

# %% gather_backward: the mean over the features
# says: g_gates is a mean
def gather_backward(gy, u, gates, token):
    return gates[:, None] * gy[token], (gy[token] * u).mean(axis=1)

# %% gather_backward: the gate once too often
# says: multiplied by the gate once too often
def gather_backward(gy, u, gates, token):
    arrived = gates[:, None] * gy[token]
    return arrived, (arrived * u).sum(axis=1)

# %% gather_backward: gu is gate times u
# says: the upstream gradient of a's token
def gather_backward(gy, u, gates, token):
    return gates[:, None] * u, (gy[token] * u).sum(axis=1)

# %% gather_backward: sums over assignments
# says: it must be that of gates, (6,)
def gather_backward(gy, u, gates, token):
    return gates[:, None] * gy[token], (gy[token] * u).sum(axis=0)

# %% gather_backward: only one gradient
# says: return two gradients
def gather_backward(gy, u, gates, token):
    return gates[:, None] * gy[token]

# %% gather_backward: writes into gates
# says: make new arrays
def gather_backward(gy, u, gates, token):
    gu = gates[:, None] * gy[token]
    gates[:] = (gy[token] * u).sum(axis=1)
    return gu, gates
