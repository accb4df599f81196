// What a compiled kernel and the runtime know of each other.
//
// Kernels are compiled into one library, the runtime into another. While a CUDA thread runs, two pointers say which
// thread it is and where in the grid: `threadIdx` and its friends are macros that read through them.
#pragma once
#include <cstddef>
#include <cstdint>

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace cudasim {

struct Thread {
    dim3 index;                                       // threadIdx
    unsigned number;                                  // in its block, x fastest; its lane is number % 32
};

struct Grid {
    dim3 grid, block, block_index;                    // gridDim, blockDim, blockIdx
    void* dynamic_shared;                             // where `extern __shared__` arrays begin
};

enum Operation { SYNCWARP, SHUFFLE, BALLOT, MATCH };
enum Barrier { PLAIN, COUNTING };

// Where the lanes of a warp meet to exchange one value each.
struct Meeting {
    unsigned mask, arrived, still_inside;
    Operation operation;
    uint64_t value[32];
};

extern "C" {
// initial-exec: read without a function call
extern __thread Thread* cudasim_thread __attribute__((tls_model("initial-exec")));
extern __thread Grid* cudasim_grid __attribute__((tls_model("initial-exec")));

int cudasim_barrier(int line, Barrier kind, int vote);              // waits for the block; answers the sum of the votes
Meeting* cudasim_meet(unsigned mask, Operation operation, uint64_t value, int line);    // waits for the lanes of `mask`
void cudasim_leave(Meeting*);                                       // every lane, once it has read what it wants
[[noreturn]] void cudasim_fail(const char* text, int line);
void cudasim_atomic_access(const volatile void* address, unsigned size, void* pc);      // tells the checker
void cudasim_range_access(const void* address, size_t size, bool write, void* pc);         // likewise
void cudasim_maybe_yield();                                         // before an atomic: a seeded schedule may switch
}

}  // namespace cudasim
