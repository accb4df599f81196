// Where threads wait for each other: the barrier of a block, and the meetings of the lanes of a warp.
// To wait is to mark the own fiber as waiting and to end its turn; the last to arrive marks the others as ready.
#include "run.h"

#include <algorithm>

namespace cudasim {

// One source line is one barrier: CUDA leaves undefined what happens when threads of a block wait at different ones.
extern "C" int cudasim_barrier(int line, Barrier kind, int vote)
{
    Run* run = current_run();
    Fiber* fiber = current_fiber();
    if (run->waiting && (run->barrier_line != line || run->barrier_kind != kind)) {
        report(run, fiber, nullptr, line, "barrier divergence: __syncthreads here while other threads wait at line %d",
               run->barrier_line);
        stop();
    }
    if (!run->waiting) run->barrier_votes = 0;
    run->barrier_line = line;
    run->barrier_kind = kind;
    run->barrier_votes += vote;
    run->waiting++;
    fiber->line = line;
    fiber->state = AT_BARRIER;
    back_to_scheduler();                              // which opens the barrier when all threads are here
    return fiber->votes;
}

static Meeting* find_or_open(Run* run, unsigned warp, unsigned mask, Operation operation, unsigned own)
{
    for (Meeting* open : run->meetings[warp])
        if (open->mask == mask && open->operation == operation && !(open->arrived & own)) return open;
    if (run->free_meetings.empty()) run->free_meetings.push_back(&run->meeting_store.emplace_back());
    Meeting* meeting = run->free_meetings.back();
    run->free_meetings.pop_back();
    meeting->mask = mask;
    meeting->operation = operation;
    meeting->arrived = 0;
    run->meetings[warp].push_back(meeting);
    return meeting;
}

extern "C" Meeting* cudasim_meet(unsigned mask, Operation operation, uint64_t value, int line)
{
    Run* run = current_run();
    Fiber* fiber = current_fiber();
    unsigned warp = fiber->number / WARP, lane = fiber->number % WARP, own = 1u << lane;
    if (!(mask & own)) {
        report(run, fiber, nullptr, line, "warp function: the calling lane %u is not in its mask 0x%08x", lane, mask);
        stop();
    }
    Meeting* meeting = find_or_open(run, warp, mask, operation, own);
    meeting->arrived |= own;
    meeting->value[lane] = value;
    fiber->line = line;
    fiber->state = AT_MEETING;
    check_meetings(run, warp);
    if (run->failed) stop();
    if (fiber->state != READY) back_to_scheduler();
    return meeting;
}

extern "C" void cudasim_leave(Meeting* meeting)
{
    if (--meeting->still_inside == 0) current_run()->free_meetings.push_back(meeting);
}

// __syncwarp orders memory: afterwards every lane knows what each of the others knew and did. The checker asks for it.
// (These are vector clocks; one counter per warp would be wrong as soon as two halves of a warp synchronise apart.)
static void share_knowledge(Run* run, unsigned warp, unsigned arrived)
{
    Fiber* lanes = run->fibers + warp * WARP;
    unsigned known[WARP] = {};
    for (unsigned lane = 0; lane < WARP; lane++) {
        if (!(arrived >> lane & 1)) continue;
        for (unsigned i = 0; i < WARP; i++) known[i] = std::max(known[i], lanes[lane].known_epoch[i]);
        known[lane] = lanes[lane].epoch;
    }
    for (unsigned lane = 0; lane < WARP; lane++) {
        if (!(arrived >> lane & 1)) continue;
        std::copy(known, known + WARP, lanes[lane].known_epoch);
        lanes[lane].epoch++;
    }
}

void check_meetings(Run* run, unsigned warp)
{
    auto& meetings = run->meetings[warp];
    const unsigned alive = run->alive[warp];
    for (size_t i = 0; i < meetings.size();) {
        Meeting* meeting = meetings[i];
        if (meeting->mask & alive & ~meeting->arrived) {
            i++;                                      // somebody is still to come
            continue;
        }
        if (unsigned absent = meeting->mask & ~alive) {
            const Fiber& caller = run->fibers[warp * WARP + __builtin_ctz(meeting->arrived)];
            report(run, &caller, nullptr, caller.line,
                   "warp function: mask 0x%08x names lanes 0x%08x that have returned or do not exist", meeting->mask,
                   absent);
            return;
        }
        if (meeting->operation == SYNCWARP && run->request->check) share_knowledge(run, warp, meeting->arrived);
        for (unsigned lane = 0; lane < WARP; lane++)
            if (meeting->arrived >> lane & 1) run->fibers[warp * WARP + lane].state = READY;
        meeting->still_inside = __builtin_popcount(meeting->arrived);
        meetings[i] = meetings.back();
        meetings.pop_back();
    }
}

}  // namespace cudasim
