/* How many connections each address holds: one stranger must not take all of them. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "rpc/rpc_internal.h"

/* An IPv6 network of 64 bits is one guest. false: this machine itself, which is not counted. */
static bool key_of(uint8_t key[16], const struct sockaddr *address)
{
    memset(key, 0, 16);
    if (ses_rpc_is_loopback(address)) {
        return false;
    }
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
        memcpy(key + 12, &v4->sin_addr, 4);
        return true;
    }
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        memcpy(key + 12, v6->sin6_addr.s6_addr + 12, 4);
    } else {
        memcpy(key, v6->sin6_addr.s6_addr, 8);
    }
    return true;
}

static struct ses_rpc_guest *find(struct ses_rpc_guests *g, const uint8_t key[16])
{
    for (uint32_t i = 0; i < g->cnt; i++) {
        if (memcmp(g->list[i].key, key, 16) == 0) {
            return &g->list[i];
        }
    }
    return NULL;
}

void ses_rpc_guests_init(struct ses_rpc_guests *g, uint32_t each_max)
{
    memset(g, 0, sizeof *g);
    g->each_max = each_max;
    SES_ASSERT(pthread_mutex_init(&g->lock, NULL) == 0);
}

void ses_rpc_guests_free(struct ses_rpc_guests *g)
{
    pthread_mutex_destroy(&g->lock);
}

bool ses_rpc_guest_may(struct ses_rpc_guests *g, const struct sockaddr *address)
{
    uint8_t key[16];
    if (!key_of(key, address)) {
        return true;
    }
    pthread_mutex_lock(&g->lock);
    const struct ses_rpc_guest *guest = find(g, key);
    const bool may = guest == NULL ? g->cnt < SES_RPC_CONNECTIONS_MAX : guest->cnt < g->each_max;
    pthread_mutex_unlock(&g->lock);
    return may;
}

void ses_rpc_guest_enter(struct ses_rpc_guests *g, const struct sockaddr *address)
{
    uint8_t key[16];
    if (!key_of(key, address)) {
        return;
    }
    pthread_mutex_lock(&g->lock);
    struct ses_rpc_guest *guest = find(g, key);
    if (guest == NULL) { /* never more guests than connections */
        SES_ASSERT(g->cnt < SES_RPC_CONNECTIONS_MAX);
        guest = &g->list[g->cnt++];
        memcpy(guest->key, key, 16);
        guest->cnt = 0;
    }
    guest->cnt++;
    pthread_mutex_unlock(&g->lock);
}

void ses_rpc_guest_leave(struct ses_rpc_guests *g, const struct sockaddr *address)
{
    uint8_t key[16];
    if (!key_of(key, address)) {
        return;
    }
    pthread_mutex_lock(&g->lock);
    struct ses_rpc_guest *guest = find(g, key);
    SES_ASSERT(guest != NULL && guest->cnt > 0);
    guest->cnt--;
    if (guest->cnt == 0) {
        *guest = g->list[--g->cnt];
    }
    pthread_mutex_unlock(&g->lock);
}
