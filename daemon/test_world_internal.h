/* Test only: what the world's files share. */
#ifndef SES_DAEMON_TEST_WORLD_INTERNAL_H
#define SES_DAEMON_TEST_WORLD_INTERNAL_H

#include "daemon/test_world.h"

struct ses_timer {
    uint64_t at_ms, order;
    size_t place; /* in the heap */
    void (*run)(void *cookie);
    void (*fire)(void *cookie);
    void *cookie;
};
/* `ctx` of the loop is the world. */
struct ses_timer *world_after(struct world *w, uint64_t delay_ms, void (*fire)(void *cookie),
                              void *cookie);
void world_timer_stop(void *ctx, struct ses_timer *timer);

struct world_net {
    struct ses_net net; /* first */
    struct world_net *next;
    struct world *world;
    struct ses_peer self;
    bool down, stalled;
    struct {
        ses_serve_fn *fn;
        ses_accept_fn *accept;
        void *cookie, *accept_cookie;
    } protos[SES_PROTO_CNT];
    struct ses_hash logins[SES_LOGINS_MAX];
    uint32_t login_cnt;
    struct ses_flow *flows;
    world_lie_fn *lie;
    void *lie_cookie;
};
struct world_net *world_net_new(struct world *w, const char *address);
/* Down: its flows end, its calls are lost. */
void world_net_down(struct world_net *net, bool down);

#endif
