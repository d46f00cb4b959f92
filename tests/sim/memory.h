/* memory: whose the heap's bytes are. The linker puts memory.c before ses_alloc and its like
 * (--wrap), and SQLite allocates through it, too: each block has a head that says how long it is,
 * whose, and who asked for it. Whose follows from where the simulator is: every door into a node's
 * code opens with SIM_AS(sim_owner_of(...)), every door out of it with SIM_AS(SIM_WORLD). Not
 * counted is what OpenSSL, libsodium and jansson ask for: a daemon has nothing of theirs that
 * grows. oracle_memory.c judges. */
#ifndef SES_TESTS_SIM_MEMORY_H
#define SES_TESTS_SIM_MEMORY_H

#include "tests/sim/sim.h"

#define SIM_WORLD 0u /* the simulator, the chain and people */
#define SIM_OWNERS (SIM_NODES_MAX + 1u)

/* Whose what is allocated in this block is. */
#define SIM_AS(owner)                                                                              \
    __attribute__((cleanup(sim_owner_back))) const uint32_t owner_before = sim_owner_swap(owner)

static inline uint32_t sim_owner_of(const struct sim *s, uint32_t host)
{
    return host < s->node_cnt ? host + 1 : SIM_WORLD;
}
/* Returns the owner that was. */
uint32_t sim_owner_swap(uint32_t owner);
static inline void sim_owner_back(const uint32_t *before)
{
    (void)sim_owner_swap(*before);
}
/* Before the first use of SQLite in this process. */
void sim_memory_start(void);
/* What is allocated and not freed. */
uint64_t sim_memory_live(uint32_t owner);
/* SQLite's part of it. */
uint64_t sim_memory_sqlite(uint32_t owner);
/* The most that it was, and the other begins anew. */
uint64_t sim_memory_peak(uint32_t owner);
void sim_memory_peak_again(uint32_t owner);
/* The largest block since then, and who has asked for the most of all that is there: "bytes from
 * place", for addr2line. */
void sim_memory_tell(char *out, size_t cap, uint32_t owner);

#endif
