# %% experts_by_ceil: no return
# says: gives nothing back: end it with return
def experts_by_ceil(importance, mask, n_experts, k_min=1, k_max=None):
    k = np.ceil(n_experts * (importance - 1e-6))

# %% experts_by_ceil: rounds down
# says: every K is one too small: round up
def experts_by_ceil(importance, mask, n_experts, k_min=1, k_max=None):
    k_max = n_experts if k_max is None else k_max
    k = np.floor(n_experts * importance).clip(k_min, k_max)
    return np.where(mask, k, 0).astype(int)

# %% experts_by_ceil: cuts the fraction off by the dtype
# says: every K is one too small: round up
def experts_by_ceil(importance, mask, n_experts, k_min=1, k_max=None):
    k_max = n_experts if k_max is None else k_max
    return np.where(mask, (n_experts * (importance - 1e-6)).astype(int).clip(k_min, k_max), 0)

# %% experts_by_ceil: to the nearest
# says: every K is one too small: round up
def experts_by_ceil(importance, mask, n_experts, k_min=1, k_max=None):
    k_max = n_experts if k_max is None else k_max
    k = np.rint(n_experts * importance).clip(k_min, k_max)
    return np.where(mask, k, 0).astype(int)

# %% experts_by_ceil: floats
# says: a number of experts is whole
def experts_by_ceil(importance, mask, n_experts, k_min=1, k_max=None):
    k_max = n_experts if k_max is None else k_max
    return np.where(mask, np.ceil(n_experts * (importance - 1e-6)).clip(k_min, k_max), 0)

# %% experts_by_ceil: the mask before the clip
# says: apply the mask last, after the clip
def experts_by_ceil(importance, mask, n_experts, k_min=1, k_max=None):
    k_max = n_experts if k_max is None else k_max
    return np.ceil(n_experts * (importance * mask - 1e-6)).clip(k_min, k_max).astype(int)

# %% experts_by_ceil: no mask
# says: padding got
def experts_by_ceil(importance, mask, n_experts, k_min=1, k_max=None):
    k_max = n_experts if k_max is None else k_max
    return np.ceil(n_experts * (importance - 1e-6)).clip(k_min, k_max).astype(int)

# %% experts_by_ceil: no lower limit
# says: clip from below
def experts_by_ceil(importance, mask, n_experts, k_min=1, k_max=None):
    k_max = n_experts if k_max is None else k_max
    k = np.minimum(np.ceil(n_experts * (importance - 1e-6)), k_max)
    return np.where(mask, k, 0).astype(int)

# %% experts_by_ceil: k_max is forgotten
# says: no token may get more than k_max
def experts_by_ceil(importance, mask, n_experts, k_min=1, k_max=None):
    k = np.ceil(n_experts * (importance - 1e-6)).clip(k_min, n_experts)
    return np.where(mask, k, 0).astype(int)

# %% experts_by_ceil: k_max in place of E in the product
# says: no token may get more than k_max
def experts_by_ceil(importance, mask, n_experts, k_min=1, k_max=None):
    k = np.ceil((k_max or n_experts) * (importance - 1e-6) + (k_max is not None)).clip(k_min, n_experts)
    return np.where(mask, k, 0).astype(int)

# %% experts_by_ceil: no guard
# says: take 1e-6 off the importance
def experts_by_ceil(importance, mask, n_experts, k_min=1, k_max=None):
    k_max = n_experts if k_max is None else k_max
    k = np.ceil(n_experts * importance).clip(k_min, k_max)
    return np.where(mask, k, 0).astype(int)

# %% experts_by_ceil: the guard outside the product
# says: the guard comes off too late
def experts_by_ceil(importance, mask, n_experts, k_min=1, k_max=None):
    k_max = n_experts if k_max is None else k_max
    k = np.ceil(n_experts * importance - 1e-6).clip(k_min, k_max)
    return np.where(mask, k, 0).astype(int)

# %% share_out: no return
# says: gives nothing back
def share_out(importance, total, k_min=1):
    spare = total - k_min * len(importance)
    k = k_min + np.floor(spare * importance / importance.sum()).astype(int)

# %% share_out: fractions
# says: some K are not whole numbers
def share_out(importance, total, k_min=1):
    spare = total - k_min * len(importance)
    return k_min + spare * importance / importance.sum()

# %% share_out: only rounds down
# says: hand out what was left over
def share_out(importance, total, k_min=1):
    spare = total - k_min * len(importance)
    return k_min + np.floor(spare * importance / importance.sum()).astype(int)

# %% share_out: to the nearest
# says: hand out the two that are left over
def share_out(importance, total, k_min=1):
    spare = total - k_min * len(importance)
    return k_min + np.rint(spare * importance / importance.sum()).astype(int)

# %% share_out: the rest to the most important
# says: they go to the largest fraction
def share_out(importance, total, k_min=1):
    spare = total - k_min * len(importance)
    k = np.floor(spare * importance / importance.sum()).astype(int)
    k[np.argsort(-importance, kind="stable")[:spare - k.sum()]] += 1
    return k_min + k

# %% share_out: the rest to the smallest fractions
# says: or the smallest fractions
def share_out(importance, total, k_min=1):
    spare = total - k_min * len(importance)
    share = spare * importance / importance.sum()
    k = np.floor(share).astype(int)
    k[np.argsort(share - k, kind="stable")[:spare - k.sum()]] += 1
    return k_min + k

# %% share_out: all of the rest to one token
# says: one token took everything that was left over
def share_out(importance, total, k_min=1):
    spare = total - k_min * len(importance)
    share = spare * importance / importance.sum()
    k = np.floor(share).astype(int)
    k[np.argmax(share - k)] += spare - k.sum()
    return k_min + k

# %% share_out: k_min is not added
# says: add k_min to what you shared out
def share_out(importance, total, k_min=1):
    spare = total - k_min * len(importance)
    share = spare * importance / importance.sum()
    k = np.floor(share).astype(int)
    k[np.argsort(k - share, kind="stable")[:spare - k.sum()]] += 1
    return k

# %% share_out: the whole total is shared
# says: share only what is left after every token got k_min
def share_out(importance, total, k_min=1):
    share = total * importance / importance.sum()
    k = np.floor(share).astype(int)
    k[np.argsort(k - share, kind="stable")[:total - k.sum()]] += 1
    return k

# %% share_out: one for each token, whatever k_min says
# says: use k_min
def share_out(importance, total, k_min=1):
    spare = total - len(importance)
    share = spare * importance / importance.sum()
    k = np.floor(share).astype(int)
    k[np.argsort(k - share, kind="stable")[:spare - k.sum()]] += 1
    return 1 + k

# %% share_out: equals from the end
# says: equal fractions go to the earlier token
def share_out(importance, total, k_min=1):
    spare = total - k_min * len(importance)
    share = spare * importance / importance.sum()
    k = np.floor(share).astype(int)
    left = spare - k.sum()
    if left:
        k[np.argsort(share - k, kind="stable")[-left:]] += 1
    return k_min + k

# %% sentence_flops: no return
# says: gives nothing back
def sentence_flops(k, d, f, n_experts):
    total = 4 * d * f * k.sum()

# %% sentence_flops: no router
# says: the router is missing
def sentence_flops(k, d, f, n_experts):
    layers, n = k.shape
    return layers * n * (8 * d * d + 4 * n * d) + 4 * d * f * k.sum()

# %% sentence_flops: all experts for every token
# says: pays for all E experts
def sentence_flops(k, d, f, n_experts):
    layers, n = k.shape
    return layers * n * (8 * d * d + 4 * n * d + 2 * d * n_experts + 4 * d * f * n_experts)

# %% sentence_flops: one expert for every token
# says: every token pays for one expert
def sentence_flops(k, d, f, n_experts):
    layers, n = k.shape
    return layers * n * (8 * d * d + 4 * n * d + 2 * d * n_experts + 4 * d * f)

# %% sentence_flops: per token and layer
# says: this is the mean for one token and layer
def sentence_flops(k, d, f, n_experts):
    layers, n = k.shape
    return 8 * d * d + 4 * n * d + 2 * d * n_experts + 4 * d * f * k.mean()

# %% sentence_flops: mean over layers
# says: this is the mean over layers
def sentence_flops(k, d, f, n_experts):
    layers, n = k.shape
    return n * (8 * d * d + 4 * n * d + 2 * d * n_experts) + 4 * d * f * k.mean(axis=0).sum()

# %% sentence_flops: looking without n
# says: looking is too cheap
def sentence_flops(k, d, f, n_experts):
    layers, n = k.shape
    return layers * n * (8 * d * d + 4 * d + 2 * d * n_experts) + 4 * d * f * k.sum()

# %% sentence_flops: attention of one layer only
# says: counted for one layer only
def sentence_flops(k, d, f, n_experts):
    n = k.shape[1]
    return n * (8 * d * d + 4 * n * d + 2 * d * n_experts) + 4 * d * f * k.sum()

# %% sentence_flops: attention of one token only
# says: counted for one token only
def sentence_flops(k, d, f, n_experts):
    layers, n = k.shape
    return layers * (8 * d * d + 4 * n * d + 2 * d * n_experts) + 4 * d * f * k.sum()

# %% sentence_flops: looking times n once more
# says: looking is too dear
def sentence_flops(k, d, f, n_experts):
    layers, n = k.shape
    return layers * n * (8 * d * d + 4 * n * n * d + 2 * d * n_experts) + 4 * d * f * k.sum()

# %% sentence_flops: multiply-adds
# says: counts as two
def sentence_flops(k, d, f, n_experts):
    layers, n = k.shape
    return layers * n * (4 * d * d + 2 * n * d + d * n_experts) + 2 * d * f * k.sum()

# %% sentence_flops: one map in each expert
# says: an expert has two maps
def sentence_flops(k, d, f, n_experts):
    layers, n = k.shape
    return layers * n * (8 * d * d + 4 * n * d + 2 * d * n_experts) + 2 * d * f * k.sum()

# %% sentence_flops: one number for each layer
# says: one number is wanted
def sentence_flops(k, d, f, n_experts):
    n = k.shape[1]
    return n * (8 * d * d + 4 * n * d + 2 * d * n_experts) + 4 * d * f * k.sum(axis=1)

# %% deciding_gap: no return
# says: gives nothing back
def deciding_gap(k, words, deciding):
    gap = k[deciding].mean() - k[words & ~deciding].mean()

# %% deciding_gap: padding and marks among the others
# says: the others contain padding
def deciding_gap(k, words, deciding):
    return k[deciding].mean() - k[~deciding].mean()

# %% deciding_gap: deciding words on both sides
# says: the deciding words stand on both sides
def deciding_gap(k, words, deciding):
    return k[deciding].mean() - k[words].mean()

# %% deciding_gap: turned round
# says: the sign is turned
def deciding_gap(k, words, deciding):
    return k[words & ~deciding].mean() - k[deciding].mean()

# %% deciding_gap: sentence by sentence
# says: pool the words of all sentences
def deciding_gap(k, words, deciding):
    gaps = [row[d].mean() - row[w & ~d].mean() for row, w, d in zip(k, words, deciding)]
    return np.mean(gaps)

# %% deciding_gap: one gap for each sentence
# says: one number is wanted
def deciding_gap(k, words, deciding):
    others = words & ~deciding
    return (k * deciding).sum(axis=1) / deciding.sum(axis=1) - (k * others).sum(axis=1) / others.sum(axis=1)

# %% deciding_gap: sums
# says: these are sums
def deciding_gap(k, words, deciding):
    return k[deciding].sum() - k[words & ~deciding].sum()

# %% deciding_gap: the mean of the masked array, zeros included
# says: count the zeros of the masked array
def deciding_gap(k, words, deciding):
    return (k * deciding).mean() - (k * (words & ~deciding)).mean()
