// SPDX-License-Identifier: Apache-2.0
/* Name resolution (resolve.h): c-ares, whose sockets are watched by the loop and whose deadline is one of its timers;
 * in a simulation the names that sim_name() gave. c-ares calls back in the middle of its work, so what it says is kept
 * and only bits are set.
 */
#include "net/resolve.h"

#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "net/fd_watch.h"
#include "net/loop_impl.h"
#include "net/timer.h"

enum resolver_bits {
    RESOLVER_SOCKET = 1,
    RESOLVER_LATE = 2,
};

struct resolver_socket {
    struct list link;
    struct fd_watch watch;
};

struct resolver {
    struct loop *loop;
    ares_channel channel;
    struct task task;
    struct timer timer;
    struct list sockets;
    struct list open; /* struct open_query */
};

struct open_query {
    struct list link;
    struct resolver *resolver;
    struct query *query; /* NULL: nobody waits for it any more */
};

static int by_bytes(const void *a, const void *b)
{
    return addr_cmp(a, b);
}

static void query_answer(struct query *q, int status, const struct addr *addrs, uint32_t n, uint32_t ttl)
{
    q->status = status;
    q->n_addrs = 0;
    if (status == 0) {
        q->addrs = mem_grow(q->addrs, n * sizeof(*addrs));
        memcpy(q->addrs, addrs, n * sizeof(*addrs));
        qsort(q->addrs, n, sizeof(*addrs), by_bytes);
        for (uint32_t i = 0; i < n; i++) /* each once */
            if (!q->n_addrs || !addr_eq(&q->addrs[q->n_addrs - 1], &q->addrs[i]))
                q->addrs[q->n_addrs++] = q->addrs[i];
        q->ttl = ttl ? ttl : 1;
    }
    task_wake(q->task, q->bits);
}

/* ---- c-ares ---- */

static int status_of(int ares)
{
    switch (ares) {
    case ARES_SUCCESS:
        return 0;
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_EREFUSED:
        return -ENOENT;
    case ARES_ETIMEOUT:
        return -ETIMEDOUT;
    case ARES_ECONNREFUSED:
        return -ECONNREFUSED;
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION:
        return -ECANCELED;
    case ARES_EBADNAME:
    case ARES_EBADFAMILY:
        return -EINVAL;
    }
    return -EIO;
}

static void answered(void *arg, int ares, int timeouts, struct ares_addrinfo *info)
{
    struct open_query *o = arg;
    struct query *q = o->query;
    if (q) {
        struct addr addrs[LIMIT_RESOLVED_ADDRS];
        uint32_t n = 0, ttl = UINT32_MAX;
        int status = status_of(ares);
        for (struct ares_addrinfo_node *node = info ? info->nodes : NULL; node && n < LIMIT_RESOLVED_ADDRS;
             node = node->ai_next) {
            addr_from_sockaddr(&addrs[n], node->ai_addr, node->ai_addrlen);
            addrs[n].port = 0;
            n += addrs[n].family != ADDR_NONE;
            ttl = node->ai_ttl >= 0 && (uint32_t)node->ai_ttl < ttl ? (uint32_t)node->ai_ttl : ttl;
        }
        if (status == 0 && n == 0)
            status = -ENOENT;
        q->open = NULL;
        query_answer(q, status, addrs, n, ttl);
    }
    ares_freeaddrinfo(info);
    list_del(&o->link);
    mem_free(o);
}

static struct resolver_socket *socket_of(struct resolver *r, int fd)
{
    LIST_EACH (&r->sockets, struct resolver_socket, link, s)
        if (s->watch.fd == fd)
            return s;
    return NULL;
}

/* c-ares opened, closed or wants something else of a socket. */
static void socket_changed(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = arg;
    struct resolver_socket *s = socket_of(r, fd);
    uint32_t interest = (readable ? FD_IN : 0) | (writable ? FD_OUT : 0);
    if (!interest) {
        if (s) {
            fd_watch_done(&s->watch);
            list_del(&s->link);
            mem_free(s);
        }
        return;
    }
    if (s) {
        if (fd_watch_change(&s->watch, interest) < 0)
            task_wake(&r->task, RESOLVER_LATE);
        return;
    }
    s = mem_alloc(sizeof(*s));
    fd_watch_init(&s->watch, &r->task, RESOLVER_SOCKET);
    list_push(&r->sockets, &s->link);
    if (fd_watch_open(&s->watch, r->loop, fd, interest) < 0)
        s->watch.fd = fd; /* not watched: the time-out will tell */
}

static void set_timer(struct resolver *r)
{
    struct timeval tv, *next = ares_timeout(r->channel, NULL, &tv);
    if (next)
        timer_in(&r->timer, (uint64_t)next->tv_sec * NS_PER_S + (uint64_t)next->tv_usec * NS_PER_US);
    else
        timer_rest(&r->timer);
}

static void resolver_run(struct task *t, uint32_t events)
{
    struct resolver *r = CONTAINER_OF(t, struct resolver, task);
    struct {
        int fd;
        uint32_t ready;
    } ready[16]; /* first copied: processing one may close others */
    size_t n = 0;
    LIST_EACH (&r->sockets, struct resolver_socket, link, s)
        if (s->watch.ready && n < COUNT_OF(ready)) {
            ready[n].fd = s->watch.fd;
            ready[n++].ready = s->watch.ready;
            s->watch.ready = 0;
        }
    for (size_t i = 0; i < n; i++)
        ares_process_fd(r->channel, ready[i].ready & FD_IN ? ready[i].fd : ARES_SOCKET_BAD,
                        ready[i].ready & FD_OUT ? ready[i].fd : ARES_SOCKET_BAD);
    if (n == 0)
        ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    set_timer(r);
}

static int set_servers(ares_channel channel, const struct resolver_options *o)
{
    struct buf text = {0};
    for (uint32_t i = 0; i < o->n_servers; i++) {
        char addr[ADDR_TEXT];
        if (i)
            buf_char(&text, ',');
        buf_view(&text, addr_print(&o->servers[i], addr));
    }
    int r = ares_set_servers_ports_csv(channel, buf_cstr(&text));
    buf_done(&text);
    return r;
}

struct resolver *resolver_new(struct loop *l, const struct resolver_options *options)
{
    static const struct resolver_options none;
    const struct resolver_options *o = options ? options : &none;
    struct resolver *r = mem_alloc(sizeof(*r));
    r->loop = l;
    list_init(&r->sockets);
    list_init(&r->open);
    if (loop_simulated(l))
        return r;
    task_init(&r->task, l, resolver_run, "resolver");
    timer_init(&r->timer, &r->task, RESOLVER_LATE);
    struct ares_options ares = {
        .timeout = o->timeout_ms ? (int)o->timeout_ms : 2000,
        .tries = o->tries ? (int)o->tries : 3,
        .sock_state_cb = socket_changed,
        .sock_state_cb_data = r,
    };
    int status = ares_library_init(ARES_LIB_INIT_ALL);
    if (status == ARES_SUCCESS)
        status = ares_init_options(&r->channel, &ares, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status == ARES_SUCCESS && o->n_servers && (status = set_servers(r->channel, o)) != ARES_SUCCESS)
        ares_destroy(r->channel);
    if (status != ARES_SUCCESS) {
        mem_free(r);
        return NULL;
    }
    return r;
}

struct resolver *resolver_free(struct resolver *r)
{
    if (!r)
        return NULL;
    if (!loop_simulated(r->loop)) {
        ares_destroy(r->channel); /* answers what is open with ARES_EDESTRUCTION */
        ares_library_cleanup();
        LIST_EACH (&r->sockets, struct resolver_socket, link, s) {
            list_del(&s->link);
            mem_free(s);
        }
        timer_done(&r->timer);
        task_done(&r->task);
    }
    mem_free(r);
    return NULL;
}

/* ---- queries ---- */

void query_init(struct query *q, struct task *task, uint32_t bits)
{
    *q = (struct query){.task = task, .bits = bits, .status = -EAGAIN};
}

static void resolve_simulated(struct resolver *r, struct query *q, struct view name, uint32_t families)
{
    struct addr all[LIMIT_RESOLVED_ADDRS];
    uint32_t n = sim_lookup(r->loop, name, all, COUNT_OF(all)), kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (families & (all[i].family == ADDR_V4 ? RESOLVE_V4 : RESOLVE_V6))
            all[kept++] = all[i];
    query_answer(q, kept ? 0 : -ENOENT, all, kept, 30);
}

void resolve(struct resolver *r, struct query *q, struct view name, uint32_t families)
{
    if (q->open)
        ((struct open_query *)q->open)->query = NULL;
    q->open = NULL;
    q->status = -EAGAIN;
    struct addr literal;
    char host[256];
    if (addr_parse_ip(name, 0, &literal) == 0) {
        query_answer(q, 0, &literal, 1, UINT32_MAX);
        return;
    }
    if (name.n == 0 || name.n >= sizeof(host) || view_find(name, 0) < name.n) {
        query_answer(q, -EINVAL, NULL, 0, 0);
        return;
    }
    if (loop_simulated(r->loop)) {
        resolve_simulated(r, q, name, families);
        return;
    }
    memcpy(host, name.p, name.n);
    host[name.n] = 0;
    struct open_query *o = mem_alloc(sizeof(*o));
    *o = (struct open_query){.resolver = r, .query = q};
    list_push(&r->open, &o->link);
    q->open = o;
    struct ares_addrinfo_hints hints = {
        .ai_family = families == RESOLVE_V4   ? AF_INET
                     : families == RESOLVE_V6 ? AF_INET6
                                              : AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = ARES_AI_NOSORT,
    };
    ares_getaddrinfo(r->channel, host, NULL, &hints, answered, o); /* may answer at once: q->open is NULL then */
    set_timer(r);
}

void query_done(struct query *q)
{
    if (q->open)
        ((struct open_query *)q->open)->query = NULL;
    q->open = NULL;
    mem_free(q->addrs);
    q->addrs = NULL;
    q->n_addrs = 0;
}
