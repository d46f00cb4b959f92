/* People who write to each other without pause, and a journal of what they saw stored.
 *
 *     load CHAIN DIR make COUNT               identities DIR/00 ..., with published cards
 *     load CHAIN DIR run THREADS SEED [PERIOD_MS]  until SIGTERM; a thread begins something every
 *                                                 PERIOD_MS, late or not, or as fast as it can
 *     load CHAIN DIR flush                    the outboxes once; {"pending": n}
 *     load CHAIN DIR check                    fetches everything with fresh profiles, compares
 *
 * A line of DIR/journal, written when ses_client_send answered "stored": recipient, uuid. What a
 * killed process could not write down stands in the outboxes, which `check` reads too. Every text
 * can be computed from its first words, so a message that opens to something else is found. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client/session.h"

#define PEOPLE_MAX 256
#define THREADS_MAX 32
#define TEXT_MAX 20000
#define WAIT_MS 3000
#define RECEIVE_EVERY 8
#define PATH_CHARS 1024
#define TURNS_MAX 100 /* calls until everything is received */

static const char *chain_url;
static const char *dir;
static atomic_bool stopped;

static void die(const char *what, const struct ses_client_note *note)
{
    fprintf(stderr, "load: %s: %s\n", what, note != NULL ? note->text : strerror(errno));
    exit(1);
}

static void path_of(char out[PATH_CHARS], const char *format, const char *name)
{
    char file[128];
    snprintf(file, sizeof file, format, name);
    if (snprintf(out, PATH_CHARS, "%s/%s", dir, file) >= PATH_CHARS) {
        die("the name of the directory is too long", NULL);
    }
}

static void pause_ms(unsigned ms)
{
    const struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

static uint64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* splitmix64: a stream of numbers from one seed. */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* "NUMBER LENGTH " and letters that follow from both: LENGTH characters in all. */
static void text_make(char *out, uint64_t number, size_t len)
{
    uint64_t state = number;
    const int head = snprintf(out, TEXT_MAX + 1, "%016llx %zu ", (unsigned long long)number, len);
    for (size_t i = (size_t)head; i < len; i++) {
        out[i] = (char)('a' + next(&state) % 26);
    }
    out[len] = 0;
}

static int text_is_right(const char *text)
{
    static _Thread_local char again[TEXT_MAX + 1];
    unsigned long long number = 0;
    size_t len = 0;
    if (text == NULL || sscanf(text, "%16llx %zu ", &number, &len) != 2 || len < 32 ||
        len > TEXT_MAX) {
        return 0;
    }
    text_make(again, number, len);
    return strcmp(again, text) == 0;
}

/* ---- identities ---- */
struct people {
    int cnt;
    char ids[PEOPLE_MAX][SES_CLIENT_ID_TEXT];
};

static struct ses_client *open_profile(const char *format, const char *name)
{
    char path[PATH_CHARS];
    struct ses_client *client = NULL;
    struct ses_client_note note = {{0}};
    path_of(path, format, name);
    const struct ses_client_config config = {
        .size = sizeof config, .profile = path, .chain = chain_url, .request_timeout_ms = 4000};
    if (ses_client_open(&client, &config, &note) != SES_CLIENT_OK) {
        die(path, &note);
    }
    return client;
}

static void name_of(char out[16], int i)
{
    snprintf(out, 16, "%02d", i);
}

/* DIR/people: one Session ID a line, in the order of their numbers. */
static void people_read(struct people *people)
{
    char path[PATH_CHARS];
    path_of(path, "%s", "people");
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        die(path, NULL);
    }
    people->cnt = 0;
    while (people->cnt < PEOPLE_MAX && fscanf(file, "%66s", people->ids[people->cnt]) == 1) {
        people->cnt++;
    }
    fclose(file);
}

static int number_of(const struct people *people, const char *id)
{
    for (int i = 0; i < people->cnt; i++) {
        if (strcmp(people->ids[i], id) == 0) {
            return i;
        }
    }
    return -1;
}

static int run_make(int cnt)
{
    char path[PATH_CHARS];
    path_of(path, "%s", "people");
    FILE *file = fopen(path, "w");
    if (file == NULL || cnt < 2 || cnt > PEOPLE_MAX) {
        die(path, NULL);
    }
    for (int i = 0; i < cnt; i++) {
        char name[16];
        char id[SES_CLIENT_ID_TEXT];
        struct ses_client_note note = {{0}};
        name_of(name, i);
        struct ses_client *client = open_profile("%s", name);
        if (ses_client_create(client, "", &note) != SES_CLIENT_OK ||
            ses_client_publish_card(client, name, &note) != SES_CLIENT_OK ||
            ses_client_id(client, id, &note) != SES_CLIENT_OK) {
            die("making an identity", &note);
        }
        fprintf(file, "%s\n", id);
        ses_client_close(client);
    }
    fclose(file);
    return 0;
}

/* ---- load ---- */
struct worker {
    pthread_t thread;
    const struct people *people;
    int first, cnt; /* the people that it plays */
    uint64_t random;
    unsigned period_ms;
    int journal;
    unsigned long stored, pending, failed, received;
};

static void journal_add(const struct worker *w, int to, const uint8_t uuid[16])
{
    char line[64];
    int len = snprintf(line, sizeof line, "%d ", to);
    for (int i = 0; i < 16; i++) {
        len += snprintf(line + len, sizeof line - (size_t)len, "%02x", uuid[i]);
    }
    line[len++] = '\n';
    if (write(w->journal, line, (size_t)len) != len) { /* O_APPEND: whole lines */
        die("writing the journal", NULL);
    }
}

static void send_one(struct worker *w, struct ses_client *from)
{
    static _Thread_local char text[TEXT_MAX + 1];
    struct ses_client_sent sent;
    struct ses_client_note note;
    const int to = (int)(next(&w->random) % (uint64_t)w->people->cnt);
    const size_t big = next(&w->random) % 16 == 0 ? TEXT_MAX : 600;
    text_make(text, next(&w->random), 40 + next(&w->random) % (big - 39));
    const struct ses_client_send message = {.size = sizeof message,
                                            .to = w->people->ids[to],
                                            .kind = SES_CLIENT_TEXT,
                                            .text = text,
                                            .ttl = SES_CLIENT_TTL_HOUR,
                                            .wait_ms = WAIT_MS};
    if (ses_client_send(from, &message, &sent, &note) == SES_CLIENT_OK &&
        sent.state == SES_CLIENT_STORED) {
        journal_add(w, to, sent.uuid);
        w->stored++;
    } else if (sent.state == SES_CLIENT_PENDING) {
        w->pending++;
    } else {
        w->failed++; /* nothing was queued: the registry or a card could not be had */
        pause_ms(100);
    }
}

static int count_message(void *cookie, const struct ses_client_message *message)
{
    struct worker *w = cookie;
    if (!text_is_right(message->text)) {
        fprintf(stderr, "load: a message opened to another text\n");
        exit(3);
    }
    w->received++;
    return 0;
}

static void *work(void *cookie)
{
    struct worker *w = cookie;
    struct ses_client *clients[PEOPLE_MAX];
    struct ses_client_note note;
    for (int i = 0; i < w->cnt; i++) {
        char name[16];
        name_of(name, w->first + i);
        clients[i] = open_profile("%s", name);
        if (ses_client_unlock(clients[i], "", &note) != SES_CLIENT_OK) {
            die("an identity", &note); /* one that was there is not any more */
        }
    }
    uint64_t due_ms = mono_ms();
    for (unsigned long n = 0; !atomic_load(&stopped); n++) {
        struct ses_client *me = clients[next(&w->random) % (uint64_t)w->cnt];
        if (n % RECEIVE_EVERY == RECEIVE_EVERY - 1) {
            (void)!ses_client_receive(me, count_message, w, NULL, &note);
        } else {
            send_one(w, me);
        }
        due_ms += w->period_ms;
        const uint64_t now_ms = mono_ms();
        pause_ms(due_ms > now_ms ? (unsigned)(due_ms - now_ms) : 0);
    }
    for (int i = 0; i < w->cnt; i++) {
        ses_client_close(clients[i]);
    }
    return NULL;
}

static void on_term(int signum)
{
    (void)signum;
    atomic_store(&stopped, true);
}

static int run_load(int threads, uint64_t seed, unsigned period_ms)
{
    static struct people people;
    static struct worker workers[THREADS_MAX];
    char path[PATH_CHARS];
    path_of(path, "%s", "journal");
    people_read(&people);
    if (threads < 1 || threads > THREADS_MAX || threads > people.cnt) {
        die("THREADS is 1 to the number of people", NULL);
    }
    const int journal = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (journal < 0) {
        die(path, NULL);
    }
    for (int i = 0; i < threads; i++) {
        const int first = people.cnt * i / threads;
        workers[i] = (struct worker){.people = &people,
                                     .first = first,
                                     .cnt = people.cnt * (i + 1) / threads - first,
                                     .random = seed * THREADS_MAX + (uint64_t)i,
                                     .period_ms = period_ms,
                                     .journal = journal};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) {
            die("starting a thread", NULL);
        }
    }
    struct worker sum = {0};
    for (int i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        sum.stored += workers[i].stored;
        sum.pending += workers[i].pending;
        sum.failed += workers[i].failed;
        sum.received += workers[i].received;
    }
    close(journal);
    printf("{\"stored\": %lu, \"pending\": %lu, \"failed\": %lu, \"received\": %lu}\n", sum.stored,
           sum.pending, sum.failed, sum.received);
    return 0;
}

/* ---- flush ---- */
static int run_flush(void)
{
    static struct people people;
    unsigned pending = 0;
    people_read(&people);
    for (int i = 0; i < people.cnt; i++) {
        char name[16];
        unsigned left = 0;
        struct ses_client_note note = {{0}};
        name_of(name, i);
        struct ses_client *client = open_profile("%s", name);
        if (ses_client_unlock(client, "", &note) != SES_CLIENT_OK) {
            die("an identity", &note);
        }
        if (ses_client_flush(client, 1, &left, &note) != SES_CLIENT_OK) {
            fprintf(stderr, "load: flush %s: %s\n", name, note.text);
            left += left == 0;
        }
        pending += left;
        ses_client_close(client);
    }
    printf("{\"pending\": %u}\n", pending);
    return 0;
}

/* ---- check ---- */
struct wanted {
    uint8_t uuid[16];
    int to;
    bool found;
};
struct check {
    const struct people *people;
    struct wanted *list; /* sorted by recipient and uuid */
    size_t cnt, cap;
    int me;
    unsigned long opened, unexpected, wrong, failed;
};

static void want(struct check *c, int to, const uint8_t uuid[16])
{
    if (c->cnt == c->cap) {
        c->cap = c->cap == 0 ? 1024 : 2 * c->cap;
        c->list = realloc(c->list, c->cap * sizeof *c->list);
        if (c->list == NULL) {
            die("the list of messages", NULL);
        }
    }
    c->list[c->cnt] = (struct wanted){.to = to};
    memcpy(c->list[c->cnt++].uuid, uuid, 16);
}

static int compare(const void *a, const void *b)
{
    const struct wanted *x = a;
    const struct wanted *y = b;
    return x->to != y->to ? (x->to < y->to ? -1 : 1) : memcmp(x->uuid, y->uuid, 16);
}

static void journal_read(struct check *c)
{
    char path[PATH_CHARS];
    char hex[33];
    int to;
    path_of(path, "%s", "journal");
    FILE *file = fopen(path, "r");
    while (file != NULL && fscanf(file, "%d %32s", &to, hex) == 2 && strlen(hex) == 32) {
        uint8_t uuid[16];
        for (int i = 0; i < 16; i++) {
            unsigned byte = 0;
            sscanf(hex + 2 * i, "%2x", &byte);
            uuid[i] = (uint8_t)byte;
        }
        want(c, to, uuid);
    }
    if (file != NULL) {
        fclose(file);
    }
}

static int on_outbox(void *cookie, const struct ses_client_sent *sent)
{
    struct check *c = cookie;
    c->failed += sent->state == SES_CLIENT_FAILED;
    if (sent->state == SES_CLIENT_STORED) {
        want(c, number_of(c->people, sent->to), sent->uuid);
    }
    return 0;
}

static void outboxes_read(struct check *c)
{
    for (int i = 0; i < c->people->cnt; i++) {
        char name[16];
        struct ses_client_note note = {{0}};
        name_of(name, i);
        struct ses_client *client = open_profile("%s", name);
        if (ses_client_outbox(client, on_outbox, c, &note) != SES_CLIENT_OK) {
            die("an outbox", &note);
        }
        ses_client_close(client);
    }
    qsort(c->list, c->cnt, sizeof *c->list, compare);
    size_t kept = 0; /* journal and outbox name most of them twice */
    for (size_t i = 0; i < c->cnt; i++) {
        if (kept == 0 || compare(&c->list[kept - 1], &c->list[i]) != 0) {
            c->list[kept++] = c->list[i];
        }
    }
    c->cnt = kept;
}

static int on_checked(void *cookie, const struct ses_client_message *message)
{
    struct check *c = cookie;
    struct wanted key = {.to = c->me};
    memcpy(key.uuid, message->uuid, 16);
    struct wanted *hit = bsearch(&key, c->list, c->cnt, sizeof *c->list, compare);
    c->opened++;
    c->wrong += !text_is_right(message->text);
    if (hit != NULL) {
        hit->found = true;
    } else {
        c->unexpected++; /* on its way when its sender was killed: no promise, no harm */
    }
    return 0;
}

/* A fresh profile, as after the loss of a phone: no cursor, nothing seen before. */
static struct ses_client *again(int i, const char *round)
{
    char name[16];
    char fresh[64];
    char phrase[SES_CLIENT_PHRASE_TEXT];
    struct ses_client_note note = {{0}};
    name_of(name, i);
    snprintf(fresh, sizeof fresh, "%s.%s", name, round);
    struct ses_client *old = open_profile("%s", name);
    struct ses_client *client = open_profile("%s", fresh);
    if (ses_client_export_phrase(old, phrase, &note) != SES_CLIENT_OK ||
        ses_client_restore(client, phrase, "", &note) != SES_CLIENT_OK) {
        die("restoring an identity", &note);
    }
    ses_client_close(old);
    return client;
}

static int run_check(void)
{
    static struct people people;
    struct check c = {.people = &people};
    char round[32];
    unsigned long missing = 0;
    unsigned long short_reads = 0;
    snprintf(round, sizeof round, "check-%d", (int)getpid());
    people_read(&people);
    journal_read(&c);
    outboxes_read(&c);
    for (c.me = 0; c.me < people.cnt; c.me++) {
        struct ses_client *client = again(c.me, round);
        struct ses_client_received got = {.more = 1};
        struct ses_client_note note = {{0}};
        bool wait = false;
        for (int turn = 0; (got.more || wait) && turn < TURNS_MAX; turn++) {
            pause_ms(wait ? 200 : 0);
            if (ses_client_receive(client, on_checked, &c, &got, &note) != SES_CLIENT_OK) {
                die("receiving", &note);
            }
            wait = got.waiting > 0 || got.asked < got.wanted;
        }
        short_reads += wait;
        ses_client_close(client);
    }
    for (size_t i = 0; i < c.cnt; i++) {
        if (!c.list[i].found) {
            missing++;
            fprintf(stderr, "load: missing: to %d uuid %02x%02x%02x%02x...\n", c.list[i].to,
                    c.list[i].uuid[0], c.list[i].uuid[1], c.list[i].uuid[2], c.list[i].uuid[3]);
        }
    }
    printf("{\"stored\": %zu, \"opened\": %lu, \"missing\": %lu, \"wrong\": %lu, \"failed\": %lu, "
           "\"unexpected\": %lu, \"short_reads\": %lu}\n",
           c.cnt, c.opened, missing, c.wrong, c.failed, c.unexpected, short_reads);
    free(c.list);
    return missing > 0 || c.wrong > 0 ? 3 : 0;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: load CHAIN DIR make|run|flush|check ...\n");
        return 2;
    }
    chain_url = argv[1];
    dir = argv[2];
    signal(SIGTERM, on_term);
    signal(SIGPIPE, SIG_IGN);
    if (strcmp(argv[3], "make") == 0 && argc == 5) {
        return run_make((int)strtol(argv[4], NULL, 10));
    }
    if (strcmp(argv[3], "run") == 0 && argc >= 6) {
        return run_load((int)strtol(argv[4], NULL, 10), strtoull(argv[5], NULL, 10),
                        argc > 6 ? (unsigned)strtoul(argv[6], NULL, 10) : 0);
    }
    if (strcmp(argv[3], "flush") == 0) {
        return run_flush();
    }
    if (strcmp(argv[3], "check") == 0) {
        return run_check();
    }
    return 2;
}
