/* A node that comes back with an empty disk beside the speed of its link, in the same run.
 *
 *     bench_catchup [MEGABYTES [RECORD_BYTES [MBIT ...]]]     200, 8192, and 100 1000 0 (no limit)
 *
 * Three members hold the same records in the segments of a day; a fourth joins behind a link of a
 * given speed and 20 ms round trip. Each member is a process with the real host (TLS, yamux), store
 * and daemon; only the chain is a table in memory. "raw" is one TCP connection over the same link,
 * before and after.
 * "bulk" is the rate of records' bytes from 5 % to 95 % of what came; "whole" counts from the start
 * of the process until the node says that it has caught up. A link without a limit shows what the
 * processors of this machine can do, which all four members and the link share. */
#include <arpa/inet.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/link.h"
#include "daemon/daemon.h"

#define NODES 4u  /* 0 joins */
#define RAW NODES /* the port of the bare connection */
#define SEGMENTS 24u
#define TTL_CLASS 3u
#define INBOXES 2000u
#define PUTS_MAX 512u
#define EPOCH 5u
#define HOUR_S 3600u
#define DELAY_NS 10000000u
#define LOOK_MS 10u
#define WAIT_S 600u
#define RAW_S 2u /* of each bare measurement */

struct result {         /* of the joining node */
    double bulk, whole; /* bytes of records a second */
    double cpu_s;
    uint64_t wire_bytes, bulk_records, records;
};
struct shared {
    _Atomic bool caught_up[NODES];
    struct result result;
};
struct common { /* drawn before the processes part */
    struct shared *shared;
    struct link *link;
    char dir[64];
    uint64_t record_cnt;
    uint32_t record_bytes;
    uint32_t hour; /* the newest with records */
    struct ses_chain_params params;
    struct ses_ed25519_seed peer_seeds[NODES];
    struct ses_dsa_private *keys[NODES];
    struct ses_node_id ids[NODES];
    struct ses_map map;
    struct ses_map_node rows[NODES];
};
struct node {
    const struct common *c;
    uint32_t index;
    struct ses_uv *uv;
    const struct ses_loop *loop;
    struct ses_disk disk;
    struct ses_store *store;
    struct ses_net *net;
    struct ses_daemon *daemon;
    struct ses_daemon_status status;
    uint64_t put_cnt, done_cnt;
    uint64_t began_ns, five_ns, five_bytes, most_ns, most_bytes;
};

static const struct ses_log log_none = {.level = SES_LOG_ERROR};

/* ---- the chain: a table ---- */
struct asked {
    struct node *node;
    uint64_t since;
    ses_chain_head_fn *on_head;
    ses_chain_registry_fn *on_registry;
    void *cookie;
};

static void answer_head(void *cookie)
{
    struct asked *a = cookie;
    const struct ses_note note = {{0}};
    const struct ses_chain_head head = {.chain_id = a->node->c->params.chain_id,
                                        .height = 1000,
                                        .timestamp = (uint64_t)time(NULL),
                                        .epoch = EPOCH};
    a->on_head(a->cookie, SES_OK, &head, &note);
    ses_free(a);
}

static void answer_registry(void *cookie)
{
    struct asked *a = cookie;
    const struct ses_map *map = &a->node->c->map;
    const struct ses_note note = {{0}};
    struct ses_chain_registry r = {.header = {.epoch = map->epoch,
                                              .seed = map->seed,
                                              .root = map->registry_root,
                                              .num_swarms = map->num_swarms}};
    if (a->since == UINT64_MAX) {
        r.rows = ses_alloc(NODES, sizeof *r.rows);
        MUST(r.rows != NULL ? SES_OK : SES_ERR_MEMORY);
        memcpy(r.rows, map->nodes, NODES * sizeof *r.rows);
        r.row_cnt = NODES;
    }
    a->on_registry(a->cookie, SES_OK, &r, &note);
    ses_free(r.rows);
    ses_free(a);
}

static enum ses_err ask(struct node *node, const struct asked *asked, void (*answer)(void *cookie))
{
    struct ses_timer *timer;
    struct asked *a = ses_alloc(1, sizeof *a);
    SES_REQUIRE(a != NULL, SES_ERR_MEMORY);
    *a = *asked;
    a->node = node;
    return node->loop->timer_start(node->loop->ctx, &timer, 1, answer, a);
}

static enum ses_err chain_head(void *ctx, ses_chain_head_fn *done, void *cookie)
{
    return ask(ctx, &(struct asked){.on_head = done, .cookie = cookie}, answer_head);
}

static enum ses_err chain_registry(void *ctx, uint64_t since, ses_chain_registry_fn *done,
                                   void *cookie)
{
    return ask(ctx, &(struct asked){.on_registry = done, .since = since, .cookie = cookie},
               answer_registry);
}

static int by_id(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct ses_node_id));
}

static void common_rows(struct common *c)
{
    const struct ses_random *random = ses_random_system();
    for (uint32_t i = 0; i < NODES; i++) {
        struct ses_map_node *row = &c->rows[i];
        struct ses_dsa_seed seed;
        struct ses_multiaddr address;
        char text[64];
        ses_random_fill(random, &seed, sizeof seed);
        ses_random_fill(random, &c->peer_seeds[i], sizeof c->peer_seeds[i]);
        ses_random_fill(random, &row->keys.encryption_key, sizeof row->keys.encryption_key);
        ses_random_fill(random, &row->row.owner, sizeof row->row.owner);
        MUST(ses_dsa_private_new(&c->keys[i], &seed));
        ses_dsa_private_pk(c->keys[i], &row->keys.public_key);
        ses_node_id_of(&c->ids[i], &row->keys.public_key);
        ses_ed25519_pk(&row->endpoint.peer_key, &c->peer_seeds[i]);
        (void)snprintf(text, sizeof text, "/ip4/127.0.0.1/tcp/%u", c->link->ports[i]);
        MUST(ses_multiaddr_parse(&address, text));
        row->endpoint.addr_cnt = 1;
        row->endpoint.addrs[0].len = address.len;
        memcpy(row->endpoint.addrs[0].bytes, address.bytes, address.len);
        row->row.node_id = c->ids[i];
        row->row.status = SES_NODE_ACTIVE;
        row->row.prev_swarm = SES_SWARM_NONE;
    }
    qsort(c->rows, NODES, sizeof c->rows[0], by_id);
}

static void common_init(struct common *c)
{
    const uint64_t now_s = (uint64_t)time(NULL);
    struct ses_hash hashes[NODES];
    ses_params_defaults(&c->params.params);
    ses_random_fill(ses_random_system(), &c->params.chain_id, sizeof c->params.chain_id);
    ses_random_fill(ses_random_system(), &c->map.seed, sizeof c->map.seed);
    c->params.genesis_timestamp = now_s - EPOCH * HOUR_S - HOUR_S / 4;
    c->hour = (uint32_t)(now_s / HOUR_S) - 2;
    common_rows(c);
    c->map.epoch = EPOCH;
    c->map.num_swarms = 1;
    c->map.node_cnt = NODES;
    c->map.nodes = c->rows;
    for (uint32_t i = 0; i < NODES; i++) {
        ses_node_keys_hash(&c->rows[i].row.keys_hash, &c->rows[i].keys, &c->rows[i].endpoint);
        ses_registry_row_hash(&hashes[i], &c->rows[i].row);
    }
    ses_registry_root(&c->map.registry_root, &c->params.chain_id, EPOCH, &c->map.seed, 1, hashes,
                      NODES);
}

/* ---- a node ---- */
static void on_fatal(void *cookie, enum ses_err err, const char *what)
{
    (void)cookie;
    fprintf(stderr, "bench_catchup: the store failed: %s: %s\n", what, ses_err_text(err));
    _exit(1);
}

static enum ses_err find_node(void *cookie, const struct ses_node_id *node_id,
                              struct ses_dsa_pk *out)
{
    const struct node *node = cookie;
    SES_REQUIRE(node->daemon != NULL, SES_ERR_NOT_FOUND);
    return ses_daemon_find_node(node->daemon, node_id, out);
}

static void must_noted(enum ses_err err, const struct ses_note *note)
{
    if (err != SES_OK) {
        fprintf(stderr, "bench_catchup: %s: %s\n", ses_err_text(err), note->text);
        exit(1);
    }
}

static void open_store(struct node *n)
{
    const struct common *c = n->c;
    const struct ses_params *p = &c->params.params;
    struct ses_note note = {{0}};
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%u", c->dir, n->index);
    must_noted(ses_disk_open(&n->disk, path, &note), &note);
    const struct ses_store_params params = {.disk = &n->disk,
                                            .loop = n->loop,
                                            .random = ses_random_system(),
                                            .log = &log_none,
                                            .times = {.genesis_s = c->params.genesis_timestamp,
                                                      .epoch_s = p->epoch_seconds,
                                                      .settle_s = p->settle_seconds,
                                                      .freeze_s = p->freeze_seconds},
                                            .chain_id = c->params.chain_id,
                                            .node_id = c->ids[n->index],
                                            .key = c->keys[n->index],
                                            .inbox_quota_bytes = p->inbox_quota_bytes,
                                            .on_fatal = on_fatal};
    must_noted(ses_store_open(&n->store, &params, &note), &note);
}

static void open_net(struct node *n)
{
    const struct common *c = n->c;
    struct ses_note note = {{0}};
    struct ses_multiaddr bound;
    char text[SES_MULTIADDR_TEXT_MAX];
    const struct ses_host_params params = {.uv = n->uv,
                                           .random = ses_random_system(),
                                           .log = &log_none,
                                           .peer_seed = c->peer_seeds[n->index],
                                           .chain_id = c->params.chain_id,
                                           .is_node = true,
                                           .node_id = c->ids[n->index],
                                           .node_key = c->keys[n->index],
                                           .find_node = find_node,
                                           .find_cookie = n,
                                           .agent = "bench"};
    MUST(ses_host_new(&n->net, &params));
    must_noted(ses_host_listen(n->net, "/ip4/127.0.0.1/tcp/0", &bound, &note), &note);
    MUST(ses_multiaddr_text(text, sizeof text, bound.bytes, bound.len));
    atomic_store(&c->link->backends[n->index], (uint16_t)strtoul(strrchr(text, '/') + 1, NULL, 10));
}

static void open_daemon(struct node *n)
{
    struct ses_note note = {{0}};
    const struct ses_daemon_params params = {
        .loop = n->loop,
        .net = n->net,
        .store = n->store,
        .random = ses_random_system(),
        .log = &log_none,
        .chain = {.ctx = n, .head = chain_head, .registry = chain_registry},
        .chain_params = n->c->params,
        .node_id = n->c->ids[n->index],
        .key = n->c->keys[n->index],
        .capacity_bytes = (uint64_t)1 << 40,
        .agent = "bench",
    };
    must_noted(ses_daemon_new(&n->daemon, &params, &note), &note);
}

static void later(struct node *n, void (*fire)(void *cookie))
{
    struct ses_timer *timer;
    MUST(n->loop->timer_start(n->loop->ctx, &timer, LOOK_MS, fire, n));
}

static void node_begin(struct node *n, const struct common *c, uint32_t index)
{
    n->c = c;
    n->index = index;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    MUST(ses_uv_new(&n->uv));
    n->loop = ses_uv_loop(n->uv);
    open_store(n);
}

/* ---- the members that hold everything ---- */
static void on_planted(void *cookie, const struct ses_put_result *result);

/* The same bytes in each process: a counter, stirred. */
static void fill(uint8_t *out, size_t len, uint64_t number)
{
    uint64_t x = number * 0x9E3779B97F4A7C15u + 1;
    for (size_t i = 0; i < len; i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(out + i, &x, len - i < 8 ? len - i : 8);
    }
}

static void plant(struct node *n)
{
    static uint8_t payload[SES_PAYLOAD_MAX];
    uint8_t bytes[SES_RECORD_HEADER_BYTES];
    while (n->put_cnt < n->c->record_cnt && n->put_cnt - n->done_cnt < PUTS_MAX) {
        const uint64_t i = n->put_cnt++;
        const uint64_t hour = n->c->hour - i * SEGMENTS / n->c->record_cnt;
        struct ses_record_ids ids;
        struct ses_record_header header = {.kind = SES_RECORD_MESSAGE,
                                           .ns = SES_NS_INBOX,
                                           .ttl_class = TTL_CLASS,
                                           .ts_ms = (hour * HOUR_S + i % HOUR_S) * 1000};
        fill(header.inbox.bytes, sizeof header.inbox.bytes, i % INBOXES);
        fill(payload, n->c->record_bytes, INBOXES + i);
        ses_record_header_encode(bytes, &header);
        const struct ses_put put = {
            .record = {.header = bytes, .payload = payload, .payload_bytes = n->c->record_bytes},
            .ids = &ids,
            .on_done = on_planted,
            .cookie = n};
        MUST(ses_record_identify(&ids, &put.record));
        MUST(ses_store_put(n->store, &put));
    }
}

static void on_planted(void *cookie, const struct ses_put_result *result)
{
    struct node *n = cookie;
    MUST(result->err);
    if (++n->done_cnt == n->c->record_cnt) {
        ses_uv_stop(n->uv);
    } else if (n->put_cnt - n->done_cnt < PUTS_MAX / 2) {
        plant(n);
    }
}

static void look_source(void *cookie)
{
    struct node *n = cookie;
    ses_daemon_status(n->daemon, &n->status);
    atomic_store(&n->c->shared->caught_up[n->index], n->status.has_map && !n->status.partial);
    later(n, look_source);
}

static void be_source(const struct common *c, uint32_t index)
{
    static struct node n;
    node_begin(&n, c, index);
    MUST(ses_store_seal(n.store, 0)); /* as any store that was there for a while */
    plant(&n);
    ses_uv_run(n.uv);
    open_net(&n);
    open_daemon(&n);
    look_source(&n);
    ses_uv_run(n.uv);
}

/* ---- the member that joins ---- */
static double cpu_s(void)
{
    struct rusage use;
    MUST(getrusage(RUSAGE_SELF, &use) == 0 ? SES_OK : SES_ERR_IO);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void finish(struct node *n, uint64_t now_ns, const struct ses_store_stats *store)
{
    struct ses_host_stats host;
    struct result *r = &n->c->shared->result;
    ses_host_stats(n->net, &host);
    r->whole = (double)store->payload_bytes * 1e9 / (double)(now_ns - n->began_ns);
    r->bulk = (double)(n->most_bytes - n->five_bytes) * 1e9 / (double)(n->most_ns - n->five_ns);
    r->cpu_s = cpu_s();
    r->wire_bytes = host.bytes_in;
    r->bulk_records = ses_daemon_stats(n->daemon)->bulk_records;
    r->records = store->record_cnt;
    atomic_store(&n->c->shared->caught_up[0], true);
    _exit(0);
}

static void look_joiner(void *cookie)
{
    struct node *n = cookie;
    const uint64_t now_ns = ses_mono_ns();
    struct ses_store_stats store;
    const uint64_t all = n->c->record_cnt * n->c->record_bytes;
    ses_store_stats(n->store, &store);
    ses_daemon_status(n->daemon, &n->status);
    if (n->five_ns == 0 && store.payload_bytes > all / 20) {
        n->five_ns = now_ns;
        n->five_bytes = store.payload_bytes;
    }
    if (n->most_ns == 0 && store.payload_bytes > all / 20 * 19) {
        n->most_ns = now_ns;
        n->most_bytes = store.payload_bytes;
    }
    if (n->status.has_map && !n->status.partial) {
        finish(n, now_ns, &store);
    }
    later(n, look_joiner);
}

static void be_joiner(const struct common *c)
{
    static struct node n;
    n.began_ns = ses_mono_ns();
    node_begin(&n, c, 0);
    open_net(&n);
    open_daemon(&n);
    look_joiner(&n);
    ses_uv_run(n.uv);
}

/* ---- the bare connection ---- */
static void be_raw(int listener)
{
    static uint8_t bytes[65536];
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        const int fd = accept(listener, NULL, NULL);
        while (fd >= 0 && send(fd, bytes, sizeof bytes, MSG_NOSIGNAL) > 0) {
        }
        (void)close(fd);
    }
}

static int raw_listen(struct link *l)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    MUST(bind(fd, (const struct sockaddr *)(const void *)&at, len) == 0 && listen(fd, 8) == 0 &&
                 getsockname(fd, (struct sockaddr *)(void *)&at, &len) == 0
             ? SES_OK
             : SES_ERR_IO);
    atomic_store(&l->backends[RAW], ntohs(at.sin_port));
    return fd;
}

static double raw_rate(const struct common *c)
{
    static uint8_t bytes[65536];
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons(c->link->ports[RAW]),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    MUST(connect(fd, (const struct sockaddr *)(const void *)&to, sizeof to) == 0 ? SES_OK
                                                                                 : SES_ERR_IO);
    uint64_t from_ns = ses_mono_ns(), got = 0;
    const uint64_t warm_ns = from_ns + 500000000u, end_ns = warm_ns + RAW_S * UINT64_C(1000000000);
    for (bool warm = false; ses_mono_ns() < end_ns;) {
        const ssize_t n = read(fd, bytes, sizeof bytes);
        MUST(n > 0 ? SES_OK : SES_ERR_IO);
        got += (uint64_t)n;
        if (!warm && ses_mono_ns() >= warm_ns) {
            warm = true;
            from_ns = ses_mono_ns();
            got = 0;
        }
    }
    const double rate = (double)got * 1e9 / (double)(ses_mono_ns() - from_ns);
    (void)close(fd);
    return rate;
}

/* ---- the measuring process ---- */
static pid_t children[16];
static uint32_t child_cnt;

static pid_t child(void)
{
    (void)fflush(stdout);
    const pid_t pid = fork();
    MUST(pid >= 0 ? SES_OK : SES_ERR_MEMORY);
    if (pid > 0) {
        children[child_cnt++ % SES_COUNT(children)] = pid;
    }
    return pid;
}

static int unlink_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void wait_caught_up(const struct common *c, uint32_t index)
{
    const uint64_t end_ns = ses_mono_ns() + WAIT_S * UINT64_C(1000000000);
    while (!atomic_load(&c->shared->caught_up[index])) {
        if (ses_mono_ns() > end_ns) {
            fprintf(stderr, "bench_catchup: node %u does not catch up\n", index);
            exit(1);
        }
        (void)usleep(LOOK_MS * 1000);
    }
}

static void measure(struct common *c, uint64_t mbit)
{
    char path[128];
    const double all = (double)c->record_cnt * c->record_bytes;
    atomic_store(&c->link->bytes_per_s, mbit * 125000);
    atomic_store(&c->link->delay_ns, mbit > 0 ? DELAY_NS : 0);
    atomic_store(&c->shared->caught_up[0], false);
    const double before = raw_rate(c);
    const pid_t pid = child();
    if (pid == 0) {
        be_joiner(c);
    }
    wait_caught_up(c, 0);
    (void)waitpid(pid, NULL, 0);
    const double raw = (before + raw_rate(c)) / 2;
    const struct result *r = &c->shared->result;
    char name[32];
    (void)snprintf(name, sizeof name, mbit > 0 ? "%" PRIu64 " Mbit/s" : "no limit", mbit);
    printf("%-12s %8.1f %8.1f %6.0f %% %8.1f %6.0f %% %10.3f %8.2f   %" PRIu64 "%s\n", name,
           raw / 1e6, r->bulk / 1e6, 100 * r->bulk / raw, r->whole / 1e6, 100 * r->whole / raw,
           (double)r->wire_bytes / all, r->cpu_s * 1e9 / all, r->bulk_records,
           r->records == c->record_cnt ? "" : "  NOT ALL");
    atomic_store(&c->link->backends[0], 0);
    (void)snprintf(path, sizeof path, "%s/0", c->dir);
    (void)nftw(path, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
    if (r->records != c->record_cnt) {
        exit(1);
    }
}

static struct common common;

static void clean_up(void)
{
    for (uint32_t i = 0; i < child_cnt && i < SES_COUNT(children); i++) {
        (void)kill(children[i], SIGKILL);
        (void)waitpid(children[i], NULL, 0);
    }
    (void)nftw(common.dir, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(int argc, char **argv)
{
    static const uint64_t speeds[] = {100, 1000, 0};
    struct common *c = &common;
    MUST(ses_crypto_init());
    c->record_bytes = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 8192;
    MUST(c->record_bytes > 0 && c->record_bytes <= SES_PAYLOAD_MAX ? SES_OK : SES_ERR_INVALID);
    c->record_cnt = (argc > 1 ? strtoull(argv[1], NULL, 10) : 200) * 1000000 / c->record_bytes;
    c->link = link_new(NODES + 1);
    c->shared =
        mmap(NULL, sizeof *c->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    MUST(c->shared != MAP_FAILED ? SES_OK : SES_ERR_MEMORY);
    (void)snprintf(c->dir, sizeof c->dir, "bench-catchup-XXXXXX");
    MUST(mkdtemp(c->dir) != NULL ? SES_OK : SES_ERR_IO);
    common_init(c);
    const int listener = raw_listen(c->link);
    for (uint32_t i = 0; i < NODES + 1; i++) { /* the link in place of the joiner */
        if (child() == 0) {
            if (i == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                link_run(c->link);
            } else if (i < NODES) {
                be_source(c, i);
            }
            be_raw(listener);
        }
    }
    (void)atexit(clean_up);
    for (uint32_t i = 1; i < NODES; i++) {
        wait_caught_up(c, i);
    }
    printf("%" PRIu64 " records of %u bytes, from three members; MB/s\n", c->record_cnt,
           c->record_bytes);
    printf("%-12s %8s %8s %8s %8s %8s %10s %8s   %s\n", "link", "raw", "bulk", "", "whole", "",
           "wire/data", "ns/byte", "in bulk");
    for (size_t i = 0; i < (argc > 3 ? (size_t)argc - 3 : SES_COUNT(speeds)); i++) {
        measure(c, argc > 3 ? strtoull(argv[3 + i], NULL, 10) : speeds[i]);
    }
    return 0;
}
