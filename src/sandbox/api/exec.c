// SPDX-License-Identifier: Apache-2.0
/* One call for each connection: read the request, start, wait for the end, answer (exec.h). */
#include "sandbox/api/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/fd_pass.h"
#include "net/fd_watch.h"
#include "net/task.h"
#include "sandbox/runtime.h"
#include "wire/node.h"

enum { EXEC_SOCKET = 1, EXEC_DONE = 2, EXEC_REQUEST_BYTES = 64 * 1024 };

struct exec_server {
    struct loop *loop;
    struct cluster *cluster;
    struct runtime *rt;
    struct list calls;
};

struct exec_call {
    struct list link;
    struct exec_server *server;
    struct task task;
    struct fd_watch watch;
    int fd;
    struct runtime_exec *exec;
};

static void call_free(struct exec_call *c)
{
    list_del(&c->link);
    runtime_exec_free(c->exec);
    fd_watch_done(&c->watch);
    close(c->fd);
    task_done(&c->task);
    mem_free(c);
}

static void answer(struct exec_call *c, const char *key, struct view text, int code)
{
    struct buf b = {0};
    buf_printf(&b, "{\"%s\":", key);
    if (text.n)
        buf_json_str(&b, text);
    else
        buf_i64(&b, code);
    buf_str(&b, "}\n");
    struct view v = buf_read(&b);
    (void)!send(c->fd, v.p, v.n, MSG_NOSIGNAL);
    buf_done(&b);
}

static void give_node(struct exec_call *c)
{
    int ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (ns < 0 || fd_send(c->fd, VIEW("{\"exit\":0}\n"), &ns, 1))
        answer(c, "error", VIEW("the node's network namespace cannot be opened"), 0);
    if (ns >= 0)
        close(ns);
}

static struct view container_of(const struct record *pod, struct view wanted)
{
    if (!wanted.n)
        wanted = labels_get(&pod->object->meta.annotations, VIEW("kubectl.kubernetes.io/default-container"));
    return wanted.n || !record_pod(pod)->spec.n_containers ? wanted : record_pod(pod)->spec.containers[0].name;
}

/* Empty: it runs. */
static struct view start(struct exec_call *c, struct arena *a, const struct node *req, const int *fds)
{
    const struct node *command = node_get(req, VIEW("command"));
    const struct record *pod =
        store_get(c->server->cluster->store, KIND_POD, node_text_at(req, "namespace"), node_text_at(req, "pod"));
    if (!pod)
        return arena_printf(a, "pod `%.*s` not found", VIEW_ARGS(node_text_at(req, "pod")));
    if (!node_is(command, NODE_SEQ) || !command->n)
        return VIEW("no command");
    const char **argv = ARENA_ARRAY(a, const char *, command->n + 1);
    for (uint32_t i = 0; i < command->n; i++)
        argv[i] = arena_str(a, node_text(command->items[i]));
    struct view container = container_of(pod, node_text_at(req, "container"));
    struct runtime_exec_config config = {
        .uid = pod->uid, .container = container, .argv = argv, .stdio = {fds[0], fds[1], fds[2]}, .done = &c->task};
    int err = runtime_exec_start(c->server->rt, &config, &c->exec);
    if (err == -ENOENT)
        return arena_printf(a, "container `%.*s` of pod `%.*s` does not run", VIEW_ARGS(container),
                            VIEW_ARGS(pod->name));
    if (err)
        return arena_printf(a, "`%s` could not be started: %s", argv[0], strerror(-err));
    return VIEW_NONE;
}

/* false: the call is over. */
static bool begin(struct exec_call *c)
{
    char *text = mem_alloc(EXEC_REQUEST_BYTES);
    int fds[3] = {-1, -1, -1};
    size_t n_fds = 0;
    ssize_t n = fd_recv(c->fd, text, EXEC_REQUEST_BYTES, fds, COUNT_OF(fds), &n_fds);
    struct arena a;
    arena_init(&a, 0);
    struct node *req = NULL;
    bool goes_on = n == -EAGAIN;
    struct view why = VIEW_NONE;
    if (n > 0 && (node_parse(&a, view_make(text, (size_t)n), &req, NULL) || !node_is(req, NODE_MAP)))
        why = VIEW("the request cannot be read");
    else if (n > 0 && node_bool(node_get(req, VIEW("node")), false))
        give_node(c);
    else if (n > 0 && n_fds == 3) {
        why = start(c, &a, req, fds);
        goes_on = !why.n;
    }
    if (why.n)
        answer(c, "error", why, 0);
    for (size_t i = 0; i < n_fds; i++)
        close(fds[i]);
    arena_done(&a);
    mem_free(text);
    return goes_on;
}

/* Signals that the caller passes on; false: it is gone. */
static bool pass_signals(struct exec_call *c)
{
    unsigned char sig[16];
    ssize_t n;
    while ((n = recv(c->fd, sig, sizeof(sig), MSG_DONTWAIT)) > 0)
        for (ssize_t i = 0; i < n; i++)
            if (sig[i] > 0 && sig[i] < 64)
                runtime_exec_signal(c->exec, sig[i]);
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static void call_run(struct task *t, uint32_t events)
{
    struct exec_call *c = CONTAINER_OF(t, struct exec_call, task);
    int code;
    if (!c->exec && !begin(c)) {
        call_free(c);
        return;
    }
    if (c->exec && runtime_exec_ended(c->exec, &code)) {
        answer(c, "exit", VIEW_NONE, code);
        call_free(c);
        return;
    }
    if (c->exec && !pass_signals(c))
        call_free(c);
}

struct exec_server *exec_server_new(struct loop *loop, struct cluster *cluster, struct runtime *rt)
{
    struct exec_server *s = mem_alloc(sizeof(*s));
    *s = (struct exec_server){.loop = loop, .cluster = cluster, .rt = rt};
    list_init(&s->calls);
    return s;
}

struct exec_server *exec_server_free(struct exec_server *s)
{
    if (!s)
        return NULL;
    LIST_EACH (&s->calls, struct exec_call, link, c)
        call_free(c);
    mem_free(s);
    return NULL;
}

void exec_server_adopt(struct exec_server *s, int fd)
{
    struct exec_call *c = mem_alloc(sizeof(*c));
    c->server = s;
    c->fd = fd;
    task_init(&c->task, s->loop, call_run, "exec");
    fd_watch_init(&c->watch, &c->task, EXEC_SOCKET);
    list_push(&s->calls, &c->link);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) || fd_watch_open(&c->watch, s->loop, fd, FD_IN))
        call_free(c);
}
