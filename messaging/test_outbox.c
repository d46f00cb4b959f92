/* The outbox item against a swarm that loses, refuses, lies and crashes us, by random schedules:
 * whatever happens, the message ends stored, or failed when its time is over; a crash between any
 * two steps changes nothing; the bytes on disk encode identically. */
#include <string.h>

#include "base/tap.h"
#include "messaging/messaging.h"

#define START_MS 1700000000000u
#define MEMBERS 7u
#define QUORUM 5u

static const struct ses_session_id bob = {{7, 1, 2, 3}};

static struct ses_outbox_item fresh(void)
{
    struct ses_outbox_item item;
    TAP_MUST(ses_outbox_init(&item, &bob, (const uint8_t *)"content", 7, START_MS, tap_random()) ==
             SES_OK);
    item.ttl_class = 2;
    return item;
}

/* A record of the right shape: what it holds does not matter to the state machine. */
static void seal(struct ses_outbox_item *item, uint64_t now_ms, enum ses_entry_kind entry)
{
    struct ses_record_header header = {.ttl_class = item->ttl_class,
                                       .ts_ms = now_ms - now_ms % 1000};
    struct ses_hash token = {{5}};
    struct ses_buf record = {0};
    struct ses_record_ids ids;
    uint8_t bytes[SES_RECORD_HEADER_BYTES + 20];
    memcpy(header.inbox.bytes, bob.bytes + 1, 32);
    ses_record_header_encode(bytes, &header);
    ses_random_fill(tap_random(), bytes + SES_RECORD_HEADER_BYTES, 20);
    TAP_MUST(ses_buf_append(&record, bytes, sizeof bytes) == SES_OK);
    const struct ses_record view = {record.bytes, record.bytes + SES_RECORD_HEADER_BYTES, 20};
    TAP_MUST(ses_record_identify(&ids, &view) == SES_OK);
    ses_outbox_sealed(item, &record, &ids, entry, &token, 99);
    TAP_OK(record.bytes == NULL);
}

/* Dies and starts again from the disk; what was written encodes identically. */
static void crash(struct ses_outbox_item *item)
{
    struct ses_buf disk = {0};
    struct ses_buf again = {0};
    TAP_MUST(ses_outbox_encode(&disk, item) == SES_OK);
    ses_outbox_free(item);
    TAP_MUST(ses_outbox_decode(item, disk.bytes, disk.len) == SES_OK);
    TAP_MUST(ses_outbox_encode(&again, item) == SES_OK);
    TAP_EQ(disk.len, again.len);
    TAP_BYTES(disk.bytes, again.bytes, disk.len);
    ses_buf_free(&disk);
    ses_buf_free(&again);
}

static struct ses_stored answer(enum ses_store_state state, uint8_t node_cnt)
{
    struct ses_stored s = {.state = state, .quorum = QUORUM, .node_cnt = node_cnt};
    for (uint8_t i = 0; i < node_cnt; i++) {
        s.nodes[i].bytes[0] = i;
    }
    return s;
}

static void test_straight_way(void)
{
    struct ses_outbox_item item = fresh();
    const struct ses_stored stored = answer(SES_STORED, 6);
    TAP_EQ(SES_OUTBOX_DO_SEAL, ses_outbox_step(&item, START_MS));
    seal(&item, START_MS, SES_ENTRY_STAMP);
    TAP_EQ(SES_OUTBOX_DO_OFFER, ses_outbox_step(&item, START_MS));
    TAP_OK(ses_outbox_member(&item, MEMBERS) < MEMBERS);
    ses_outbox_accepted(&item, &stored, START_MS);
    TAP_EQ(SES_OUTBOX_DO_CHECK, ses_outbox_step(&item, START_MS)); /* the word of one node */
    TAP_EQ(7, item.body.len);
    crash(&item);
    ses_outbox_counted(&item, stored.nodes, 6, QUORUM, true, START_MS);
    TAP_EQ(SES_OUTBOX_STORED, item.state);
    TAP_EQ(6, item.node_cnt);
    TAP_EQ(0, item.body.len + item.record.len);
    TAP_EQ(SES_OUTBOX_DO_NOTHING, ses_outbox_step(&item, START_MS + 1));
    crash(&item);
    TAP_EQ(SES_OUTBOX_STORED, item.state);
    ses_outbox_free(&item);
}

static void test_every_member_is_asked_once_a_round(void)
{
    struct ses_outbox_item item = fresh();
    bool asked[MEMBERS] = {0};
    (void)ses_outbox_step(&item, START_MS);
    seal(&item, START_MS, SES_ENTRY_STAMP);
    for (unsigned i = 0; i < MEMBERS; i++) {
        TAP_EQ(SES_OUTBOX_DO_OFFER, ses_outbox_step(&item, START_MS));
        const uint32_t at = ses_outbox_member(&item, MEMBERS);
        TAP_OK(!asked[at]);
        asked[at] = true;
        ses_outbox_lost(&item, SES_ERR_UNREACHABLE, MEMBERS, START_MS);
        crash(&item);
    }
    TAP_EQ(SES_OUTBOX_DO_WAIT, ses_outbox_step(&item, START_MS));
    TAP_ERR(SES_ERR_UNREACHABLE, item.last_err);
    TAP_EQ(MEMBERS, item.attempts);
    ses_outbox_free(&item);
}

static void test_backoff_grows_to_its_limit(void)
{
    struct ses_outbox_item item = fresh();
    uint64_t now = START_MS;
    uint64_t longest = 0;
    for (unsigned i = 0; i < 40; i++) {
        TAP_MUST(ses_outbox_step(&item, now) == SES_OUTBOX_DO_SEAL);
        ses_outbox_lost(&item, SES_ERR_UNREACHABLE, 1, now);
        const uint64_t wait = item.next_ms - now;
        TAP_OK(wait >= SES_OUTBOX_BACKOFF_MS * 7 / 8);
        TAP_OK(wait <= SES_OUTBOX_BACKOFF_MAX_MS * 9 / 8);
        longest = wait > longest ? wait : longest;
        now = item.next_ms;
    }
    TAP_OK(longest >= SES_OUTBOX_BACKOFF_MAX_MS * 7 / 8);
    ses_outbox_free(&item);
}

static void test_old_record_is_sealed_anew(void)
{
    struct ses_outbox_item item = fresh();
    uint8_t uuid[16];
    memcpy(uuid, item.uuid, 16);
    (void)ses_outbox_step(&item, START_MS);
    seal(&item, START_MS, SES_ENTRY_STAMP);
    const struct ses_hash first = item.id;
    crash(&item);
    TAP_EQ(SES_OUTBOX_DO_SEAL, ses_outbox_step(&item, START_MS + SES_OUTBOX_RESEAL_MS + 1));
    seal(&item, START_MS + SES_OUTBOX_RESEAL_MS + 1, SES_ENTRY_STAMP);
    TAP_OK(memcmp(first.bytes, item.id.bytes, 32) != 0);
    TAP_BYTES(uuid, item.uuid, 16);
    /* and if the clock was set back behind the record's time */
    TAP_EQ(SES_OUTBOX_DO_SEAL, ses_outbox_step(&item, START_MS + 10000));
    ses_outbox_free(&item);
}

static void refuse(struct ses_outbox_item *item, enum ses_err status, uint8_t bits,
                   enum ses_outbox_advice want)
{
    const struct ses_refusal refusal = {.status = status, .work_bits = bits};
    TAP_EQ(want, ses_outbox_refused(item, &refusal, MEMBERS, START_MS));
    TAP_ERR(status, item->last_err);
    crash(item);
}

static void test_refusals(void)
{
    struct ses_outbox_item item = fresh();
    (void)ses_outbox_step(&item, START_MS);
    seal(&item, START_MS, SES_ENTRY_TOKEN);
    TAP_EQ(5, item.token.bytes[0]);
    refuse(&item, SES_ERR_UNAUTHORISED, 0, SES_OUTBOX_DROP_TOKEN);
    TAP_EQ(SES_OUTBOX_DO_SEAL, ses_outbox_step(&item, START_MS));
    seal(&item, START_MS, SES_ENTRY_STAMP);
    TAP_EQ(0, item.token.bytes[0]);
    refuse(&item, SES_ERR_WORK, 21, SES_OUTBOX_GO_ON);
    TAP_EQ(21, item.work_bits);
    TAP_EQ(SES_OUTBOX_DO_SEAL, ses_outbox_step(&item, START_MS));
    seal(&item, START_MS, SES_ENTRY_STAMP);
    refuse(&item, SES_ERR_WORK, 60, SES_OUTBOX_GO_ON); /* more than anybody may ask */
    TAP_EQ(21, item.work_bits);
    TAP_EQ(1, item.tried);
    refuse(&item, SES_ERR_WRONG_SWARM, 0, SES_OUTBOX_REFRESH_MAP);
    TAP_EQ(0, item.tried);
    refuse(&item, SES_ERR_WRONG_SWARM, 0, SES_OUTBOX_GO_ON); /* once a round */
    TAP_EQ(1, item.tried);
    refuse(&item, SES_ERR_RATE, 0, SES_OUTBOX_GO_ON);
    TAP_EQ(2, item.tried);
    refuse(&item, SES_ERR_QUOTA, 0, SES_OUTBOX_GO_ON); /* ends the round */
    TAP_EQ(0, item.tried);
    TAP_EQ(SES_OUTBOX_DO_WAIT, ses_outbox_step(&item, START_MS));
    ses_outbox_free(&item);
}

static void test_refused_for_good(void)
{
    struct ses_outbox_item item = fresh();
    uint64_t now = START_MS;
    unsigned asked = 0;
    while (item.state != SES_OUTBOX_FAILED && asked < 1000) {
        const struct ses_refusal refusal = {.status = SES_ERR_TOO_LARGE};
        const enum ses_outbox_step step = ses_outbox_step(&item, now);
        if (step == SES_OUTBOX_DO_SEAL) {
            seal(&item, now, SES_ENTRY_STAMP);
        } else if (step == SES_OUTBOX_DO_OFFER) {
            (void)ses_outbox_refused(&item, &refusal, MEMBERS, now);
            asked++;
        } else {
            now = item.next_ms;
        }
    }
    TAP_EQ(3 * MEMBERS, asked); /* one lying node does not stop a message */
    TAP_ERR(SES_ERR_TOO_LARGE, item.last_err);
    ses_outbox_free(&item);
}

static void test_pending_is_counted(void)
{
    struct ses_outbox_item item = fresh();
    const struct ses_stored pending = answer(SES_PENDING, 2);
    const struct ses_stored nodes = answer(SES_STORED, QUORUM);
    (void)ses_outbox_step(&item, START_MS);
    seal(&item, START_MS, SES_ENTRY_STAMP);
    ses_outbox_accepted(&item, &pending, START_MS);
    TAP_EQ(SES_OUTBOX_CHECK, item.state);
    TAP_EQ(SES_OUTBOX_DO_WAIT, ses_outbox_step(&item, START_MS));
    crash(&item);
    uint64_t now = item.next_ms;
    TAP_EQ(SES_OUTBOX_DO_CHECK, ses_outbox_step(&item, now));
    ses_outbox_counted(&item, NULL, 0, QUORUM, false, now); /* nobody reachable: no news */
    TAP_EQ(SES_OUTBOX_CHECK, item.state);
    now = item.next_ms;
    ses_outbox_counted(&item, nodes.nodes, QUORUM - 1, QUORUM, true, now);
    TAP_EQ(SES_OUTBOX_CHECK, item.state);
    now = item.next_ms;
    ses_outbox_counted(&item, nodes.nodes, 0, QUORUM, true, now); /* lost */
    TAP_EQ(SES_OUTBOX_SEAL, item.state);
    now = item.next_ms;
    TAP_EQ(SES_OUTBOX_DO_SEAL, ses_outbox_step(&item, now));
    seal(&item, now, SES_ENTRY_STAMP);
    ses_outbox_accepted(&item, &pending, now);
    ses_outbox_counted(&item, nodes.nodes, QUORUM, QUORUM, true, now);
    TAP_EQ(SES_OUTBOX_STORED, item.state);
    ses_outbox_free(&item);
}

/* Entry nodes that say "stored", or "pending", and keep nothing: sooner or later an honest one is
 * asked, however many of them lie. */
static void test_liars_are_passed(enum ses_store_state state)
{
    struct ses_outbox_item item = fresh();
    const struct ses_stored claim = answer(state, QUORUM);
    bool asked[MEMBERS] = {0};
    uint64_t now = START_MS;
    for (unsigned i = 0; i < 2 * MEMBERS; i++) {
        TAP_EQ(SES_OUTBOX_DO_SEAL, ses_outbox_step(&item, now));
        seal(&item, now, SES_ENTRY_STAMP);
        asked[ses_outbox_member(&item, MEMBERS)] = true;
        ses_outbox_accepted(&item, &claim, now);
        now = item.next_ms;
        TAP_EQ(SES_OUTBOX_DO_CHECK, ses_outbox_step(&item, now));
        ses_outbox_counted(&item, NULL, 0, QUORUM, true, now);
        now = item.next_ms;
    }
    for (unsigned i = 0; i < MEMBERS; i++) {
        TAP_OK(asked[i]);
    }
    ses_outbox_free(&item);
}

/* A message that is lost again and again (by the map of a sender who does not know those that sign)
 * is sealed again, but does not fill the recipient's inbox. */
static void test_losses_slow_down(void)
{
    struct ses_outbox_item item = fresh();
    const struct ses_stored claim = answer(SES_STORED, QUORUM);
    uint64_t now = START_MS;
    uint32_t copies = 0;
    while (now < START_MS + 3600000 && copies < 1000) {
        TAP_EQ(SES_OUTBOX_DO_SEAL, ses_outbox_step(&item, now));
        seal(&item, now, SES_ENTRY_STAMP);
        copies++;
        ses_outbox_accepted(&item, &claim, now);
        ses_outbox_counted(&item, NULL, 0, QUORUM, true, now);
        now = item.next_ms;
    }
    TAP_OK(copies >= MEMBERS && copies < 40);
    ses_outbox_free(&item);
}

static void test_liars(void)
{
    test_liars_are_passed(SES_STORED);
    test_liars_are_passed(SES_PENDING);
}

/* One event of a random world. Nothing that a node says may be believed beyond what it can do. */
static void random_event(struct ses_outbox_item *item, uint64_t *now)
{
    static const enum ses_err errs[] = {
        SES_ERR_WRONG_SWARM, SES_ERR_CLOCK,        SES_ERR_QUOTA,    SES_ERR_WORK,
        SES_ERR_RATE,        SES_ERR_UNAUTHORISED, SES_ERR_DISK_LOW, SES_ERR_UNAVAILABLE,
        SES_ERR_PEER,        SES_ERR_STRANGERS};
    const struct ses_random *random = tap_random();
    const uint32_t members = 1 + (uint32_t)ses_random_below(random, MEMBERS);
    const struct ses_stored nodes = answer(SES_STORED, MEMBERS);
    switch (ses_outbox_step(item, *now)) {
    case SES_OUTBOX_DO_WAIT:
        *now = ses_random_below(random, 2) == 0 ? item->next_ms : *now + 1000;
        break;
    case SES_OUTBOX_DO_SEAL:
        seal(item, *now, (enum ses_entry_kind)ses_random_below(random, 3));
        break;
    case SES_OUTBOX_DO_OFFER: {
        const uint64_t luck = ses_random_below(random, 20);
        const struct ses_refusal refusal = {.status =
                                                errs[ses_random_below(random, SES_COUNT(errs))],
                                            .work_bits = (uint8_t)ses_random_below(random, 40)};
        TAP_OK(ses_outbox_member(item, members) < members);
        if (luck == 0) {
            const struct ses_stored stored = answer(SES_STORED, QUORUM);
            ses_outbox_accepted(item, &stored, *now);
        } else if (luck < 4) {
            const struct ses_stored pending = answer(SES_PENDING, 1);
            ses_outbox_accepted(item, &pending, *now);
        } else if (luck < 12) {
            (void)ses_outbox_refused(item, &refusal, members, *now);
        } else {
            ses_outbox_lost(item, SES_ERR_TIMEOUT, members, *now);
        }
        break;
    }
    case SES_OUTBOX_DO_CHECK:
        ses_outbox_counted(item, nodes.nodes, (uint32_t)ses_random_below(random, QUORUM + 1),
                           QUORUM, ses_random_below(random, 2) == 0, *now);
        break;
    case SES_OUTBOX_DO_NOTHING:
        break;
    }
}

static bool over(const struct ses_outbox_item *item)
{
    return item->state == SES_OUTBOX_STORED || item->state == SES_OUTBOX_FAILED;
}

static void test_random_worlds(void)
{
    unsigned stored = 0;
    for (unsigned world = 0; world < 300; world++) {
        struct ses_outbox_item item = fresh();
        uint8_t uuid[16];
        uint64_t now = START_MS;
        unsigned steps = 0;
        memcpy(uuid, item.uuid, 16);
        while (!over(&item) && steps < 100000) {
            random_event(&item, &now);
            crash(&item);
            steps++;
        }
        TAP_OK(over(&item));
        TAP_OK(item.state == SES_OUTBOX_STORED || now >= START_MS + ses_ttl_ms(2));
        TAP_OK(item.state != SES_OUTBOX_STORED || item.node_cnt >= QUORUM);
        TAP_BYTES(uuid, item.uuid, 16);
        stored += item.state == SES_OUTBOX_STORED;
        ses_outbox_free(&item);
    }
    TAP_OK(stored > 290); /* a week of tries beats one chance in twenty */
}

static void test_gives_up(void)
{
    struct ses_outbox_item item = fresh();
    item.ttl_class = 0;
    TAP_EQ(SES_OUTBOX_DO_NOTHING, ses_outbox_step(&item, START_MS + ses_ttl_ms(0)));
    TAP_EQ(SES_OUTBOX_FAILED, item.state);
    TAP_ERR(SES_ERR_TIMEOUT, item.last_err);
    TAP_EQ(0, item.body.len);
    ses_outbox_free(&item);
}

static void test_damaged_bytes(void)
{
    struct ses_outbox_item item = fresh();
    struct ses_outbox_item got;
    struct ses_buf disk = {0};
    (void)ses_outbox_step(&item, START_MS);
    seal(&item, START_MS, SES_ENTRY_STAMP);
    TAP_MUST(ses_outbox_encode(&disk, &item) == SES_OK);
    for (size_t len = 0; len < disk.len; len++) {
        TAP_OK(ses_outbox_decode(&got, disk.bytes, len) != SES_OK);
    }
    disk.bytes[0] = 2;
    TAP_ERR(SES_ERR_VERSION, ses_outbox_decode(&got, disk.bytes, disk.len));
    ses_buf_free(&disk);
    ses_outbox_free(&item);
    static const uint8_t big[SES_OUTBOX_BODY_MAX + 1];
    TAP_ERR(SES_ERR_TOO_LARGE,
            ses_outbox_init(&item, &bob, big, sizeof big, START_MS, tap_random()));
}

int main(void)
{
    TAP_RUN(test_straight_way);
    TAP_RUN(test_every_member_is_asked_once_a_round);
    TAP_RUN(test_backoff_grows_to_its_limit);
    TAP_RUN(test_old_record_is_sealed_anew);
    TAP_RUN(test_refusals);
    TAP_RUN(test_refused_for_good);
    TAP_RUN(test_pending_is_counted);
    TAP_RUN(test_liars);
    TAP_RUN(test_losses_slow_down);
    TAP_RUN(test_random_worlds);
    TAP_RUN(test_gives_up);
    TAP_RUN(test_damaged_bytes);
    return tap_done();
}
