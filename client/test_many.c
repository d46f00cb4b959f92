/* Questions to many nodes, over real sockets: so many at once, one after the other for each item,
 * dead nodes beside live ones, and ends in the middle. */
#include <string.h>
#include <unistd.h>

#include "base/tap.h"
#include "client/test_members.h"
#include "client/test_tmp.h"

#define ITEMS 40u
#define AT_ONCE 16u
#define QUESTIONS 2u

static char root[] = "/tmp/ses-client-many-XXXXXX";

struct script {
    struct ses_client *client;
    struct members members;
    unsigned asked[ITEMS], answered[ITEMS], failed[ITEMS];
    unsigned asked_cnt, answered_cnt, under_way, most;
    unsigned end_at; /* the n-th answer ends it; 0: none */
    enum ses_err end_with;
    bool stops;
};

static void echo(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    (void)cookie;
    ses_call_reply(call, body, len);
}

static struct script *begin(void)
{
    struct script *s = ses_alloc(1, sizeof *s);
    const struct ses_client_config config = {
        .size = sizeof config, .profile = root, .request_timeout_ms = 20000};
    TAP_MUST(s != NULL && ses_client_open(&s->client, &config, NULL) == 0);
    members_join(&s->members, s->client);
    for (unsigned i = 0; i < MEMBERS; i++) {
        TAP_MUST(ses_net_serve(s->members.list[i].net, SES_PROTO_INFO, echo, NULL) == SES_OK);
    }
    return s;
}

static void end(struct script *s)
{
    members_leave(&s->members);
    ses_client_close(s->client);
    ses_free(s);
}

/* Every seventh item has nothing to ask. */
static const struct ses_map_node *ask(void *cookie, uint32_t item, struct ses_writer *w)
{
    struct script *s = cookie;
    TAP_MUST(item < ITEMS);
    if (item % 7 == 6 || s->asked[item] == QUESTIONS) {
        return NULL;
    }
    ses_write_u32(w, item);
    ses_write_u32(w, s->asked[item]++);
    s->asked_cnt++;
    s->under_way++;
    s->most = s->under_way > s->most ? s->under_way : s->most;
    return ses_map_find(&s->client->registry.map, &s->members.list[item % MEMBERS].node_id);
}

/* The echo of its last question. */
static enum ses_err answered(void *cookie, uint32_t item, enum ses_err err, const uint8_t *body,
                             size_t len)
{
    struct script *s = cookie;
    s->under_way--;
    s->answered_cnt++;
    if (err != SES_OK) {
        TAP_EQ(0, len);
        s->failed[item]++;
    } else {
        TAP_OK(len == 8 && ses_get_u32(body) == item && ses_get_u32(body + 4) == s->answered[item]);
        s->answered[item]++;
    }
    if (s->end_at == 0 || s->answered_cnt != s->end_at) {
        return SES_OK;
    }
    if (s->stops) {
        ses_client_stop(s->client);
    }
    return s->end_with;
}

static enum ses_err ask_all(struct script *s, uint32_t item_cnt)
{
    const struct ses_many many = {.proto = SES_PROTO_INFO,
                                  .deadline_ms = 20000,
                                  .ask = ask,
                                  .answered = answered,
                                  .cookie = s};
    return ses_client_ask_many(s->client, &many, item_cnt);
}

static void test_all_are_asked(void)
{
    struct script *s = begin();
    TAP_ERR(SES_OK, ask_all(s, 0));
    TAP_EQ(0, s->asked_cnt);
    TAP_ERR(SES_OK, ask_all(s, ITEMS));
    for (unsigned i = 0; i < ITEMS; i++) {
        TAP_EQ(i % 7 == 6 ? 0 : QUESTIONS, s->answered[i]);
        TAP_EQ(0, s->failed[i]);
    }
    TAP_EQ(AT_ONCE, s->most);
    TAP_EQ(0, s->under_way);
    TAP_EQ(0, s->client->in_flight);
    end(s);
}

static void test_dead_ones_do_not_matter(void)
{
    struct script *s = begin();
    member_dies(&s->members.list[1]);
    member_dies(&s->members.list[3]);
    TAP_ERR(SES_OK, ask_all(s, ITEMS));
    for (unsigned i = 0; i < ITEMS; i++) {
        const unsigned want = i % 7 == 6 ? 0 : QUESTIONS;
        TAP_EQ(i % 2 == 0 ? want : 0, s->answered[i]);
        TAP_EQ(i % 2 == 0 ? 0 : want, s->failed[i]);
    }
    end(s);
}

/* Nothing more is asked; what is under way is waited for, since it calls back. */
static void test_an_error_ends_it(void)
{
    struct script *s = begin();
    s->end_at = 5;
    s->end_with = SES_ERR_PEER;
    TAP_ERR(SES_ERR_PEER, ask_all(s, ITEMS));
    TAP_EQ(AT_ONCE + 4, s->asked_cnt);
    TAP_EQ(AT_ONCE + 4, s->answered_cnt);
    TAP_EQ(0, s->client->in_flight);
    end(s);
}

/* From inside a callback, too: no answer comes after the call. */
static void test_stop_ends_it(void)
{
    struct script *s = begin();
    s->end_at = 5;
    s->stops = true;
    TAP_ERR(SES_ERR_CLOSED, ask_all(s, ITEMS));
    TAP_EQ(0, s->client->in_flight);
    TAP_OK(s->answered_cnt < ITEMS);
    end(s);
}

int main(void)
{
    SES_ASSERT(ses_crypto_init() == SES_OK);
    SES_ASSERT(mkdtemp(root) != NULL);
    TAP_RUN(test_all_are_asked);
    TAP_RUN(test_dead_ones_do_not_matter);
    TAP_RUN(test_an_error_ends_it);
    TAP_RUN(test_stop_ends_it);
    test_tmp_remove(root);
    return tap_done();
}
