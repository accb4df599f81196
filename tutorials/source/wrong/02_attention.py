# %% one_head: no scale
# says: the scores are not scaled
def one_head(q, k, v):
    s = q @ np.swapaxes(k, -1, -2)
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    p = p / p.sum(axis=-1, keepdims=True)
    return p @ v, p

# %% one_head: divided by the width itself
# says: divide them by its square root
def one_head(q, k, v):
    s = q @ np.swapaxes(k, -1, -2) / q.shape[-1]
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    p = p / p.sum(axis=-1, keepdims=True)
    return p @ v, p

# %% one_head: divided by the root of the number of words
# says: d_h is the last axis of q
def one_head(q, k, v):
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-2])
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    p = p / p.sum(axis=-1, keepdims=True)
    return p @ v, p

# %% one_head: softmax over the queries
# says: take the softmax over the last axis
def one_head(q, k, v):
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    p = np.exp(s - s.max(axis=-2, keepdims=True))
    p = p / p.sum(axis=-2, keepdims=True)
    return p @ v, p

# %% one_head: keys look at queries
# says: queries and keys have changed places
def one_head(q, k, v):
    s = k @ np.swapaxes(q, -1, -2) / np.sqrt(q.shape[-1])
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    p = p / p.sum(axis=-1, keepdims=True)
    return p @ v, p

# %% one_head: divided by the sum of everything
# says: divide by the sum of the row
def one_head(q, k, v):
    p = np.exp(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]))
    p = p / p.sum()
    return p @ v, p

# %% one_head: sums without their axis, so that they go to columns
# says: let keepdims=True keep it in its row
def one_head(q, k, v):
    p = np.exp(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]))
    p = p / p.sum(axis=-1)
    return p @ v, p

# %% one_head: maxima without their axis
# says: does keepdims=True keep each maximum in its row
def one_head(q, k, v):
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    p = np.exp(s - s.max(axis=-1))
    p = p / p.sum(axis=-1, keepdims=True)
    return p @ v, p

# %% one_head: no maximum
# says: large scores overflow
def one_head(q, k, v):
    p = np.exp(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]))
    p = p / p.sum(axis=-1, keepdims=True)
    return p @ v, p

# %% one_head: turns all axes round
# says: turn only the last two axes of k round
def one_head(q, k, v):
    s = q @ k.T / np.sqrt(q.shape[-1])
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    p = p / p.sum(axis=-1, keepdims=True)
    return p @ v, p

# %% one_head: axes counted from the front
# says: turn only the last two axes of k round
def one_head(q, k, v):
    s = q @ np.swapaxes(k, 0, 1) / np.sqrt(q.shape[-1])
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    p = p / p.sum(axis=-1, keepdims=True)
    return p @ v, p

# %% one_head: softmax over axis 1
# says: count the axes from the end
def one_head(q, k, v):
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    p = np.exp(s - s.max(axis=1, keepdims=True))
    p = p / p.sum(axis=1, keepdims=True)
    return p @ v, p

# %% one_head: a column takes, not a row
# says: averaged with the weights of each row
def one_head(q, k, v):
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    p = p / p.sum(axis=-1, keepdims=True)
    return np.swapaxes(p, -1, -2) @ v, p

# %% one_head: only the outputs
# says: return two things
def one_head(q, k, v):
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True) @ v

# %% masked_softmax: minus infinity and nothing else
# says: the row without a live entry is NaN
def masked_softmax(scores, live):
    s = np.where(live, scores, -np.inf)
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)

# %% masked_softmax: a large negative number
# says: it must be exactly 0
def masked_softmax(scores, live):
    s = np.where(live, scores, -1e9)
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)

# %% masked_softmax: dead entries are zeroed after the softmax
# says: leave the dead entries out before you divide
def masked_softmax(scores, live):
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True) * live

# %% masked_softmax: dead scores are 0
# says: dead entries have weight
def masked_softmax(scores, live):
    s = np.where(live, scores, 0.0)
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True) * live.any(axis=-1, keepdims=True)

# %% masked_softmax: the mask the other way round
# says: it must be exactly 0
def masked_softmax(scores, live):
    s = np.where(live, -np.inf, scores)
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)

# %% masked_softmax: no maximum
# says: large scores overflow
def masked_softmax(scores, live):
    p = np.exp(scores) * live
    total = p.sum(axis=-1, keepdims=True)
    return p / np.where(total > 0, total, 1)

# %% masked_softmax: the maximum of everything
# says: replace dead scores before you take the maximum
def masked_softmax(scores, live):
    p = np.exp(scores - scores.max(axis=-1, keepdims=True)) * live
    total = p.sum(axis=-1, keepdims=True)
    return p / np.where(total > 0, total, 1)

# %% masked_softmax: infinity times 0
# says: replace dead scores before you take the maximum
def masked_softmax(scores, live):
    top = np.where(live, scores, -1e30).max(axis=-1, keepdims=True)
    p = np.exp(np.where(live.any(axis=-1, keepdims=True), scores - top, 0.0)) * live
    total = p.sum(axis=-1, keepdims=True)
    return p / np.where(total > 0, total, 1)

# %% masked_softmax: every NaN becomes 0
# says: a NaN among the live scores became a harmless number
def masked_softmax(scores, live):
    s = np.where(live, scores, -np.inf)
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    return np.nan_to_num(p / p.sum(axis=-1, keepdims=True))

# %% masked_softmax: writes into scores
# says: scores has changed
def masked_softmax(scores, live):
    scores[~live] = -np.inf
    p = np.exp(scores - np.maximum(scores.max(axis=-1, keepdims=True), -1e30))
    total = p.sum(axis=-1, keepdims=True)
    return p / np.where(total > 0, total, 1)

# %% attention_backward: P not transposed in gv
# says: sum over the rows of its column, with P.T
def attention_backward(go, q, k, v, p):
    gp = go @ v.T
    gs = p * (gp - (p * gp).sum(axis=-1, keepdims=True)) / np.sqrt(q.shape[-1])
    return gs @ k, gs.T @ q, p @ go

# %% attention_backward: no scale
# says: gq lacks the scale
def attention_backward(go, q, k, v, p):
    gp = go @ v.T
    gs = p * (gp - (p * gp).sum(axis=-1, keepdims=True))
    return gs @ k, gs.T @ q, p.T @ go

# %% attention_backward: scale for the queries only
# says: gk lacks the scale
def attention_backward(go, q, k, v, p):
    gp = go @ v.T
    gs = p * (gp - (p * gp).sum(axis=-1, keepdims=True))
    return gs @ k / np.sqrt(q.shape[-1]), gs.T @ q, p.T @ go

# %% attention_backward: scores not transposed in gk
# says: the gradient of the scores is transposed
def attention_backward(go, q, k, v, p):
    gp = go @ v.T
    gs = p * (gp - (p * gp).sum(axis=-1, keepdims=True)) / np.sqrt(q.shape[-1])
    return gs @ k, gs @ q, p.T @ go

# %% attention_backward: walks past the softmax
# says: word 2 looks at nothing and still gets a gradient
def attention_backward(go, q, k, v, p):
    gs = go @ v.T / np.sqrt(q.shape[-1])
    return gs @ k, gs.T @ q, p.T @ go

# %% attention_backward: the slope p (1 - p) of each weight on its own
# says: the rows of gk do not sum to 0
def attention_backward(go, q, k, v, p):
    gs = go @ v.T * p * (1 - p) / np.sqrt(q.shape[-1])
    return gs @ k, gs.T @ q, p.T @ go

# %% attention_backward: the plain mean in the softmax
# says: the rows of gk do not sum to 0
def attention_backward(go, q, k, v, p):
    gp = go @ v.T
    gs = p * (gp - gp.mean(axis=-1, keepdims=True)) / np.sqrt(q.shape[-1])
    return gs @ k, gs.T @ q, p.T @ go

# %% attention_backward: the gradients in another order
# says: gv is wrong
def attention_backward(go, q, k, v, p):
    gp = go @ v.T
    gs = p * (gp - (p * gp).sum(axis=-1, keepdims=True)) / np.sqrt(q.shape[-1])
    return p.T @ go, gs.T @ q, gs @ k

# %% attention_backward: no gradient of v
# says: return three gradients
def attention_backward(go, q, k, v, p):
    gp = go @ v.T
    gs = p * (gp - (p * gp).sum(axis=-1, keepdims=True)) / np.sqrt(q.shape[-1])
    return gs @ k, gs.T @ q

# %% rowmax_and_colmax: the axes changed
# says: rowmax and colmax have changed places
def rowmax_and_colmax(p, mask):
    p = np.where(mask[:, None, :, None] & mask[:, None, None, :], p, 0.0)
    return p.max(axis=2).mean(axis=1), p.max(axis=3).mean(axis=1)

# %% rowmax_and_colmax: the largest of all heads
# says: rowmax is the largest over all heads
def rowmax_and_colmax(p, mask):
    p = np.where(mask[:, None, :, None] & mask[:, None, None, :], p, 0.0)
    return p.max(axis=(1, 3)), p.max(axis=(1, 2))

# %% rowmax_and_colmax: the mean over heads first
# says: the heads are averaged first
def rowmax_and_colmax(p, mask):
    p = np.where(mask[:, None, :, None] & mask[:, None, None, :], p, 0.0).mean(axis=1)
    return p.max(axis=2), p.max(axis=1)

# %% rowmax_and_colmax: the heads stay
# says: rowmax still has one number for each head
def rowmax_and_colmax(p, mask):
    p = np.where(mask[:, None, :, None] & mask[:, None, None, :], p, 0.0)
    return p.max(axis=3), p.max(axis=2)

# %% rowmax_and_colmax: no mask
# says: padding must get importance 0
def rowmax_and_colmax(p, mask):
    return p.max(axis=3).mean(axis=1), p.max(axis=2).mean(axis=1)

# %% rowmax_and_colmax: the mask is applied at the end only
# says: rowmax counts weights to padding
def rowmax_and_colmax(p, mask):
    return p.max(axis=3).mean(axis=1) * mask, p.max(axis=2).mean(axis=1) * mask

# %% rowmax_and_colmax: only keys are masked
# says: padding must get importance 0
def rowmax_and_colmax(p, mask):
    p = np.where(mask[:, None, None, :], p, 0.0)
    return p.max(axis=3).mean(axis=1), p.max(axis=2).mean(axis=1)

# %% rowmax_and_colmax: keys are masked, queries only at the end
# says: a padding row is nobody's look
def rowmax_and_colmax(p, mask):
    p = np.where(mask[:, None, None, :], p, 0.0)
    return p.max(axis=3).mean(axis=1) * mask, p.max(axis=2).mean(axis=1) * mask

# %% rowmax_and_colmax: the sum of the column
# says: colmax is not the mean over heads of the largest weight
def rowmax_and_colmax(p, mask):
    p = np.where(mask[:, None, :, None] & mask[:, None, None, :], p, 0.0)
    return p.max(axis=3).mean(axis=1), p.sum(axis=2).mean(axis=1)
