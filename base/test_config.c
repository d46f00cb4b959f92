#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "base/tap.h"

static const struct ses_config_key KEYS[] = {
    {"rpc-listen", "127.0.0.1:9650", "address of the RPC server", false},
    {"chain", NULL, "URL of the chain", false},
    {"port", "22020", "port", false},
    {"verbose", NULL, "say more", true},
    {0}};

static struct ses_config *config_new(void)
{
    struct ses_config *c;
    TAP_MUST(ses_config_new(&c, KEYS) == SES_OK);
    return c;
}

static enum ses_err read_text(struct ses_config *c, const char *text, struct ses_note *note)
{
    return ses_config_read_text(c, "file.conf", text, strlen(text), note);
}

static void test_file_text(void)
{
    struct ses_config *c = config_new();
    struct ses_note note = {0};
    TAP_ERR(SES_OK, read_text(c,
                              "# comment\n\n  chain =  http://h:1/a#b  # why\r\n"
                              "verbose=true\nport =",
                              &note));
    TAP_TEXT("http://h:1/a#b", ses_config_get(c, "chain"));
    TAP_TEXT("", ses_config_get(c, "port"));
    TAP_TEXT("127.0.0.1:9650", ses_config_get(c, "rpc-listen"));
    TAP_OK(ses_config_flag(c, "verbose"));
    ses_config_free(c);
}

static void test_file_refuses(void)
{
    static const struct {
        const char *text;
        const char *note;
    } bad[] = {{"chain = a\nchian = b\n",
                "file.conf:2: unknown key \"chian\"; --help lists the known ones"},
               {"\n\nchain\n", "file.conf:3: expected \"key = value\"; a comment starts with #"},
               {"chain=a\nchain=b", "file.conf:2: chain is given twice; keep one of the lines"},
               {"verbose = yes", "file.conf:1: verbose is a switch: give true or false"},
               {"\x01\xff = 1", "file.conf:1: unknown key \"\?\?\"; --help lists the known ones"},
               {"= 1", "file.conf:1: unknown key \"\"; --help lists the known ones"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct ses_config *c = config_new();
        struct ses_note note = {0};
        TAP_ERR(SES_ERR_CONFIG, read_text(c, bad[i].text, &note));
        TAP_TEXT(bad[i].note, note.text);
        ses_config_free(c);
    }
    struct ses_config *c = config_new();
    TAP_ERR(SES_ERR_CONFIG, ses_config_read_text(c, "f", "chain = a\0b", 11, NULL));
    ses_config_free(c);
}

static void test_file(void)
{
    char path[] = "/tmp/ses_config_XXXXXX";
    const int fd = mkstemp(path);
    TAP_MUST(fd >= 0 && write(fd, "chain = x\n", 10) == 10);
    struct ses_config *c = config_new();
    struct ses_note note = {0};
    TAP_ERR(SES_OK, ses_config_read_file(c, path, &note));
    TAP_TEXT("x", ses_config_get(c, "chain"));
    TAP_MUST(ftruncate(fd, (1 << 20) + 1) == 0);
    TAP_ERR(SES_ERR_TOO_LARGE, ses_config_read_file(c, path, &note));
    TAP_OK(strstr(note.text, "1048576 bytes") != NULL);
    TAP_MUST(close(fd) == 0 && unlink(path) == 0);
    TAP_ERR(SES_ERR_NOT_FOUND, ses_config_read_file(c, path, &note));
    TAP_OK(strstr(note.text, path) != NULL);
    TAP_ERR(SES_ERR_IO, ses_config_read_file(c, "/", &note));
    ses_config_free(c);
}

static void test_precedence(void)
{
    struct ses_config *c = config_new();
    struct ses_note note;
    TAP_ERR(SES_OK, read_text(c, "chain = file\nport = 1\nrpc-listen = file", &note));
    TAP_MUST(setenv("SES_T_CHAIN", "env", 1) == 0 && setenv("SES_T_RPC_LISTEN", "env", 1) == 0);
    TAP_ERR(SES_OK, ses_config_read_env(c, "SES_T", &note));
    char *argv[] = {"prog", "--chain=option", "keep", "--port", "7",
                    "-x",   "--verbose",      "--",   "--y",    NULL};
    int argc = 9;
    TAP_ERR(SES_OK, ses_config_read_args(c, &argc, argv, &note));
    TAP_TEXT("option", ses_config_get(c, "chain"));
    TAP_TEXT("env", ses_config_get(c, "rpc-listen"));
    TAP_TEXT("7", ses_config_get(c, "port"));
    TAP_OK(ses_config_flag(c, "verbose"));
    TAP_MUST(argc == 4);
    TAP_TEXT("keep", argv[1]);
    TAP_TEXT("-x", argv[2]);
    TAP_TEXT("--y", argv[3]);
    TAP_MUST(setenv("SES_T_VERBOSE", "maybe", 1) == 0);
    TAP_ERR(SES_ERR_CONFIG, ses_config_read_env(c, "SES_T", &note));
    TAP_TEXT("SES_T_VERBOSE: verbose is a switch: give true or false", note.text);
    ses_config_free(c);
}

static void test_args_refuse(void)
{
    struct ses_config *c = config_new();
    struct ses_note note;
    char *unknown[] = {"prog", "--portt", "1", NULL};
    int argc = 3;
    TAP_ERR(SES_ERR_CONFIG, ses_config_read_args(c, &argc, unknown, &note));
    TAP_TEXT("unknown option --portt; --help lists the known ones", note.text);
    char *missing[] = {"prog", "--port", NULL};
    argc = 2;
    TAP_ERR(SES_ERR_CONFIG, ses_config_read_args(c, &argc, missing, &note));
    TAP_TEXT("--port needs a value: --port VALUE", note.text);
    argc = 0;
    TAP_ERR(SES_OK, ses_config_read_args(c, &argc, missing, &note));
    ses_config_free(c);
}

static void test_numbers(void)
{
    static const char *const bad[] = {"port = 0",
                                      "port = 65536",
                                      "port = -1",
                                      "port = +5",
                                      "port = 5x",
                                      "port = ",
                                      "port = 99999999999999999999",
                                      "port = 0x10"};
    unsigned long long port;
    struct ses_note note;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct ses_config *c = config_new();
        TAP_MUST(read_text(c, bad[i], &note) == SES_OK);
        TAP_ERR(SES_ERR_CONFIG, ses_config_u64(c, "port", 1, 65535, &port, &note));
        TAP_OK(strncmp(note.text, "port must be a whole number from 1 to 65535", 43) == 0);
        ses_config_free(c);
    }
    struct ses_config *c = config_new();
    TAP_ERR(SES_OK, ses_config_u64(c, "port", 1, 65535, &port, &note));
    TAP_EQ(22020, port);
    TAP_ERR(SES_ERR_CONFIG, ses_config_u64(c, "chain", 0, 1, &port, &note));
    ses_config_free(c);
}

/* What --help prints, with standard output turned into a file. */
static void test_help(void)
{
    char text[2000];
    FILE *file = tmpfile();
    TAP_MUST(file != NULL && fflush(stdout) == 0);
    const int saved = dup(STDOUT_FILENO);
    TAP_MUST(saved >= 0 && dup2(fileno(file), STDOUT_FILENO) >= 0);
    ses_config_help(KEYS);
    fflush(stdout);
    TAP_MUST(dup2(saved, STDOUT_FILENO) >= 0 && close(saved) == 0);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    TAP_TEXT("  --rpc-listen VALUE         address of the RPC server (default 127.0.0.1:9650)\n"
             "  --chain VALUE              URL of the chain\n"
             "  --port VALUE               port (default 22020)\n"
             "  --verbose                  say more\n",
             text);
}

static void test_no_memory(void)
{
    for (uint64_t n = 1; n < 20; n++) {
        struct ses_config *c = NULL;
        ses_alloc_fail_at(n);
        enum ses_err err = ses_config_new(&c, KEYS);
        if (err == SES_OK) {
            err = read_text(c, "chain = a\nport = 5\n", NULL);
        }
        TAP_ERR(n <= 5 ? SES_ERR_MEMORY : SES_OK, err);
        ses_alloc_fail_at(0);
        ses_config_free(c);
    }
}

int main(void)
{
    TAP_RUN(test_file_text);
    TAP_RUN(test_file_refuses);
    TAP_RUN(test_file);
    TAP_RUN(test_precedence);
    TAP_RUN(test_args_refuse);
    TAP_RUN(test_numbers);
    TAP_RUN(test_help);
    TAP_RUN(test_no_memory);
    return tap_done();
}
