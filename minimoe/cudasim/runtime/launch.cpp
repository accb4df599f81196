// The one function that Python calls: prepares a run, runs its blocks one after the other, answers 0 or 1 (a fault).
#include "fiber.h"
#include "run.h"

#include <algorithm>
#include <cstdlib>
#include <link.h>
#include <memory>
#include <numeric>
#include <sys/mman.h>

namespace cudasim {

constexpr unsigned MOST_THREADS = 1024;               // of a block; arguments.py enforces it, and the next limit
constexpr size_t MOST_DYNAMIC_SHARED = 227 << 10;

using Cells = std::unique_ptr<Cell, decltype(&free)>;
static Cells make_cells(size_t count)                 // calloc: pages that nobody touches cost nothing
{
    return Cells(static_cast<Cell*>(calloc(count, sizeof(Cell))), free);
}

// Finds the library that contains `touch`: its address, its parts and this thread's copy of its thread-local segment.
static int describe_library(dl_phdr_info* info, size_t, void* data)
{
    Run* run = static_cast<Run*>(data);
    char* base = reinterpret_cast<char*>(info->dlpi_addr);
    char* touch = reinterpret_cast<char*>(run->request->touch);
    std::vector<std::pair<char*, size_t>> segments;
    bool found = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const auto& header = info->dlpi_phdr[i];
        if (header.p_type != PT_LOAD) continue;
        segments.push_back({base + header.p_vaddr, header.p_memsz});
        found |= touch >= segments.back().first && touch < segments.back().first + header.p_memsz;
    }
    if (!found) return 0;                             // 0: go on with the next library
    run->library = base;
    run->segments = segments;
    run->static_shared = static_cast<char*>(info->dlpi_tls_data);
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_TLS) run->static_shared_size = info->dlpi_phdr[i].p_memsz;
    return 1;
}

static void make_fibers(Run* run)
{
    // one more than needed: what overflows the first fiber's stack lands in it
    static char* stacks = static_cast<char*>(mmap(nullptr, (MOST_THREADS + 1) * STACK_SIZE, PROT_READ | PROT_WRITE,
                                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    static Fiber fibers[MOST_THREADS];
    for (unsigned i = 0; i < run->threads; i++) fibers[i].stack = stacks + (i + 1) * STACK_SIZE;
    run->fibers = fibers;
}

// The memory that the kernel may touch.
static std::vector<Cells> make_regions(Run* run)
{
    const Request& r = *run->request;
    std::vector<Cells> owned;
    auto add = [&](char* begin, size_t size, size_t grain, int argument, bool read_only) {
        owned.push_back(make_cells(size / grain + 1));
        run->regions.push_back({begin, size, grain, argument, read_only, owned.back().get()});
    };
    for (int i = 0; i < r.arrays; i++) add(r.begins[i], r.sizes[i], r.grains[i], r.numbers[i], r.read_only[i]);
    add(run->static_shared, run->static_shared_size, 1, -1, false);
    add(static_cast<char*>(run->dynamic_shared), r.dynamic_shared, 1, -2, false);
    return owned;
}

static void run_blocks(Run* run)
{
    uint64_t blocks = uint64_t(run->grid.x) * run->grid.y * run->grid.z;
    std::vector<uint64_t> order;
    if (run->request->schedule == SEEDED) {
        order.resize(blocks);
        std::iota(order.begin(), order.end(), uint64_t(0));
        std::shuffle(order.begin(), order.end(), run->random);
    }
    for (uint64_t i = 0; i < blocks && !run->failed; i++) {
        if (run->request->schedule == FORWARD) run_block(run, i);
        if (run->request->schedule == REVERSED) run_block(run, blocks - 1 - i);
        if (run->request->schedule == SEEDED) run_block(run, order[i]);
    }
}

extern "C" int cudasim_launch(const Request* request, Fault* fault)
{
    alignas(128) static char dynamic_shared[MOST_DYNAMIC_SHARED];
    auto run = std::make_unique<Run>();
    run->request = request;
    run->fault = fault;
    run->grid = dim3(request->grid[0], request->grid[1], request->grid[2]);
    run->block = dim3(request->block[0], request->block[1], request->block[2]);
    run->threads = run->block.x * run->block.y * run->block.z;
    run->dynamic_shared = dynamic_shared;
    run->random.seed(request->seed);
    request->touch();
    dl_iterate_phdr(describe_library, run.get());
    make_fibers(run.get());
    std::vector<Cells> cells;
    if (request->check) cells = make_regions(run.get());

    cudasim_grid = run.get();
    run_blocks(run.get());
    cudasim_grid = nullptr;
    cudasim_thread = nullptr;
    return run->failed;
}

}  // namespace cudasim
