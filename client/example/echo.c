/* An echo service in forty lines: answers every text with the same text.
 *
 *     cc echo.c $(pkg-config --cflags --libs libsession) -o echo
 *     ./echo PROFILE CHAIN_URL
 *
 * The profile gets an unencrypted identity if it has none. Stop with Ctrl-C. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <session/session.h>

static struct ses_client *client;
static struct {
    char to[SES_CLIENT_ID_TEXT];
    char text[4096];
    int waiting;
} answer;

static void on_signal(int signum)
{
    (void)signum;
    /* session.h allows it in a signal handler: NOLINTNEXTLINE(bugprone-signal-handler) */
    ses_client_stop(client);
}

/* Callbacks may not call the object: the answer is sent when the call has returned. */
static int on_message(void *cookie, const struct ses_client_message *message)
{
    (void)cookie;
    printf("%s: %s\n", message->sender, message->text != NULL ? message->text : "(no text)");
    if (message->kind != SES_CLIENT_TEXT || strlen(message->text) >= sizeof answer.text) {
        return 0;
    }
    memcpy(answer.to, message->sender, sizeof answer.to);
    memcpy(answer.text, message->text, strlen(message->text) + 1);
    answer.waiting = 1;
    ses_client_stop(client);
    return 0;
}

static int fail(const struct ses_client_note *note)
{
    fprintf(stderr, "echo: %s\n", note->text);
    return 1;
}

static int serve(struct ses_client_note *note)
{
    for (;;) {
        struct ses_client_sent sent;
        const struct ses_client_send reply = {
            .size = sizeof reply, .to = answer.to, .text = answer.text};
        if (ses_client_watch(client, on_message, NULL, note) != SES_CLIENT_OK) {
            return fail(note);
        }
        if (!answer.waiting) {
            return 0; /* Ctrl-C */
        }
        answer.waiting = 0;
        if (ses_client_send(client, &reply, &sent, note) != SES_CLIENT_OK) {
            (void)fail(note); /* it stays in the outbox and goes out later */
        }
    }
}

int main(int argc, char **argv)
{
    struct ses_client_note note;
    char id[SES_CLIENT_ID_TEXT];
    if (argc != 3) {
        fprintf(stderr, "usage: echo PROFILE CHAIN_URL\n");
        return 2;
    }
    const struct ses_client_config config = {
        .size = sizeof config, .profile = argv[1], .chain = argv[2]};
    if (ses_client_open(&client, &config, &note) != SES_CLIENT_OK) {
        return fail(&note);
    }
    int rc = 0;
    if (!ses_client_has_identity(client, NULL)) {
        rc = ses_client_create(client, "", &note);
    }
    if (rc != SES_CLIENT_OK || ses_client_id(client, id, &note) != SES_CLIENT_OK) {
        ses_client_close(client);
        return fail(&note);
    }
    printf("%s\n", id);
    fflush(stdout);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    rc = serve(&note);
    ses_client_close(client);
    return rc;
}
