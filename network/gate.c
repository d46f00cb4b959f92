/* Admission of inbound connections: in all, pending, per address and by rate. */
#include <string.h>

#include "network/limits.h"

struct ses_gate_ip {
    struct ses_gate_ip *next;
    struct ses_ip ip;
    uint32_t connection_cnt;
    struct ses_bucket arrivals;
};

static bool is_ip4(const struct ses_ip *ip)
{
    static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return memcmp(ip->bytes, prefix, sizeof prefix) == 0;
}

static bool is_loopback(const struct ses_ip *ip)
{
    static const uint8_t ip6[16] = {[15] = 1};
    return is_ip4(ip) ? ip->bytes[12] == 127 : memcmp(ip->bytes, ip6, sizeof ip6) == 0;
}

/* What is counted as one: the IPv4 address or the /64. */
static struct ses_ip origin_of(const struct ses_ip *ip)
{
    struct ses_ip origin = *ip;
    if (!is_ip4(ip)) {
        memset(origin.bytes + 8, 0, 8);
    }
    return origin;
}

static struct ses_gate_ip **slot_of(struct ses_gate *g, const struct ses_ip *origin)
{
    /* Not keyed: whoever can choose addresses to collide holds thousands of them anyway. */
    uint32_t sum = 2166136261u;
    for (size_t i = 0; i < sizeof origin->bytes; i++) {
        sum = (sum ^ origin->bytes[i]) * 16777619u;
    }
    struct ses_gate_ip **slot = &g->table[sum % SES_GATE_TABLE];
    while (*slot != NULL && memcmp(&(*slot)->ip, origin, sizeof *origin) != 0) {
        slot = &(*slot)->next;
    }
    return slot;
}

void ses_gate_init(struct ses_gate *g, uint32_t connections_max)
{
    *g = (struct ses_gate){.connections_max =
                               connections_max == 0 ? SES_CONNECTIONS_DEFAULT : connections_max};
}

void ses_gate_free(struct ses_gate *g)
{
    for (size_t i = 0; i < SES_GATE_TABLE; i++) {
        while (g->table[i] != NULL) {
            struct ses_gate_ip *next = g->table[i]->next;
            ses_free(g->table[i]);
            g->table[i] = next;
        }
    }
}

static enum ses_err ip_count(struct ses_gate *g, const struct ses_ip *ip, uint64_t now_ms)
{
    const struct ses_ip origin = origin_of(ip);
    struct ses_gate_ip **slot = slot_of(g, &origin);
    if (*slot == NULL) {
        SES_REQUIRE(g->ip_cnt < SES_GATE_IPS_MAX, SES_ERR_FULL);
        struct ses_gate_ip *entry = ses_alloc(1, sizeof *entry);
        SES_REQUIRE(entry != NULL, SES_ERR_MEMORY);
        entry->ip = origin;
        *slot = entry;
        g->ip_cnt++;
    }
    struct ses_gate_ip *entry = *slot;
    SES_REQUIRE(
        ses_bucket_take(&entry->arrivals, now_ms, SES_CONNECTIONS_RATE, SES_CONNECTIONS_BURST),
        SES_ERR_RATE);
    SES_REQUIRE(entry->connection_cnt < SES_CONNECTIONS_PER_IP, SES_ERR_FULL);
    entry->connection_cnt++;
    return SES_OK;
}

enum ses_err ses_gate_admit(struct ses_gate *g, const struct ses_ip *ip, uint64_t now_ms)
{
    SES_REQUIRE(g->connection_cnt < g->connections_max, SES_ERR_FULL);
    if (!is_loopback(ip)) {
        SES_TRY(ip_count(g, ip, now_ms));
    }
    g->connection_cnt++;
    g->pending_cnt++;
    return SES_OK;
}

void ses_gate_upgraded(struct ses_gate *g)
{
    SES_ASSERT(g->pending_cnt > 0);
    g->pending_cnt--;
}

void ses_gate_release(struct ses_gate *g, const struct ses_ip *ip, bool pending)
{
    SES_ASSERT(g->connection_cnt > 0);
    g->connection_cnt--;
    if (pending) {
        ses_gate_upgraded(g);
    }
    if (is_loopback(ip)) {
        return;
    }
    const struct ses_ip origin = origin_of(ip);
    struct ses_gate_ip *entry = *slot_of(g, &origin);
    SES_ASSERT(entry != NULL && entry->connection_cnt > 0);
    entry->connection_cnt--;
}

void ses_gate_prune(struct ses_gate *g, uint64_t now_ms)
{
    const uint64_t refill_ms = 1000u * SES_CONNECTIONS_BURST / SES_CONNECTIONS_RATE;
    for (size_t i = 0; i < SES_GATE_TABLE; i++) {
        struct ses_gate_ip **at = &g->table[i];
        while (*at != NULL) {
            struct ses_gate_ip *entry = *at;
            if (entry->connection_cnt > 0 || now_ms < entry->arrivals.at_ms + refill_ms) {
                at = &entry->next;
                continue;
            }
            *at = entry->next;
            ses_free(entry);
            g->ip_cnt--;
        }
    }
}
