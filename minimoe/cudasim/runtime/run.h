// One launch as the runtime sees it. Blocks run one after the other; the threads of a block are fibers (fiber.h).
#pragma once
#include "interface.h"

#include <deque>
#include <random>
#include <vector>

namespace cudasim {

constexpr unsigned WARP = 32;
enum State : uint8_t { READY, AT_BARRIER, AT_MEETING, DONE };

struct Fiber : Thread {
    void* stack_pointer;                              // where it stopped; valid while it does not run
    char* stack;                                      // lowest address
    State state;
    int line;                                         // of the barrier or meeting where it waits
    int votes;                                        // what its last barrier counted
    unsigned epoch;                                   // how many __syncwarp it has passed, counted from 1
    unsigned known_epoch[WARP];                       // what each lane did up to this epoch of its own happened before
};

// Who touched a cell of memory, and when. The checker compares two of these (checker.cpp).
struct Access {
    unsigned thread;                                  // its number plus 1; 0: nobody yet
    unsigned block, phase, epoch;                     // phase: block barriers passed, counted from 1
    uint32_t pc;                                      // the instruction, as an offset into the kernel's library
    bool atomic;
};

struct Cell {
    Access write, reads[2];
    unsigned block;                                   // shared memory: the block that these accesses belong to
};

// A piece of memory that kernels may touch: an array argument, or shared memory.
struct Region {
    char* begin;
    size_t size;
    size_t grain;                                     // bytes per cell
    int argument;                                     // its number; -1: static, -2: dynamic shared memory
    bool read_only;
    Cell* cells;
    bool contains(const char* p, size_t n) const { return p >= begin && p + n <= begin + size; }
};

// The first thing that went wrong. Python reads it: keep in step with launch.py.
struct Fault {
    uint64_t pc;                                      // where, as an offset into the kernel's library; 0: see `line`
    uint64_t earlier_pc;                              // of a race: the other access; else 0
    int32_t line;
    uint32_t block[3], thread[3];
    char text[400];
};

enum Schedule : int32_t { FORWARD, REVERSED, SEEDED };

// Keep in step with launch.py.
struct Request {
    void (*call)(void**);                             // cudasim_call_N of the kernel's library
    void (*touch)();                                  // its cudasim_touch: makes the thread-local segment exist
    void** arguments;
    uint32_t grid[3], block[3];
    uint64_t dynamic_shared, seed;
    int32_t schedule, check, arrays;
    char** begins;                                    // one entry per array argument, only when checking
    uint64_t *sizes, *grains;
    int32_t* numbers;
    uint8_t* read_only;
};

struct Run : Grid {
    const Request* request;
    Fault* fault;
    bool failed;

    Fiber* fibers;
    unsigned threads;                                 // per block
    void* scheduler;                                  // the stack pointer of the scheduler while a fiber runs
    std::mt19937_64 random;

    unsigned block_number, phase;
    unsigned finished, waiting;                       // threads that returned; threads at the block's barrier
    int barrier_line, barrier_votes;
    Barrier barrier_kind;
    unsigned alive[WARP];                             // per warp: lanes that have not returned
    std::vector<Meeting*> meetings[WARP];             // per warp: those that still wait for lanes
    std::deque<Meeting> meeting_store;
    std::vector<Meeting*> free_meetings;

    char* library;                                    // where the kernel's library is loaded
    std::vector<std::pair<char*, size_t>> segments;   // its parts: constants are read there
    char* static_shared;
    size_t static_shared_size;
    std::vector<Region> regions;                      // only when checking
};

inline Run* current_run() { return static_cast<Run*>(cudasim_grid); }
inline Fiber* current_fiber() { return static_cast<Fiber*>(cudasim_thread); }

void report(Run*, const Fiber*, const void* pc, int line, const char* format, ...)
    __attribute__((format(printf, 5, 6)));
void back_to_scheduler();                             // ends the turn of the running fiber
[[noreturn]] void stop();                             // ends the running fiber; after a report nothing runs any more
void check_meetings(Run*, unsigned warp);             // after a lane arrived or returned: who need not wait any longer
void run_block(Run*, uint64_t block);

}  // namespace cudasim
