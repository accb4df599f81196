// From router logits to probabilities, experts and gates, and one backward from everything that was read off them.
// N tokens, E experts, A assignments.  logits, scores, p, gp, gz: (N, E).  expert, inv, gates, dg: (A).  lse: (N).
// row_ptr: (N + 1); the assignments of token i are row_ptr[i] .. row_ptr[i + 1] - 1, each with another expert.
// inv < 0 marks a dropped assignment.  form of the gates: 0 raw, 1 renorm, 2 equal; formulas at reference/routing.py.
// A warp takes a token: lane l owns the experts, or the assignments, l, l + 32, ..., however many there are.

#define FULL 0xffffffffu                              // all 32 lanes of a warp
#define MINUS_INFINITY ((REAL)__int_as_float(0xff800000))      // NVRTC knows no INFINITY

__device__ REAL larger(REAL a, REAL b)
{
    return a > b || a != a ? a : b;                   // unlike fmax, which drops NaN
}

__device__ REAL warp_max(REAL value)
{
    for (int step = 16; step > 0; step /= 2)
        value = larger(value, __shfl_xor_sync(FULL, value, step));
    return value;
}

__device__ REAL warp_sum(REAL value)
{
    for (int step = 16; step > 0; step /= 2)
        value += __shfl_xor_sync(FULL, value, step);
    return value;                                     // the same bits in every lane: a + b is b + a
}

// p = softmax, lse = log-sum-exp. bad: NaN or +inf somewhere, or nothing finite; then p and lse are 0.
extern "C" __global__ void router_softmax(const REAL* __restrict__ logits, int tokens, int experts,
                                          REAL* __restrict__ p, REAL* __restrict__ lse, bool* __restrict__ bad)
{
    int token = (int)(((size_t)blockIdx.x * blockDim.x + threadIdx.x) / 32), lane = threadIdx.x % 32;
    if (token >= tokens) return;                      // whole warps leave; there is no block barrier in this file
    logits += (size_t)token * experts;
    p += (size_t)token * experts;

    REAL top = MINUS_INFINITY;
    for (int e = lane; e < experts; e += 32) top = larger(top, logits[e]);
    top = warp_max(top);
    bool wrong = !(top > MINUS_INFINITY && top < -MINUS_INFINITY);        // a NaN fails both
    REAL sum = 0;
    for (int e = lane; e < experts; e += 32) {
        p[e] = wrong ? (REAL)0 : exp(logits[e] - top);
        sum += p[e];
    }
    sum = warp_sum(sum);
    for (int e = lane; e < experts; e += 32)
        if (!wrong) p[e] /= sum;
    if (lane == 0) {
        lse[token] = wrong ? (REAL)0 : top + log(sum);
        bad[token] = wrong;
    }
}

// Whether score a of expert i comes before score b of expert j: the higher one, NaN last, equal ones by index.
__device__ bool comes_before(REAL a, int i, REAL b, int j)
{
    bool a_counts = a == a, b_counts = b == b;
    if (a_counts != b_counts) return a_counts;
    return a_counts && a != b ? a > b : i < j;
}

// The experts of every token, best first. Each round finds the first expert that comes after the last one taken, so
// nothing has to be remembered of those before it.
extern "C" __global__ void select_experts(const REAL* __restrict__ scores, const int* __restrict__ row_ptr, int tokens,
                                          int experts, int* __restrict__ expert)
{
    int token = (int)(((size_t)blockIdx.x * blockDim.x + threadIdx.x) / 32), lane = threadIdx.x % 32;
    if (token >= tokens) return;
    scores += (size_t)token * experts;
    REAL last = 0;
    int last_expert = -1;                             // none yet
    for (int a = row_ptr[token]; a < row_ptr[token + 1]; a++) {
        REAL best = 0;
        int best_expert = -1;                         // none found
        for (int e = lane; e < experts; e += 32) {
            REAL score = scores[e];
            if (last_expert >= 0 && !comes_before(last, last_expert, score, e)) continue;
            if (best_expert < 0 || comes_before(score, e, best, best_expert)) {
                best = score;
                best_expert = e;
            }
        }
        for (int step = 16; step > 0; step /= 2) {
            REAL score = __shfl_xor_sync(FULL, best, step);
            int e = __shfl_xor_sync(FULL, best_expert, step);
            if (e >= 0 && (best_expert < 0 || comes_before(score, e, best, best_expert))) {
                best = score;
                best_expert = e;
            }
        }
        if (lane == 0) expert[a] = best_expert;       // -1 where a token asks for more experts than there are
        last = best;
        last_expert = best_expert;
    }
}

// What renorm divides a token's probabilities by: their sum over its assignments, or over those that were kept.
__device__ REAL chosen_sum(const REAL* p, const int* expert, const int* inv, int begin, int end, int after_drop)
{
    REAL sum = 0;
    for (int a = begin + threadIdx.x % 32; a < end; a += 32)
        if (!after_drop || inv[a] >= 0) sum += p[expert[a]];
    sum = warp_sum(sum);
    return sum == 0 ? (REAL)1 : sum;                  // a token that lost everything, or had nothing
}

extern "C" __global__ void select_gates(const REAL* __restrict__ p, const int* __restrict__ expert,
                                        const int* __restrict__ inv, const int* __restrict__ row_ptr, int form,
                                        int after_drop, int tokens, int experts, REAL* __restrict__ gates)
{
    int token = (int)(((size_t)blockIdx.x * blockDim.x + threadIdx.x) / 32), lane = threadIdx.x % 32;
    if (token >= tokens) return;
    p += (size_t)token * experts;
    int begin = row_ptr[token], end = row_ptr[token + 1];
    REAL total = form == 1 ? chosen_sum(p, expert, inv, begin, end, after_drop) : (REAL)1;
    for (int a = begin + lane; a < end; a += 32) {
        REAL gate = form == 2 ? (REAL)1 / (end - begin) : p[expert[a]] / total;
        gates[a] = inv[a] >= 0 ? gate : (REAL)0;
    }
}

// Adds the gradient that reaches a token's probabilities through its gates to `d`, its row of E numbers.
// Every lane of the warp must arrive, and what it wrote to d before needs a __syncwarp.
__device__ void add_gate_gradient(const REAL* dg, const REAL* p, const int* expert, const int* inv, int begin, int end,
                                  int form, int after_drop, REAL* d)
{
    if (form == 2) return;                            // 1 / K has no slope
    REAL total = 1, mixed = 0;                        // mixed: sum of g dg over what was kept
    if (form == 1) {
        total = chosen_sum(p, expert, inv, begin, end, after_drop);
        for (int a = begin + threadIdx.x % 32; a < end; a += 32)
            if (inv[a] >= 0) mixed += p[expert[a]] * dg[a];
        mixed = warp_sum(mixed) / total;
    }
    for (int a = begin + threadIdx.x % 32; a < end; a += 32) {        // a token's experts differ: one writer per cell
        bool kept = inv[a] >= 0;
        REAL g = (kept ? dg[a] : (REAL)0) - (kept || !after_drop ? mixed : (REAL)0);
        d[expert[a]] += g / total;
    }
}

extern "C" __global__ void select_gates_backward(const REAL* __restrict__ dg, const REAL* __restrict__ p,
                                                 const int* __restrict__ expert, const int* __restrict__ inv,
                                                 const int* __restrict__ row_ptr, int form, int after_drop, int tokens,
                                                 int experts, REAL* __restrict__ gp)
{
    int token = (int)(((size_t)blockIdx.x * blockDim.x + threadIdx.x) / 32), lane = threadIdx.x % 32;
    if (token >= tokens) return;
    gp += (size_t)token * experts;
    for (int e = lane; e < experts; e += 32) gp[e] = 0;
    __syncwarp();                                     // the next writer of a cell may be another lane
    add_gate_gradient(dg, p + (size_t)token * experts, expert, inv, row_ptr[token], row_ptr[token + 1], form,
                      after_drop, gp);
}

// With d the gradient of p:  d_ie = gp_ie + (through the gates) + m_i (b f_e - h log p_ie),
// gz_ie = p_ie (d_ie - sum_e p_ie d_ie + c m_i lse_i).   coefficients: b, c, h.   share: f (E).
// counted: m, bool, at token counted_step; step 0 when one True stands for all.   gp is not read when has_gp is 0.
extern "C" __global__ void router_backward(const REAL* __restrict__ dg, const REAL* __restrict__ gp, int has_gp,
                                           const REAL* __restrict__ coefficients, const REAL* __restrict__ p,
                                           const REAL* __restrict__ lse, const REAL* __restrict__ share,
                                           const bool* __restrict__ counted, int counted_step,
                                           const int* __restrict__ expert, const int* __restrict__ inv,
                                           const int* __restrict__ row_ptr, int form, int after_drop, int tokens,
                                           int experts, REAL* __restrict__ gz)
{
    int token = (int)(((size_t)blockIdx.x * blockDim.x + threadIdx.x) / 32), lane = threadIdx.x % 32;
    if (token >= tokens) return;
    size_t row = (size_t)token * experts;
    p += row;
    gz += row;
    REAL m = counted[(size_t)token * counted_step] ? (REAL)1 : (REAL)0;
    REAL balance = m * coefficients[0], z = m * coefficients[1], entropy = m * coefficients[2];

    for (int e = lane; e < experts; e += 32) {        // gz holds d until the last loop
        REAL d = balance * share[e] + (has_gp ? gp[row + e] : (REAL)0);
        if (entropy != 0 && p[e] > 0) d -= entropy * log(p[e]);        // 0 log 0 = 0
        gz[e] = d;
    }
    __syncwarp();                                     // the next writer of a cell may be another lane
    add_gate_gradient(dg, p, expert, inv, row_ptr[token], row_ptr[token + 1], form, after_drop, gz);
    __syncwarp();

    REAL along = 0;
    for (int e = lane; e < experts; e += 32) along += p[e] * gz[e];
    along = warp_sum(along) - z * lse[token];
    for (int e = lane; e < experts; e += 32) gz[e] = p[e] * (gz[e] - along);
}
