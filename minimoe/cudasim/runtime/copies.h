// memcpy, memmove and memset. g++ does not watch what library functions read and write, so kernels call these instead,
// which tell the checker first. Included last: our own headers use the real ones.
#pragma once
#if defined(__SANITIZE_THREAD__)

namespace cudasim {

UNWATCHED inline void* watched_copy(void* to, const void* from, size_t size)
{
    cudasim_range_access(from, size, false, __builtin_return_address(0));
    cudasim_range_access(to, size, true, __builtin_return_address(0));
    return memmove(to, from, size);
}

UNWATCHED inline void* watched_fill(void* to, int byte, size_t size)
{
    cudasim_range_access(to, size, true, __builtin_return_address(0));
    return memset(to, byte, size);
}

}  // namespace cudasim

#define memcpy(...) cudasim::watched_copy(__VA_ARGS__)
#define memmove(...) cudasim::watched_copy(__VA_ARGS__)
#define memset(...) cudasim::watched_fill(__VA_ARGS__)

#endif
