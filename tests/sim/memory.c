/* The head before each block, and sums by owner and by place. */
#include "tests/sim/memory.h"

#include <sqlite3.h>

#define SITES 1024u /* places in the code that allocate; there are about 200 */
#define SITE_OTHERS 0u
#define SITE_SQLITE 1u
#define TOLD_MAX 5u

void *__real_ses_alloc(size_t count, size_t size);
void *__real_ses_realloc(void *old, size_t count, size_t size);
void __real_ses_free(void *p);
void *__wrap_ses_alloc(size_t count, size_t size);
void *__wrap_ses_realloc(void *old, size_t count, size_t size);
char *__wrap_ses_strdup(const char *text);
void __wrap_ses_free(void *p);
extern const char __executable_start[];

struct head {
    uint64_t bytes;
    uint32_t owner;
    uint32_t site;
};
_Static_assert(sizeof(struct head) == 16, "what stands behind it is aligned as malloc does");

static struct {
    uint64_t live, peak;
    struct head largest; /* block since the peak began anew */
    uint64_t sites[SITES];
} sums[SIM_OWNERS];
static const void *sites[SITES];
static uint32_t now_owner;

uint32_t sim_owner_swap(uint32_t owner)
{
    const uint32_t before = now_owner;
    now_owner = owner;
    return before;
}

/* ---- counting ---- */
static uint32_t site_of(const void *caller)
{
    uint32_t at = (uint32_t)(((uintptr_t)caller * 0x9e3779b97f4a7c15u) >> 54);
    for (uint32_t i = 0; i < SITES; i++, at = (at + 1) % SITES) {
        if (at > SITE_SQLITE && sites[at] == NULL) {
            sites[at] = caller;
        }
        if (at > SITE_SQLITE && sites[at] == caller) {
            return at;
        }
    }
    return SITE_OTHERS;
}

static void count(const struct head *head)
{
    if (head->owner != SIM_WORLD) {
        sums[head->owner].live += head->bytes;
        sums[head->owner].sites[head->site] += head->bytes;
        if (sums[head->owner].live > sums[head->owner].peak) {
            sums[head->owner].peak = sums[head->owner].live;
        }
        if (head->bytes > sums[head->owner].largest.bytes) {
            sums[head->owner].largest = *head;
        }
    }
}

static void discount(const struct head *head)
{
    if (head->owner != SIM_WORLD) {
        sums[head->owner].live -= head->bytes;
        sums[head->owner].sites[head->site] -= head->bytes;
    }
}

/* ---- blocks ---- */
static struct head *head_of(void *p)
{
    return (struct head *)p - 1;
}

/* `old` is counted and `grown`, its successor, not yet. The successor is his who asks now. */
static void *begin(struct head *block, size_t bytes, uint32_t site)
{
    if (block == NULL) {
        return NULL;
    }
    *block = (struct head){.bytes = bytes, .owner = now_owner, .site = site};
    count(block);
    return block + 1;
}

static size_t product(size_t count, size_t size)
{
    size_t bytes;
    return __builtin_mul_overflow(count, size, &bytes) ? SIZE_MAX / 2 : bytes;
}

static uint32_t site_now(const void *caller)
{
    return now_owner != SIM_WORLD ? site_of(caller) : SITE_OTHERS;
}

static void *grow(void *old, size_t bytes, uint32_t site)
{
    struct head *head = head_of(old);
    const struct head before = *head;
    struct head *block = __real_ses_realloc(head, sizeof *head + bytes, 1);
    if (block != NULL) {
        discount(&before);
    }
    return begin(block, bytes, site);
}

void *__wrap_ses_alloc(size_t count, size_t size)
{
    const size_t bytes = product(count, size);
    return begin(__real_ses_alloc(sizeof(struct head) + bytes, 1), bytes,
                 site_now(__builtin_return_address(0)));
}

void *__wrap_ses_realloc(void *old, size_t count, size_t size)
{
    const size_t bytes = product(count, size);
    const uint32_t site = site_now(__builtin_return_address(0));
    return old != NULL
               ? grow(old, bytes, site)
               : begin(__real_ses_realloc(NULL, sizeof(struct head) + bytes, 1), bytes, site);
}

char *__wrap_ses_strdup(const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = begin(__real_ses_alloc(sizeof(struct head) + bytes, 1), bytes,
                       site_now(__builtin_return_address(0)));
    if (copy != NULL) {
        memcpy(copy, text, bytes);
    }
    return copy;
}

void __wrap_ses_free(void *p)
{
    if (p != NULL) {
        discount(head_of(p));
        __real_ses_free(head_of(p));
    }
}

/* ---- SQLite ---- */
static void *sql_alloc(int bytes)
{
    return begin(__real_ses_realloc(NULL, sizeof(struct head) + (size_t)bytes, 1), (size_t)bytes,
                 SITE_SQLITE);
}

static void *sql_realloc(void *old, int bytes)
{
    return grow(old, (size_t)bytes, SITE_SQLITE);
}

static int sql_size(void *p)
{
    return p != NULL ? (int)head_of(p)->bytes : 0;
}

static int sql_round(int bytes)
{
    return (bytes + 7) & ~7;
}

static int sql_init(void *cookie)
{
    (void)cookie;
    return SQLITE_OK;
}

static void sql_shutdown(void *cookie)
{
    (void)cookie;
}

void sim_memory_start(void)
{
    static bool started;
    static const sqlite3_mem_methods methods = {.xMalloc = sql_alloc,
                                                .xFree = __wrap_ses_free,
                                                .xRealloc = sql_realloc,
                                                .xSize = sql_size,
                                                .xRoundup = sql_round,
                                                .xInit = sql_init,
                                                .xShutdown = sql_shutdown};
    if (!started) {
        started = true;
        SES_ASSERT(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) == SQLITE_OK);
    }
}

/* ---- asking ---- */
uint64_t sim_memory_live(uint32_t owner)
{
    return sums[owner].live;
}

uint64_t sim_memory_sqlite(uint32_t owner)
{
    return sums[owner].sites[SITE_SQLITE];
}

uint64_t sim_memory_peak(uint32_t owner)
{
    return sums[owner].peak;
}

void sim_memory_peak_again(uint32_t owner)
{
    sums[owner].peak = sums[owner].live;
    sums[owner].largest = (struct head){0};
}

static uint32_t most_of(uint32_t owner, const bool told[SITES])
{
    uint32_t best = SITE_OTHERS;
    for (uint32_t i = 0; i < SITES; i++) {
        if (!told[i] && (told[best] || sums[owner].sites[i] > sums[owner].sites[best])) {
            best = i;
        }
    }
    return best;
}

static size_t tell(char *out, size_t cap, uint64_t bytes, uint32_t site)
{
    char place[32] = "elsewhere";
    if (site == SITE_SQLITE) {
        memcpy(place, "SQLite", sizeof "SQLite");
    } else if (site != SITE_OTHERS) { /* of the call, not what follows it */
        (void)snprintf(place, sizeof place, "0x%tx",
                       (const char *)sites[site] - __executable_start - 1);
    }
    const int len = snprintf(out, cap, "%" PRIu64 " from %s", bytes, place);
    return len > 0 && (size_t)len < cap ? (size_t)len : 0;
}

void sim_memory_tell(char *out, size_t cap, uint32_t owner)
{
    bool told[SITES] = {0};
    const struct head *block = &sums[owner].largest;
    size_t at = tell(out, cap, block->bytes, block->site);
    for (uint32_t n = 0; n < TOLD_MAX; n++) {
        const uint32_t i = most_of(owner, told);
        if (sums[owner].sites[i] == 0 || cap - at < 3) {
            break;
        }
        at += (size_t)snprintf(out + at, cap - at, n > 0 ? ", " : "; all in all ");
        told[i] = true;
        at += at < cap ? tell(out + at, cap - at, sums[owner].sites[i], i) : 0;
    }
}
