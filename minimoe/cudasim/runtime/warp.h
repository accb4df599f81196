// Barriers of a block, and what the 32 lanes of a warp do together: shuffles, votes, matches, reductions.
//
// All lane functions are one idea: every lane named in the mask lays a value on a table (cudasim_meet waits until all
// have), reads from the table what it wants, and leaves. They order no memory: that takes __syncwarp or __syncthreads.
#pragma once

inline void __syncthreads(LINE) { cudasim::cudasim_barrier(line, cudasim::PLAIN, 0); }
inline int __syncthreads_count(int predicate, LINE)
{
    return cudasim::cudasim_barrier(line, cudasim::COUNTING, predicate != 0);
}
inline int __syncthreads_or(int predicate, LINE) { return __syncthreads_count(predicate, line) != 0; }
inline int __syncthreads_and(int predicate, LINE) { return __syncthreads_count(!predicate, line) == 0; }

UNWATCHED_INLINE void __syncwarp(unsigned mask = 0xffffffffu, LINE)
{
    cudasim::cudasim_leave(cudasim::cudasim_meet(mask, cudasim::SYNCWARP, 0, line));
}

unsigned __activemask() __attribute__((error("__activemask() is not simulated: pass an explicit mask")));

namespace cudasim {

inline int lane() { return cudasim_thread->number % 32; }

template <class T>
UNWATCHED_INLINE T shuffle(unsigned mask, T value, int source, bool source_is_in_segment, int line)
{
    static_assert(std::is_arithmetic_v<T> && sizeof(T) <= 8, "a shuffle carries one number of at most 8 bytes");
    Meeting* table = cudasim_meet(mask, SHUFFLE, bits_as<uint64_t>(value), line);
    T result = value;
    if (source_is_in_segment) {
        if (!(table->arrived >> source & 1))
            cudasim_fail("shuffle reads a lane that is not in its mask (undefined value)", line);
        result = bits_as<T>(table->value[source]);
    }
    cudasim_leave(table);
    return result;
}

// Calls f(lane, value) for every lane of the meeting, lowest lane first.
template <class F>
UNWATCHED_INLINE void meet_all(unsigned mask, Operation operation, uint64_t value, int line, F f)
{
    Meeting* table = cudasim_meet(mask, operation, value, line);
    for (int i = 0; i < 32; i++)
        if (table->arrived >> i & 1) f(i, table->value[i]);
    cudasim_leave(table);
}

template <class T, class F>
UNWATCHED_INLINE T reduce(unsigned mask, T value, int line, F f)
{
    T result{};
    bool first = true;
    meet_all(mask, SHUFFLE, bits_as<uint64_t>(value), line, [&](int, uint64_t bits) UNWATCHED {
        result = first ? bits_as<T>(bits) : f(result, bits_as<T>(bits));
        first = false;
    });
    return result;
}

}  // namespace cudasim

// The lanes of a warp fall into segments of `width`; `first` is the first lane of the caller's segment.
template <class T> inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, LINE)
{
    int first = cudasim::lane() & ~(width - 1);
    return cudasim::shuffle(mask, value, first | (source & (width - 1)), true, line);
}
template <class T> inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, LINE)
{
    int first = cudasim::lane() & ~(width - 1), source = cudasim::lane() - int(delta);
    return cudasim::shuffle(mask, value, source, source >= first, line);
}
template <class T> inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, LINE)
{
    int last = cudasim::lane() | (width - 1), source = cudasim::lane() + int(delta);
    return cudasim::shuffle(mask, value, source, source <= last, line);
}
template <class T> inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, LINE)
{
    int last = cudasim::lane() | (width - 1), source = cudasim::lane() ^ bits;
    return cudasim::shuffle(mask, value, source, source <= last, line);
}

UNWATCHED_INLINE unsigned __ballot_sync(unsigned mask, int predicate, LINE)
{
    unsigned votes = 0;
    cudasim::meet_all(mask, cudasim::BALLOT, predicate != 0, line,
                      [&](int lane, uint64_t vote) UNWATCHED { votes |= unsigned(vote) << lane; });
    return votes;
}
inline int __any_sync(unsigned mask, int predicate, LINE) { return __ballot_sync(mask, predicate, line) != 0; }
inline int __all_sync(unsigned mask, int predicate, LINE) { return __ballot_sync(mask, !predicate, line) == 0; }

template <class T> UNWATCHED_INLINE unsigned __match_any_sync(unsigned mask, T value, LINE)
{
    unsigned equal = 0;
    uint64_t own = cudasim::bits_as<uint64_t>(value);
    cudasim::meet_all(mask, cudasim::MATCH, own, line,
                      [&](int lane, uint64_t other) UNWATCHED { equal |= unsigned(other == own) << lane; });
    return equal;
}

#define CUDASIM_REDUCE(NAME, T, EXPRESSION)                                                    \
    inline T __reduce_##NAME##_sync(unsigned mask, T value, LINE)                              \
    {                                                                                          \
        return cudasim::reduce(mask, value, line, [](T a, T b) UNWATCHED { return EXPRESSION; }); \
    }
CUDASIM_REDUCE(add, unsigned, a + b)
CUDASIM_REDUCE(add, int, int(unsigned(a) + unsigned(b)))
CUDASIM_REDUCE(min, unsigned, a < b ? a : b)
CUDASIM_REDUCE(min, int, a < b ? a : b)
CUDASIM_REDUCE(max, unsigned, a > b ? a : b)
CUDASIM_REDUCE(max, int, a > b ? a : b)
CUDASIM_REDUCE(and, unsigned, a & b)
CUDASIM_REDUCE(or, unsigned, a | b)
CUDASIM_REDUCE(xor, unsigned, a ^ b)
