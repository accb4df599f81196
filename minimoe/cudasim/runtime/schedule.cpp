// Runs the threads of a block in turn, until all have returned or something is wrong.
#include "fiber.h"
#include "run.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <numeric>

// rdi: where to save the own stack pointer; rsi: the other one. The six registers are those that a function must
// preserve (System V calling convention of x86-64).
asm(R"(
    .text
    .globl cudasim_switch_stack
    .type cudasim_switch_stack, @function
cudasim_switch_stack:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
    .size cudasim_switch_stack, .-cudasim_switch_stack
)");

namespace cudasim {

extern "C" {
__thread Thread* cudasim_thread;
__thread Grid* cudasim_grid;
}

constexpr char POISON = char(0xCB);                   // what shared memory holds before anybody writes
constexpr unsigned YIELD_ONE_IN = 4;                  // under a seed, one atomic in four lets other threads go first

void back_to_scheduler()
{
    cudasim_switch_stack(&current_fiber()->stack_pointer, current_run()->scheduler);
}

static void entry()
{
    current_run()->request->call(current_run()->request->arguments);
    stop();
}

void stop()
{
    current_fiber()->state = DONE;
    back_to_scheduler();
    __builtin_unreachable();
}

void report(Run* run, const Fiber* fiber, const void* pc, int line, const char* format, ...)
{
    if (run->failed) return;                          // the first fault is the one to look at
    run->failed = true;
    Fault& fault = *run->fault;
    fault.earlier_pc = 0;
    fault.pc = pc ? static_cast<const char*>(pc) - run->library : 0;
    fault.line = line;
    const dim3 &b = run->block_index, &t = fiber->index;
    const uint32_t block[3] = {b.x, b.y, b.z}, thread[3] = {t.x, t.y, t.z};
    memcpy(fault.block, block, sizeof block);
    memcpy(fault.thread, thread, sizeof thread);
    va_list values;
    va_start(values, format);
    vsnprintf(fault.text, sizeof fault.text, format, values);
    va_end(values);
}

extern "C" void cudasim_fail(const char* text, int line)
{
    report(current_run(), current_fiber(), nullptr, line, "%s", text);
    stop();
}

extern "C" void cudasim_maybe_yield()
{
    Run* run = current_run();
    if (run->request->schedule == SEEDED && run->random() % YIELD_ONE_IN == 0) back_to_scheduler();
}

// The order in which threads get their turn.
static void arrange(Run* run, std::vector<unsigned>& order)
{
    if (run->request->schedule == REVERSED) std::sort(order.begin(), order.end(), std::greater<>());
    if (run->request->schedule == SEEDED) std::shuffle(order.begin(), order.end(), run->random);
}

static void start_block(Run* run, uint64_t block)
{
    const Request& request = *run->request;
    const dim3 &grid = run->grid, &size = run->block;
    run->block_number = unsigned(block + 1);
    run->block_index = dim3(block % grid.x, block / grid.x % grid.y, block / grid.x / grid.y);
    run->finished = run->waiting = 0;
    run->phase = 1;
    std::fill(std::begin(run->alive), std::end(run->alive), 0u);
    for (unsigned i = 0; i < run->threads; i++) {
        Fiber& fiber = run->fibers[i];
        fiber.number = i;
        fiber.index = dim3(i % size.x, i / size.x % size.y, i / size.x / size.y);
        fiber.state = READY;
        fiber.epoch = 1;
        memset(fiber.known_epoch, 0, sizeof fiber.known_epoch);
        fiber.stack_pointer = new_stack(fiber.stack, entry);
        run->alive[i / WARP] |= 1u << i % WARP;
    }
    memset(run->static_shared, POISON, run->static_shared_size);
    memset(run->dynamic_shared, POISON, request.dynamic_shared);
}

// One turn: the fiber runs until it waits, yields or returns.
static void give_turn(Run* run, Fiber* fiber)
{
    cudasim_thread = fiber;
    cudasim_switch_stack(&run->scheduler, fiber->stack_pointer);
    if (stack_overflowed(fiber->stack))
        report(run, fiber, nullptr, 0, "stack overflow: local variables need more than %zu bytes", STACK_SIZE);
    if (fiber->state == DONE && !run->failed) {
        run->finished++;
        run->alive[fiber->number / WARP] &= ~(1u << fiber->number % WARP);
        check_meetings(run, fiber->number / WARP);
    }
}

static void open_barrier(Run* run)
{
    for (unsigned i = 0; i < run->threads; i++) {
        run->fibers[i].state = READY;
        run->fibers[i].votes = run->barrier_votes;
    }
    run->waiting = 0;
    run->phase++;
}

// Nobody can go on: a GPU would hang here, or worse.
static void report_deadlock(Run* run)
{
    unsigned returned = 0, at_barrier = 0, at_meeting = 0;
    const Fiber *barrier = nullptr, *meeting = nullptr;
    for (unsigned i = 0; i < run->threads; i++) {
        const Fiber& fiber = run->fibers[i];
        if (fiber.state == DONE) returned++;
        else if (fiber.state == AT_BARRIER) at_barrier++, barrier = &fiber;
        else at_meeting++, meeting = &fiber;
    }
    const Fiber* waits = meeting ? meeting : barrier;
    report(run, waits, nullptr, waits->line,
           "barrier divergence (a GPU would hang or misbehave): %u threads have returned, %u wait at __syncthreads "
           "(line %d), %u wait at a warp function (line %d)",
           returned, at_barrier, barrier ? barrier->line : 0, at_meeting, meeting ? meeting->line : 0);
}

void run_block(Run* run, uint64_t block)
{
    start_block(run, block);
    std::vector<unsigned> order(run->threads);
    std::iota(order.begin(), order.end(), 0u);
    arrange(run, order);
    while (!run->failed && run->finished < run->threads) {
        bool somebody_ran = false;
        for (unsigned i : order) {
            if (run->fibers[i].state != READY) continue;
            somebody_ran = true;
            give_turn(run, &run->fibers[i]);
            if (run->failed) return;
        }
        if (somebody_ran) continue;
        if (run->waiting < run->threads) return report_deadlock(run);
        open_barrier(run);
        arrange(run, order);
    }
}

}  // namespace cudasim
