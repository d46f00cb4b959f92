/* Processes and ports of a devnet. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/devnet_internal.h"

#define STOP_WAIT_MS 12000u
#define STOP_POLL_MS 20u

enum ses_err devnet_path(struct cli *cli, const struct devnet *net, char out[DEVNET_PATH_MAX],
                         const char *format, ...)
{
    const int dir_len = snprintf(out, DEVNET_PATH_MAX, "%s/", net->dir);
    va_list args;
    va_start(args, format);
    const int len = vsnprintf(out + dir_len, DEVNET_PATH_MAX - (size_t)dir_len, format, args);
    va_end(args);
    if (len < 0 || (size_t)dir_len + (size_t)len >= DEVNET_PATH_MAX) {
        return cli_fail(cli, SES_ERR_INVALID, "the directory name %.100s... is too long", net->dir);
    }
    return SES_OK;
}

static enum ses_err port_bind(int *fd, uint16_t *port)
{
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    SES_REQUIRE(*fd >= 0, SES_ERR_IO);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof address;
    SES_REQUIRE(bind(*fd, (struct sockaddr *)&address, len) == 0, SES_ERR_IO);
    SES_REQUIRE(getsockname(*fd, (struct sockaddr *)&address, &len) == 0, SES_ERR_IO);
    *port = ntohs(address.sin_port);
    return SES_OK;
}

enum ses_err devnet_free_ports(struct cli *cli, uint16_t *ports, uint32_t count)
{
    int fds[2 * DEVNET_NODES_MAX + 2];
    SES_ASSERT(count <= SES_COUNT(fds));
    uint32_t open_cnt = 0;
    enum ses_err err = SES_OK;
    while (err == SES_OK && open_cnt < count) {
        err = port_bind(&fds[open_cnt], &ports[open_cnt]);
        open_cnt += fds[open_cnt] >= 0;
    }
    for (uint32_t i = 0; i < open_cnt; i++) {
        close(fds[i]);
    }
    return err == SES_OK ? SES_OK : cli_fail(cli, err, "no free TCP ports on 127.0.0.1");
}

void devnet_program(char out[DEVNET_PATH_MAX], const char *name)
{
    char self[DEVNET_PATH_MAX / 2];
    const ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len > 0) {
        self[len] = 0;
        char *slash = strrchr(self, '/');
        *slash = 0;
        snprintf(out, DEVNET_PATH_MAX, "%s/%s", self, name);
        if (access(out, X_OK) == 0) {
            return;
        }
    }
    snprintf(out, DEVNET_PATH_MAX, "%s", name); /* execvp looks in PATH */
}

/* Start time of a process; 0 if there is none, or it is a zombie. */
static uint64_t start_time(pid_t pid)
{
    char path[64];
    char text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    const ssize_t len = read(fd, text, sizeof text - 1);
    close(fd);
    if (len <= 0) {
        return 0;
    }
    text[len] = 0;
    char *at = strrchr(text, ')'); /* the name may hold spaces */
    if (at == NULL || at[1] == 0 || at[2] == 'Z') {
        return 0;
    }
    at += 2; /* field 3; the start time is field 22 */
    for (int field = 3; field < 22 && at != NULL; field++) {
        at = strchr(at + 1, ' ');
    }
    return at == NULL ? 0 : strtoull(at, NULL, 10);
}

bool devnet_alive(const struct devnet_proc *proc)
{
    const uint64_t started = start_time(proc->pid);
    return started != 0 && started == proc->started;
}

static int open_log(const char *log)
{
    return open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

__attribute__((noreturn)) static void child_exec(int log_fd, bool detach, char *const argv[])
{
    const int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (detach) {
        setsid();
    }
    if (dup2(null_fd, STDIN_FILENO) < 0 || dup2(log_fd, STDOUT_FILENO) < 0 ||
        dup2(log_fd, STDERR_FILENO) < 0) {
        _exit(127);
    }
    execvp(argv[0], argv);
    dprintf(STDERR_FILENO, "cannot start %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static enum ses_err child_start(struct cli *cli, pid_t *pid, const char *log, bool detach,
                                char *const argv[])
{
    const int log_fd = open_log(log);
    if (log_fd < 0) {
        return cli_fail(cli, SES_ERR_IO, "cannot write %.200s: %s", log, strerror(errno));
    }
    *pid = fork();
    if (*pid == 0) {
        child_exec(log_fd, detach, argv);
    }
    close(log_fd);
    return *pid > 0 ? SES_OK : cli_fail(cli, SES_ERR_MEMORY, "cannot start another process");
}

enum ses_err devnet_spawn(struct cli *cli, struct devnet_proc *proc, const char *name,
                          const char *log, char *const argv[])
{
    SES_TRY(child_start(cli, &proc->pid, log, true, argv));
    snprintf(proc->name, sizeof proc->name, "%s", name);
    proc->started = start_time(proc->pid);
    return SES_OK;
}

enum ses_err devnet_run(struct cli *cli, const char *log, char *const argv[])
{
    pid_t pid = 0;
    SES_TRY(child_start(cli, &pid, log, false, argv));
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
        SES_REQUIRE(errno == EINTR, SES_ERR_IO);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        return cli_fail(cli, SES_ERR_IO, "%.100s %.60s failed; its last words are in %.150s",
                        argv[0], argv[1], log);
    }
    return SES_OK;
}

static void sleep_ms(uint64_t ms)
{
    const struct timespec pause = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

static bool any_alive(const struct devnet *net)
{
    for (uint32_t i = 0; i < net->proc_cnt; i++) {
        /* our own children are zombies until they are waited for */
        waitpid(net->procs[i].pid, NULL, WNOHANG);
        if (devnet_alive(&net->procs[i])) {
            return true;
        }
    }
    return false;
}

static void signal_all(const struct devnet *net, int signum)
{
    for (uint32_t i = net->proc_cnt; i > 0; i--) { /* nodes first, the chain last */
        if (devnet_alive(&net->procs[i - 1])) {
            kill(net->procs[i - 1].pid, signum);
        }
    }
}

void devnet_stop_all(struct devnet *net)
{
    signal_all(net, SIGTERM);
    for (uint64_t waited = 0; any_alive(net) && waited < STOP_WAIT_MS; waited += STOP_POLL_MS) {
        sleep_ms(STOP_POLL_MS);
    }
    signal_all(net, SIGKILL);
    for (uint64_t waited = 0; any_alive(net) && waited < 2000; waited += STOP_POLL_MS) {
        sleep_ms(STOP_POLL_MS);
    }
    net->proc_cnt = 0;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)type;
    (void)where;
    return remove(path);
}

enum ses_err devnet_remove(struct cli *cli, const struct devnet *net)
{
    char state[DEVNET_PATH_MAX];
    SES_TRY(devnet_path(cli, net, state, "devnet.json"));
    if (access(state, F_OK) != 0) {
        return cli_fail(cli, SES_ERR_NOT_FOUND, "%.200s holds no devnet; nothing was removed",
                        net->dir);
    }
    if (nftw(net->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0) {
        return cli_fail(cli, SES_ERR_IO, "cannot remove all of %.200s: %s", net->dir,
                        strerror(errno));
    }
    return SES_OK;
}
