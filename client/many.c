/* Questions to many nodes, several at a time: one that is dead costs its timeout once, beside the
 * others' answers. */
#include "client/client_internal.h"

#define AT_ONCE 16u
#define BODY_BYTES_MAX 2048u

struct state;
struct lane { /* works off one item after the other */
    struct state *state;
    uint32_t item;
};
struct state {
    struct ses_client *client;
    const struct ses_many *many;
    uint32_t item_cnt;
    uint32_t next; /* item that no lane has yet */
    uint32_t busy; /* lanes that wait for an answer */
    enum ses_err err;
    bool done;
    struct lane lanes[AT_ONCE];
};

static void go_on(struct lane *lane);

/* Ours, not the node's: nothing more is asked. */
static bool is_end(enum ses_err err)
{
    return err == SES_ERR_CLOSED || err == SES_ERR_MEMORY || err == SES_ERR_FULL;
}

static void take(struct lane *lane, enum ses_err err, const uint8_t *body, size_t len)
{
    struct state *s = lane->state;
    const enum ses_err own = is_end(err) ? err
                                         : s->many->answered(s->many->cookie, lane->item, err, body,
                                                             err == SES_OK ? len : 0);
    s->err = s->err == SES_OK ? own : s->err;
}

static void on_answer(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct lane *lane = cookie;
    struct state *s = lane->state;
    s->busy--;
    take(lane, err, body, len);
    go_on(lane);
    s->done = s->busy == 0;
}

/* The next question of the lane's item; false: it has none. */
static bool ask(struct lane *lane)
{
    struct state *s = lane->state;
    uint8_t body[BODY_BYTES_MAX];
    struct ses_writer w;
    ses_writer_init(&w, body, sizeof body);
    const struct ses_map_node *node = s->many->ask(s->many->cookie, lane->item, &w);
    if (node == NULL) {
        return false;
    }
    enum ses_err err = ses_writer_done(&w);
    if (err == SES_OK) {
        err = ses_client_start(s->client, node, s->many->proto, s->many->login, body, w.len,
                               s->many->deadline_ms, on_answer, lane);
    }
    if (err == SES_OK) {
        s->busy++;
    } else {
        take(lane, err, NULL, 0);
    }
    return err == SES_OK;
}

static void go_on(struct lane *lane)
{
    struct state *s = lane->state;
    while (s->err == SES_OK && lane->item < s->item_cnt && !ask(lane)) {
        lane->item = s->next < s->item_cnt ? s->next++ : s->item_cnt;
    }
}

enum ses_err ses_client_ask_many(struct ses_client *c, const struct ses_many *many,
                                 uint32_t item_cnt)
{
    struct state s = {.client = c, .many = many, .item_cnt = item_cnt};
    for (uint32_t i = 0; i < AT_ONCE && s.next < item_cnt; i++) {
        s.lanes[i] = (struct lane){.state = &s, .item = s.next++};
        go_on(&s.lanes[i]);
    }
    s.done = s.busy == 0;
    SES_TRY(ses_client_wait(c, &s.done)); /* an error has closed the net: nothing is under way */
    return s.err;
}
