// SPDX-License-Identifier: Apache-2.0
/* Mirrored requests (mirror.h). Each is a task: wait for a connection, send what has come, read the answer to its end and
 * throw it away. Hosts get Envoy's suffix -shadow, unless the policy keeps them.
 */
#include "proxy/filter/mirror.h"

#include "base/limits.h"
#include "base/list.h"
#include "base/must.h"
#include "net/loop.h"
#include "proxy/connection.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

enum mirror_bits {
    MIRROR_POOL = 1,
    MIRROR_UP = 2,
    MIRROR_LATE = 4,
};

#define MIRROR_TIMEOUT (15 * NS_PER_S)

struct mirror {
    struct list link;     /* in worker->mirrors */
    struct list siblings; /* in stream->mirrors while the request's body comes */
    struct task task;
    struct timer timer;
    struct worker *worker;
    struct arena arena;
    struct headers head;
    struct buf body;
    struct upstream *upstream;
    struct host *endpoint;
    struct pool_ask ask;
    struct http_stream *up;
    bool ended, sent_end, broken;
};

static void mirror_free(struct mirror *m)
{
    m->up = http_stream_free(m->up);
    pool_ask_done(&m->ask);
    if (m->endpoint) {
        m->endpoint->active--;
        host_unref(m->endpoint);
    }
    upstream_unref(m->upstream);
    timer_done(&m->timer);
    task_done(&m->task);
    list_del(&m->link);
    list_del(&m->siblings);
    buf_done(&m->body);
    arena_done(&m->arena);
    mem_free(m);
}

static bool mirror_send(struct mirror *m)
{
    if (!m->up) {
        m->up = m->ask.stream;
        http_stream_own(m->up, &m->task, MIRROR_UP);
        if (http_stream_headers(m->up, &m->head, m->ended && !buf_len(&m->body)) < 0)
            return false;
        m->sent_end = m->ended && !buf_len(&m->body);
    }
    if (m->sent_end || (m->up->ready & HTTP_RESET))
        return !(m->up->ready & HTTP_RESET);
    ssize_t n = http_stream_data(m->up, buf_read(&m->body), m->ended);
    if (n < 0)
        return false;
    buf_drop(&m->body, (size_t)n);
    m->sent_end = m->ended && buf_len(&m->body) == 0;
    return true;
}

static void mirror_run(struct task *t, uint32_t events)
{
    struct mirror *m = CONTAINER_OF(t, struct mirror, task);
    if ((events & MIRROR_LATE) || m->broken || m->ask.state == POOL_FAILED) {
        mirror_free(m);
        return;
    }
    if (m->ask.state != POOL_READY)
        return;
    if (!mirror_send(m)) {
        mirror_free(m);
        return;
    }
    struct view v;
    while (http_stream_peek(m->up, &v))
        http_stream_consume(m->up, v.n);
    if ((m->up->ready & HTTP_END) && m->sent_end)
        mirror_free(m);
}

static struct mirror *mirror_new(struct stream *s, const struct route_mirror *r)
{
    struct worker *w = s->worker;
    struct upstream *u = worker_upstream(w, &r->cluster);
    struct pick pick = {.now = loop_now(w->loop)};
    struct host *h = u && !upstream_is_resolving(u) ? upstream_pick(u, &pick, &s->connection->destination) : NULL;
    if (!h)
        return NULL;
    struct mirror *m = mem_alloc(sizeof(*m));
    m->worker = w;
    m->upstream = upstream_ref(u);
    m->endpoint = host_ref(h);
    h->active++;
    task_init(&m->task, w->loop, mirror_run, "mirror");
    timer_init(&m->timer, &m->task, MIRROR_LATE);
    timer_in(&m->timer, MIRROR_TIMEOUT);
    arena_init(&m->arena, 4096);
    list_init(&m->siblings);
    list_push(&w->mirrors, &m->link);
    headers_init(&m->head, &m->arena);
    pool_ask_init(&m->ask, &m->task, MIRROR_POOL);
    m->broken = headers_copy(&m->head, &s->down->in) < 0;
    struct view host = headers_value(&m->head, HEADER_AUTHORITY);
    if (!r->keep_host && host.n) {
        size_t port = view_find(host, ':');
        host = arena_printf(&m->arena, "%.*s-shadow%.*s", VIEW_ARGS(view_head(host, port)),
                            VIEW_ARGS(view_from(host, port)));
        m->broken |= headers_set(&m->head, HEADER_AUTHORITY, host) < 0;
    }
    m->ended = (s->down->ready & HTTP_END) != 0;
    pool_ask(&m->ask, u, h, u->cluster->protocol == PROTOCOL_HTTP2 ? HTTP_2 : HTTP_1);
    task_wake(&m->task, MIRROR_POOL);
    return m;
}

void mirror_start(struct stream *s)
{
    const struct route_forward *f = &s->route->forward;
    for (uint32_t i = 0; i < f->n_mirrors; i++) {
        if (rng_below(loop_rng(s->worker->loop), 1000000) >= f->mirrors[i].per_million)
            continue;
        struct mirror *m = mirror_new(s, &f->mirrors[i]);
        if (m && !m->ended)
            list_push(&s->mirrors, &m->siblings);
    }
}

void mirror_data(struct stream *s, struct view bytes)
{
    LIST_EACH (&s->mirrors, struct mirror, siblings, m) {
        if (buf_len(&m->body) + bytes.n > LIMIT_HTTP_BUFFER_BYTES) {
            m->broken = true;
            list_del(&m->siblings);
        } else {
            buf_view(&m->body, bytes);
        }
        task_wake(&m->task, MIRROR_UP);
    }
}

void mirror_end(struct stream *s)
{
    LIST_EACH (&s->mirrors, struct mirror, siblings, m) {
        m->ended = true;
        list_del(&m->siblings);
        task_wake(&m->task, MIRROR_UP);
    }
}

void mirror_forget(struct stream *s)
{
    LIST_EACH (&s->mirrors, struct mirror, siblings, m) {
        m->broken = true;
        list_del(&m->siblings);
        task_wake(&m->task, MIRROR_UP);
    }
}

void mirrors_close(struct worker *w)
{
    LIST_EACH (&w->mirrors, struct mirror, link, m)
        mirror_free(m);
}
