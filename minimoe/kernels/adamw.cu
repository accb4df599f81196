// One step of Adam or AdamW on n numbers, in place on theta, m and v; g is only read.
//   g <- g + l2 theta;  m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2
//   theta <- keep theta - rate m / (sqrt(v) + eps)
// The step number is in the scalars: with c1 = 1 - beta1^t and c2 = sqrt(1 - beta2^t) the host passes
// rate = lr c2 / c1, eps = c2 eps, keep = 1 - lr weight_decay. It also passes 1 - beta, rounded only once.

extern "C" __global__ void adamw_update(REAL* __restrict__ theta, const REAL* __restrict__ g, REAL* __restrict__ m,
                                        REAL* __restrict__ v, long long n, REAL beta1, REAL one_minus_beta1, REAL beta2,
                                        REAL one_minus_beta2, REAL eps, REAL rate, REAL keep, REAL l2)
{
    long long stride = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {
        REAL old = theta[i], gradient = g[i];
        if (l2 != 0) gradient += l2 * old;
        REAL first = beta1 * m[i] + one_minus_beta1 * gradient;
        REAL second = beta2 * v[i] + one_minus_beta2 * gradient * gradient;
        m[i] = first;
        v[i] = second;
        theta[i] = keep * old - rate * first / (sqrt(second) + eps);
    }
}
