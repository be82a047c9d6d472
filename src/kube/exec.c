// SPDX-License-Identifier: Apache-2.0
/* Running the command of users[].user.exec (exec.h; client.authentication.k8s.io ExecCredential, v1 and v1beta1).
 *
 * It gets no terminal (stdin is /dev/null, KUBERNETES_EXEC_INFO says interactive: false), its stderr is ours, and a minute.
 * One that failed is not tried again for 10 s. What it printed is never logged.
 */
#include "kube/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "kube/config.h"
#include "kube/link.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/timer.h"
#include "wire/node.h"

enum { EXEC_IO = 1, EXEC_LATE = 2, EXEC_REAP = 4 };
#define EXEC_MOST (60 * NS_PER_S)
#define EXEC_AGAIN (10 * NS_PER_S)
#define EXEC_EARLY (60 * NS_PER_S) /* before it expires */

extern char **environ;

struct kube_exec_run {
    struct kube_client *client;
    struct task task;
    struct timer late, reap;
    struct conn *conn; /* its stdout; NULL: not running */
    pid_t pid;         /* 0: no child to wait for */
    struct buf out, token, cert, key;
    uint64_t expires;             /* wall ns; 0: when it is refused */
    uint64_t failed_at, asked_at; /* loop time */
    bool have, stale;
};

struct kube_exec *kube_exec_copy(struct arena *a, const struct kube_exec *e)
{
    struct kube_exec *o = ARENA_NEW(a, struct kube_exec);
    const char *const *lists[] = {e->argv, e->env};
    const char *const *copies[2];

    for (int i = 0; i < 2; i++) {
        size_t n = 0;
        while (lists[i] && lists[i][n])
            n++;
        const char **copy = ARENA_ARRAY(a, const char *, n + 1);
        for (size_t j = 0; j < n; j++)
            copy[j] = arena_str(a, view_of(lists[i][j]));
        copies[i] = copy;
    }
    *o = (struct kube_exec){.argv = copies[0],
                            .env = copies[1],
                            .api_version = arena_view(a, e->api_version),
                            .install_hint = arena_view(a, e->install_hint),
                            .cluster_info = e->cluster_info};
    return o;
}

/* ---- starting ---- */

static void exec_info(const struct kube_client *c, struct buf *out)
{
    const struct kube_exec *e = c->config.exec;
    buf_str(out, "KUBERNETES_EXEC_INFO={\"kind\":\"ExecCredential\",\"apiVersion\":");
    buf_json_str(out, e->api_version);
    buf_str(out, ",\"spec\":{\"interactive\":false");
    if (e->cluster_info) {
        buf_str(out, ",\"cluster\":{\"server\":");
        buf_json_str(out, c->config.server);
        if (c->config.server_name.n) {
            buf_str(out, ",\"tls-server-name\":");
            buf_json_str(out, c->config.server_name);
        }
        buf_printf(out, ",\"insecure-skip-tls-verify\":%s}", c->config.insecure ? "true" : "false");
    }
    buf_str(out, "}}");
}

static int spawn(struct kube_exec_run *r, int to)
{
    const struct kube_exec *e = r->client->config.exec;
    struct buf info = {0};
    size_t n = 0, m = 0;
    const char **env;
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none;

    while (environ[n])
        n++;
    while (e->env[m])
        m++;
    env = mem_alloc((n + m + 2) * sizeof(*env));
    exec_info(r->client, &info);
    for (size_t i = 0; i < m; i++)
        env[i] = e->env[i]; /* the first of a name counts */
    env[m] = buf_cstr(&info);
    for (size_t i = 0; i < n; i++)
        env[m + 1 + i] = environ[i];
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, to, 1);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    int err = -posix_spawnp(&r->pid, e->argv[0], &files, &attr, (char *const *)(uintptr_t)e->argv,
                            (char *const *)(uintptr_t)env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    mem_free(env);
    buf_done(&info);
    r->pid = err ? 0 : r->pid;
    return err;
}

static void complain(struct kube_exec_run *r, const char *what)
{
    struct kube_client *c = r->client;
    const struct kube_exec *e = c->config.exec;
    snprintf(c->why, sizeof(c->why), "%s, which is to give us credentials, %s%s%.*s", e->argv[0], what,
             e->install_hint.n ? ": " : "", VIEW_ARGS(e->install_hint));
    r->failed_at = loop_now(c->loop);
}

static int begin(struct kube_exec_run *r)
{
    int pair[2];
    if (r->pid) { /* the last one closed its stdout and stays */
        kill(r->pid, SIGKILL);
        waitpid(r->pid, NULL, 0);
        timer_clear(&r->reap);
        r->pid = 0;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    int err = spawn(r, pair[1]);
    close(pair[1]);
    if (!err && fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0)
        err = -errno;
    if (!err)
        err = conn_adopt(r->client->loop, pair[0], &r->conn);
    if (err) {
        close(pair[0]);
        complain(r, err == -ENOENT ? "is not installed" : "could not be started");
        return -EACCES;
    }
    buf_clear(&r->out);
    r->asked_at = loop_now(r->client->loop);
    timer_in(&r->late, EXEC_MOST);
    conn_own(r->conn, &r->task, EXEC_IO, EXEC_IO);
    return -EAGAIN;
}

/* ---- its answer ---- */

static void keep(struct buf *to, struct view text)
{
    buf_wipe(to);
    buf_view(to, text);
}

static void understand(struct kube_exec_run *r)
{
    struct arena a;
    struct node *n = NULL;
    arena_init(&a, 4096);
    const struct node *s = node_parse(&a, buf_read(&r->out), &n, NULL) ? NULL : node_get(n, VIEW("status"));
    struct view token = node_text_at(s, "token"), cert = node_text_at(s, "clientCertificateData");
    struct view expires = node_text_at(s, "expirationTimestamp");

    if (!view_is(node_text_at(n, "kind"), "ExecCredential") || (!token.n && !cert.n)) {
        complain(r, buf_len(&r->out) ? "did not print an ExecCredential" : "failed (see its own message)");
    } else if (!view_eq(node_text_at(n, "apiVersion"), r->client->config.exec->api_version)) {
        complain(r, "printed another apiVersion than the kubeconfig asks for");
    } else {
        keep(&r->token, token);
        keep(&r->cert, cert);
        keep(&r->key, node_text_at(s, "clientKeyData"));
        if (!expires.n || clock_parse_time(expires, &r->expires))
            r->expires = 0;
        r->have = true;
        r->stale = false;
        r->failed_at = 0;
    }
    arena_done(&a);
}

static void reap(struct kube_exec_run *r)
{
    if (r->pid && waitpid(r->pid, NULL, WNOHANG) == 0)
        timer_in(&r->reap, 50 * NS_PER_MS);
    else
        r->pid = 0;
}

static void ended(struct kube_exec_run *r)
{
    conn_close(r->conn);
    r->conn = NULL;
    timer_clear(&r->late);
    buf_wipe(&r->out);
    reap(r);
    kube_link_wake(r->client);
}

static void exec_run(struct task *t, uint32_t events)
{
    struct kube_exec_run *r = CONTAINER_OF(t, struct kube_exec_run, task);
    ssize_t n = -EAGAIN;

    if (events & EXEC_REAP)
        reap(r);
    if (!r->conn)
        return;
    while (buf_len(&r->out) <= LIMIT_CERT_CHAIN_BYTES && (n = conn_recv_buf(r->conn, &r->out, 4096)) > 0)
        ;
    if (buf_len(&r->out) > LIMIT_CERT_CHAIN_BYTES || (events & EXEC_LATE)) {
        kill(r->pid, SIGKILL);
        complain(r, events & EXEC_LATE ? "took more than a minute" : "printed too much");
        ended(r);
    } else if (n != -EAGAIN) {
        understand(r);
        ended(r);
    }
}

/* ---- for the client ---- */

static struct kube_exec_run *run_of(struct kube_client *c)
{
    struct kube_exec_run *r = c->credential.run;
    if (r)
        return r;
    r = c->credential.run = mem_alloc(sizeof(*r));
    r->client = c;
    task_init(&r->task, c->loop, exec_run, "kube exec");
    timer_init(&r->late, &r->task, EXEC_LATE);
    timer_init(&r->reap, &r->task, EXEC_REAP);
    return r;
}

int kube_exec_token(struct kube_client *c, struct view *ret)
{
    struct kube_exec_run *r = run_of(c);
    bool old = r->expires && loop_wall(c->loop) + EXEC_EARLY >= r->expires;

    if (r->conn)
        return -EAGAIN;
    if (!r->have || r->stale || old) {
        bool lately = r->failed_at && loop_now(c->loop) - r->failed_at < EXEC_AGAIN;
        if (!lately)
            return begin(r);
        if (!r->have || r->stale)
            return -EACCES;
    }
    *ret = buf_read(&r->token);
    return 0;
}

bool kube_exec_refused(struct kube_client *c)
{
    struct kube_exec_run *r = run_of(c);
    r->stale = r->stale || loop_now(c->loop) - r->asked_at > EXEC_AGAIN; /* a fresh one that is refused stays refused */
    return r->stale;
}

struct view kube_exec_cert(struct kube_client *c)
{
    return c->credential.run ? buf_read(&c->credential.run->cert) : VIEW_NONE;
}

struct view kube_exec_key(struct kube_client *c)
{
    return c->credential.run ? buf_read(&c->credential.run->key) : VIEW_NONE;
}

void kube_exec_done(struct kube_client *c)
{
    struct kube_exec_run *r = c->credential.run;
    if (!r)
        return;
    if (r->pid) {
        kill(r->pid, SIGKILL);
        waitpid(r->pid, NULL, 0);
    }
    conn_close(r->conn);
    buf_wipe(&r->out);
    buf_wipe(&r->token);
    buf_wipe(&r->cert);
    buf_wipe(&r->key);
    timer_done(&r->late);
    timer_done(&r->reap);
    task_done(&r->task);
    mem_free(r);
    c->credential.run = NULL;
}
