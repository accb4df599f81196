// The stable counting sort of assignments by expert, and the token of every assignment.
// N tokens, A assignments, E experts, S assignments that are kept.  expert, keep, inv, token: (A).  perm: (S).
// row_ptr: (N + 1), the first assignment of every token.
//
// The A assignments are cut into tiles of `tile`, and the sort has three steps:
//   1. rank_in_tile counts the assignments of every expert in every tile, count (E, tiles), and gives each of them its
//      rank among those of its expert in its tile;
//   2. the exclusive sum over count, expert by expert and in it tile by tile, is where each of these groups starts:
//      start (E * tiles + 1), made by the array module's cumsum;
//   3. place_assignments adds start and rank: the sorted row of every assignment.
// So rows of one expert keep the order of their assignments, whatever order the threads run in.

// A warp takes a tile, 32 neighbours at a time. Lanes with the same expert find each other by a match; how many of them
// stand on lower lanes, and how many came in earlier turns, is the rank. `count` must hold zeros; has_keep 0: all stay.
extern "C" __global__ void rank_in_tile(const int* __restrict__ expert, const bool* __restrict__ keep, int has_keep,
                                        int assignments, int tile, int tiles, int* __restrict__ count,
                                        int* __restrict__ inv)
{
    int lane = threadIdx.x, first = blockIdx.x * tile, end = min(assignments, first + tile);
    for (int turn = first; turn < end; turn += 32) {
        int a = turn + lane;
        bool kept = a < end && (!has_keep || keep[a]);
        int e = kept ? expert[a] : -1;
        unsigned same = __match_any_sync(0xffffffffu, e);
        int rank = __popc(same & ((1u << lane) - 1));
        size_t counter = kept ? (size_t)e * tiles + blockIdx.x : 0;
        int before = kept ? count[counter] : 0;
        __syncwarp();                                 // all have read before one writes
        if (kept && rank == 0) count[counter] = before + __popc(same);
        if (a < end) inv[a] = kept ? before + rank : -1;
        __syncwarp();                                 // written before the next turn reads
    }
}

// inv holds the ranks and -1 for dropped ones, and gets the sorted rows. A thread takes an assignment.
extern "C" __global__ void place_assignments(const int* __restrict__ expert, const int* __restrict__ start,
                                             int assignments, int tile, int tiles, int* __restrict__ inv,
                                             int* __restrict__ perm)
{
    int a = blockIdx.x * blockDim.x + threadIdx.x;
    if (a >= assignments) return;
    int rank = inv[a];
    if (rank < 0) return;
    int row = start[(size_t)expert[a] * tiles + a / tile] + rank;
    inv[a] = row;
    perm[row] = a;
}

// A thread takes a token and writes its number to its assignments.
extern "C" __global__ void token_of_assignment(const int* __restrict__ row_ptr, int tokens, int* __restrict__ token)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= tokens) return;
    for (int a = row_ptr[i]; a < row_ptr[i + 1]; a++) token[a] = i;
}
