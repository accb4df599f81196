// The access checker. g++ -fsanitize=thread puts a call of __tsan_read4, __tsan_write8 and so on before every load and
// store of a kernel. Those functions usually come from a library that looks for races between real threads; here they
// are ours, and know which CUDA thread is running.
//
// Every access must lie inside an array argument, shared memory, or the thread's own stack. For each cell of memory the
// last write and two of the last reads are remembered. Two accesses of one cell by different threads, at least one of
// them a write, are a race unless something orders them: a block barrier, a __syncwarp, or both being atomic. Blocks
// are never ordered. All of this is independent of the schedule: the fault is seen even where the result is right.
#include "fiber.h"
#include "run.h"

#include <cstdio>

namespace cudasim {

enum Kind { READ, WRITE };
enum Order { ORDINARY, ATOMIC, VOLATILE };            // volatile: ordered in global memory, as old kernels expect

static bool same_warp(const Access& a, const Access& b)
{
    return a.block == b.block && (a.thread - 1) / WARP == (b.thread - 1) / WARP;
}

static bool race(const Access& earlier, const Access& now, const Fiber* fiber)
{
    if (!earlier.thread || (earlier.atomic && now.atomic)) return false;
    if (earlier.block != now.block) return true;
    if (earlier.thread == now.thread || earlier.phase != now.phase) return false;
    return !same_warp(earlier, now) || earlier.epoch > fiber->known_epoch[(earlier.thread - 1) % WARP];
}

// Two reads stay: the last one, and one of another warp or block if there is any. Whoever writes later, one of the two
// is another thread's.
static void remember_read(Cell& cell, const Access& now)
{
    Access &last = cell.reads[0], &other = cell.reads[1];
    bool own = last.thread == now.thread && last.block == now.block;
    bool other_is_fresh = other.block != now.block || other.phase == now.phase;
    bool other_counts = other.thread && !same_warp(other, now) && other_is_fresh;
    if (last.thread && !own && (!same_warp(last, now) || !other_counts)) other = last;
    last = now;
}

static void name_region(const Region& region, char* text, size_t size)
{
    if (region.argument >= 0) snprintf(text, size, "argument %d", region.argument);
    else snprintf(text, size, region.argument == -1 ? "static shared memory" : "dynamic shared memory");
}

static void check_cell(Run* run, Fiber* fiber, Cell& cell, Kind kind, const Access& now, const Region& region,
                       size_t offset, void* pc)
{
    const Access* other = nullptr;
    if (race(cell.write, now, fiber)) other = &cell.write;
    if (kind == WRITE)
        for (const Access& read : cell.reads)
            if (race(read, now, fiber)) other = &read;
    if (other) {
        char where[40];
        name_region(region, where, sizeof where);
        report(run, fiber, pc, 0,
               "race on %s, byte %zu: this %s and an earlier %s by thread %u of block %u have no barrier between them",
               where, offset, kind == WRITE ? "write" : "read", other == &cell.write ? "write" : "read",
               other->thread - 1, other->block - 1);
        run->fault->earlier_pc = other->pc;
        stop();
    }
    if (kind == READ || now.atomic) remember_read(cell, now);
    if (kind == WRITE) cell.write = now;
}

static void check_shared(Run* run, Fiber* fiber, Cell& cell, Kind kind, const Access& now, const Region& region,
                         size_t offset, void* pc)
{
    if (cell.block != now.block) cell = Cell{{}, {}, now.block};        // what an earlier block left does not count
    if (!cell.write.thread && (kind == READ || now.atomic)) {
        char where[40];
        name_region(region, where, sizeof where);
        report(run, fiber, pc, 0, "read of %s, byte %zu, that no thread of this block has written", where, offset);
        stop();
    }
    check_cell(run, fiber, cell, kind, now, region, offset, pc);
}

static void report_out_of_bounds(Run* run, Fiber* fiber, const char* p, size_t size, Kind kind, void* pc)
{
    if (p < fiber->stack && p + STACK_SIZE >= fiber->stack) {
        report(run, fiber, pc, 0, "stack overflow: local variables need more than %zu bytes", STACK_SIZE);
        stop();
    }
    const Region* nearest = nullptr;
    size_t best = 1 << 20;                            // farther than that from everything: no use in naming one
    for (const Region& region : run->regions) {
        const char* end = region.begin + region.size;
        size_t distance = p < region.begin ? region.begin - p : p > end ? p - end : 0;
        if (distance < best) best = distance, nearest = &region;
    }
    const char* what = kind == WRITE ? "write" : "read";
    if (nearest) {
        char where[40];
        name_region(*nearest, where, sizeof where);
        report(run, fiber, pc, 0, "out-of-bounds %s of %zu bytes at byte %td of %s, which has %zu bytes", what, size,
               p - nearest->begin, where, nearest->size);
    } else {
        report(run, fiber, pc, 0, "out-of-bounds %s of %zu bytes, outside every array", what, size);
    }
    stop();
}

template <class T> static bool inside(const char* p, const T* object, size_t count = 1)
{
    return p >= reinterpret_cast<const char*>(object) && p < reinterpret_cast<const char*>(object + count);
}

static bool in_constants(const Run* run, const char* p, size_t size)
{
    for (const auto& [begin, length] : run->segments)
        if (p >= begin && p + size <= begin + length) return true;
    return false;
}

static void access(const char* p, size_t size, Kind kind, Order order, void* pc)
{
    Run* run = current_run();
    Fiber* fiber = current_fiber();
    if (!fiber || inside(p, fiber->stack, STACK_SIZE)) return;          // no fiber: Python asks for a signature
    if (inside(p, run) || inside(p, run->fibers, run->threads)) return;             // threadIdx and its friends,
    if (inside(p, &cudasim_thread) || inside(p, &cudasim_grid)) return;             // which are read through these

    const Region* found = nullptr;                    // of arrays that overlap always the same, so that races show
    for (const Region& region : run->regions)
        if (region.contains(p, size) && (!found || found->read_only)) found = &region;
    if (!found) {
        if (kind == READ && in_constants(run, p, size)) return;
        report_out_of_bounds(run, fiber, p, size, kind, pc);
    }
    if (kind == WRITE && found->read_only) {
        report(run, fiber, pc, 0, "write to argument %d, which is read-only", found->argument);
        stop();
    }
    bool shared = found->argument < 0;
    Access now{fiber->number + 1, run->block_number, run->phase, fiber->epoch,
               uint32_t(static_cast<char*>(pc) - run->library), order == ATOMIC || (order == VOLATILE && !shared)};
    for (const char* at = p; at < p + size; at += found->grain) {
        Cell& cell = found->cells[(at - found->begin) / found->grain];
        (shared ? check_shared : check_cell)(run, fiber, cell, kind, now, *found, at - found->begin, pc);
    }
}

extern "C" void cudasim_atomic_access(const volatile void* address, unsigned size, void* pc)
{
    access(const_cast<const char*>(static_cast<const volatile char*>(address)), size, WRITE, ATOMIC, pc);
}

extern "C" void cudasim_range_access(const void* address, size_t size, bool write, void* pc)
{
    if (size) access(static_cast<const char*>(address), size, write ? WRITE : READ, ORDINARY, pc);
}

#define CALLER __builtin_return_address(0)
#define HOOKS(SIZE)                                                                                     \
    void __tsan_read##SIZE(char* p) { access(p, SIZE, READ, ORDINARY, CALLER); }                        \
    void __tsan_write##SIZE(char* p) { access(p, SIZE, WRITE, ORDINARY, CALLER); }                      \
    void __tsan_unaligned_read##SIZE(char* p) { access(p, SIZE, READ, ORDINARY, CALLER); }              \
    void __tsan_unaligned_write##SIZE(char* p) { access(p, SIZE, WRITE, ORDINARY, CALLER); }            \
    void __tsan_volatile_read##SIZE(char* p) { access(p, SIZE, READ, VOLATILE, CALLER); }               \
    void __tsan_volatile_write##SIZE(char* p) { access(p, SIZE, WRITE, VOLATILE, CALLER); }

extern "C" {
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
void __tsan_read_range(char* p, size_t size) { cudasim_range_access(p, size, false, CALLER); }
void __tsan_write_range(char* p, size_t size) { cudasim_range_access(p, size, true, CALLER); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
}

}  // namespace cudasim
