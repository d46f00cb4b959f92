#include <arpa/inet.h>

#include "daemon/daemon_internal.h"

#define IP6_PREFIX_BYTES 8u

/* The address without its port; of IPv6 the /64, of which whoever has one address has them all. */
static void hash_origin(struct ses_blake3 *hash, const char *address)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; /* ::ffff:a.b.c.d */
    struct in6_addr ip6;
    char text[sizeof((struct ses_peer *)0)->address] = "";
    const char *end = address[0] == '[' ? strchr(address, ']') : strrchr(address, ':');
    const size_t skip = address[0] == '[';
    const size_t len = end != NULL ? (size_t)(end - address) - skip : strlen(address);
    /* zeros follow: NOLINTNEXTLINE(bugprone-not-null-terminated-result) */
    memcpy(text, address + skip, len);
    if (inet_pton(AF_INET6, text, &ip6) != 1) {
        ses_blake3_update(hash, text, len);
        return;
    }
    const bool is_ip4 = memcmp(ip6.s6_addr, mapped, sizeof mapped) == 0;
    ses_blake3_update(hash, ip6.s6_addr, is_ip4 ? sizeof ip6.s6_addr : IP6_PREFIX_BYTES);
}

/* Anonymous clients draw a fresh peer id at every start: what costs something to change is the
 * address, so that is their name. Nodes are named by what they proved. */
static uint64_t peer_key(const struct meters *b, const struct ses_peer *peer, uint8_t kind)
{
    struct ses_blake3 hash;
    struct ses_hash out;
    ses_blake3_init_keyed(&hash, b->secret);
    ses_blake3_update(&hash, &kind, 1);
    if (peer->is_node) {
        ses_blake3_update(&hash, peer->node_id.bytes, sizeof peer->node_id.bytes);
    } else {
        hash_origin(&hash, peer->address);
    }
    ses_blake3_final(&hash, &out);
    const uint64_t key = ses_get_u64(out.bytes);
    return key != 0 ? key : 1;
}

static struct meter *find_or_evict(struct meter *set, uint64_t key)
{
    struct meter *oldest = &set[0];
    for (size_t i = 0; i < METER_WAYS; i++) {
        if (set[i].key == key) {
            return &set[i];
        }
        if (set[i].key == 0 || (oldest->key != 0 && set[i].used_ms < oldest->used_ms)) {
            oldest = &set[i];
        }
    }
    oldest->key = 0;
    return oldest;
}

bool ses_meter_take(struct meters *b, const struct ses_peer *peer, uint8_t kind, uint32_t rate,
                    uint64_t mono_ms)
{
    const uint64_t key = peer_key(b, peer, kind);
    const uint64_t depth = (uint64_t)rate * 2 * 1000;
    struct meter *at = find_or_evict(b->ways[key % METER_SETS], key);
    if (at->key == 0) {
        at->key = key;
        at->tokens_milli = depth;
        at->used_ms = mono_ms;
    }
    const uint64_t passed = mono_ms > at->used_ms ? mono_ms - at->used_ms : 0;
    const uint64_t gain = passed > 2000 ? depth : passed * rate;
    at->tokens_milli = at->tokens_milli + gain > depth ? depth : at->tokens_milli + gain;
    at->used_ms = mono_ms;
    if (at->tokens_milli < 1000) {
        return false;
    }
    at->tokens_milli -= 1000;
    return true;
}
