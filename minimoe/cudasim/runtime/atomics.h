// Atomics: read, change and write back with no other thread in between. Each answers with the old value.
// Only the types that CUDA offers compile. Fences order nothing here: one thread runs at a time.
#pragma once

inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}

namespace cudasim {

template <class T, class... Allowed>
constexpr bool one_of = (std::is_same_v<T, Allowed> || ...);
template <class T>
constexpr bool is_atomic_integer = one_of<T, int, unsigned, unsigned long long>;

template <class T, class F>
UNWATCHED_INLINE T update(T* address, F f)
{
#if defined(__SANITIZE_THREAD__)
    cudasim_atomic_access(address, sizeof(T), __builtin_return_address(0));
#endif
    cudasim_maybe_yield();
    T old = *address;                                 // fibers switch only where they ask to: nobody comes in between
    *address = f(old);
    return old;
}

}  // namespace cudasim

// std::common_type_t<T> is T, but is not used to guess T: atomicAdd(float*, 1) adds 1.0f, as in CUDA.
#define CUDASIM_ATOMIC(NAME, ALLOWED, EXPRESSION)                                                         \
    template <class T> inline T NAME(T* address, std::common_type_t<T> value)                             \
    {                                                                                                     \
        static_assert(ALLOWED, "CUDA has no " #NAME " for this type");                                    \
        return cudasim::update(address, [value](T old) UNWATCHED { return T(EXPRESSION); });              \
    }
CUDASIM_ATOMIC(atomicAdd, (cudasim::is_atomic_integer<T> || cudasim::one_of<T, float, double>), old + value)
CUDASIM_ATOMIC(atomicSub, (cudasim::one_of<T, int, unsigned>), old - value)
CUDASIM_ATOMIC(atomicMax, (cudasim::is_atomic_integer<T> || cudasim::one_of<T, long long>), old > value ? old : value)
CUDASIM_ATOMIC(atomicMin, (cudasim::is_atomic_integer<T> || cudasim::one_of<T, long long>), old < value ? old : value)
CUDASIM_ATOMIC(atomicExch, (cudasim::is_atomic_integer<T> || cudasim::one_of<T, float>), ((void)old, value))
CUDASIM_ATOMIC(atomicAnd, cudasim::is_atomic_integer<T>, old & value)
CUDASIM_ATOMIC(atomicOr, cudasim::is_atomic_integer<T>, old | value)
CUDASIM_ATOMIC(atomicXor, cudasim::is_atomic_integer<T>, old ^ value)

template <class T> inline T atomicCAS(T* address, std::common_type_t<T> expected, std::common_type_t<T> value)
{
    static_assert(cudasim::is_atomic_integer<T> || cudasim::one_of<T, unsigned short>, "CUDA has no atomicCAS here");
    return cudasim::update(address, [=](T old) UNWATCHED { return old == expected ? value : old; });
}
