// CUDA's keywords and built-in names for a C++ compiler. Put before every kernel file (g++ -include cuda.h).
//
// The trick that makes unchanged kernels compile: a `__shared__` variable becomes `static __thread`. All of them then
// lie together in the library's thread-local segment, which the runtime finds and treats as one block's shared memory.
#pragma once
#include <math.h>                                     // not <cmath>: kernels call exp(float) without std::
#include <stdio.h>
#include <string.h>

#include <string>
#include <type_traits>
#include <utility>

// NVRTC has none of these, so a kernel that uses one must not compile here either.
#undef INFINITY
#undef NAN
#undef HUGE_VAL
#undef HUGE_VALF
#undef M_PI
#undef INT_MAX
#undef INT_MIN
#undef UINT_MAX
#undef assert

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __shared__ static __thread
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

#define threadIdx (cudasim::cudasim_thread->index)
#define blockIdx (cudasim::cudasim_grid->block_index)
#define blockDim (cudasim::cudasim_grid->block)
#define gridDim (cudasim::cudasim_grid->grid)
#define warpSize 32

// The checker watches what kernels do, not what this header does on their behalf: such functions are UNWATCHED, and
// not inlined, since inlined code is watched like its caller.
#if defined(__SANITIZE_THREAD__)
#define UNWATCHED __attribute__((noinline, no_sanitize("thread")))
#define UNWATCHED_INLINE UNWATCHED
#else
#define UNWATCHED
#define UNWATCHED_INLINE inline
#endif
#define LINE int line = __builtin_LINE()              // as a default argument: the line of the call in the kernel

namespace cudasim {

template <class To, class From>
inline To bits_as(From value)                         // the same bits, read as another type; missing bytes are 0
{
    static_assert(sizeof(From) <= 8 && sizeof(To) <= 8, "at most 8 bytes");
    unsigned char bytes[8] = {};
    memcpy(bytes, &value, sizeof(From));
    To result;
    memcpy(&result, bytes, sizeof(To));
    return result;
}

}  // namespace cudasim

#include "interface.h"

#include "vectors.h"
#include "warp.h"
#include "atomics.h"
#include "device_math.h"
#include "export.h"
#include "copies.h"
