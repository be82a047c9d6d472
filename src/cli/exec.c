// SPDX-License-Identifier: Apache-2.0
/* weft exec POD -- COMMAND…: a command in a container, with our own stdin, stdout and stderr; exits as it did.
 * weft exec --node -- COMMAND…: our own command in the node's network namespace, from where every pod and Service is
 * reached (a Prometheus that scrapes them, curl, tcpdump).
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/client.h"
#include "net/fd_pass.h"
#include "wire/node.h"

static int exec_here(struct cli *c, int fd)
{
    char line[256];
    int ns[1];
    size_t n_ns = 0;
    int err = fd_send(fd, VIEW("{\"node\":true}"), (int[]){0}, 1);
    ssize_t n = err ? err : fd_recv(fd, line, sizeof(line), ns, 1, &n_ns);
    if (n <= 0 || n_ns != 1)
        return cli_fail(c, "the sandbox did not hand out its node's network");
    if (setns(ns[0], CLONE_NEWNET))
        return cli_fail(c, "the node's network cannot be entered: %s", strerror(errno));
    const char **argv = ARENA_ARRAY(&c->arena, const char *, c->n_command + 1);
    memcpy(argv, c->command, c->n_command * sizeof(*argv));
    close(ns[0]);
    close(fd);
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    cli_fail(c, "%s: %s", argv[0], strerror(errno));
    return errno == ENOENT ? 127 : 126;
}

static int send_request(struct cli *c, int fd, struct view pod)
{
    struct arena *a = &c->arena;
    struct node *req = node_new(a, NODE_MAP), *command = node_make(a, req, "command", NODE_SEQ);
    node_set_str(a, req, "namespace", c->ns);
    node_set_str(a, req, "pod", pod);
    node_set_str(a, req, "container", view_of(c->opt[OPT_CONTAINER]));
    for (size_t i = 0; i < c->n_command; i++)
        node_push(a, command, node_str(a, view_of(c->command[i])));
    struct buf b = {0};
    node_print_json(req, &b);
    int err = fd_send(fd, buf_read(&b), (int[]){0, 1, 2}, 3);
    buf_done(&b);
    return err;
}

/* Passes signals on until the answer is there. */
static ssize_t wait_answer(int fd, char *line, size_t room)
{
    sigset_t set;
    sigemptyset(&set);
    static const int passed[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < COUNT_OF(passed); i++)
        sigaddset(&set, passed[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int signals = signalfd(-1, &set, SFD_CLOEXEC);
    size_t n = 0;
    while (n < room - 1 && !(n && line[n - 1] == '\n')) {
        struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            break;
        struct signalfd_siginfo info;
        if ((p[1].revents & POLLIN) && read(signals, &info, sizeof(info)) == sizeof(info)) {
            unsigned char sig = (unsigned char)info.ssi_signo;
            (void)!send(fd, &sig, 1, MSG_NOSIGNAL);
        }
        ssize_t got = p[0].revents ? recv(fd, line + n, room - 1 - n, 0) : -1;
        if (got == 0)
            break;
        n += got > 0 ? (size_t)got : 0;
    }
    line[n] = 0;
    return (ssize_t)n;
}

static int exec_pod(struct cli *c, int fd, struct view pod)
{
    if (send_request(c, fd, pod))
        return cli_fail(c, "the request could not be sent to the sandbox");
    char line[4096];
    ssize_t n = wait_answer(fd, line, sizeof(line));
    struct node *answer;
    int64_t code = EXIT_FAILED;
    if (n <= 0 || node_parse(&c->arena, view_of(line), &answer, NULL))
        return cli_fail(c, "the sandbox ended before the command did");
    struct view error = node_text_at(answer, "error");
    if (error.n)
        return cli_fail(c, "%.*s", VIEW_ARGS(error));
    (void)!node_i64(node_get(answer, VIEW("exit")), &code);
    return (int)code;
}

int verb_exec(struct cli *c)
{
    if (!c->n_command)
        return cli_usage(c, "say what to run behind `--`: weft exec POD -- ls");
    bool node = c->opt[OPT_NODE] != NULL;
    if (!node && !c->n_args)
        return cli_usage(c, "say in which pod: weft exec POD -- COMMAND");
    int r = EXIT_OK;
    struct view pod = node ? VIEW_NONE : client_pod(c, view_of(c->args[0]), &r);
    if (!node && !pod.n)
        return r;
    int fd = client_connect(c, "-exec");
    if (fd < 0)
        return client_away(c, fd);
    r = node ? exec_here(c, fd) : exec_pod(c, fd, pod);
    close(fd);
    return r;
}
