// SPDX-License-Identifier: Apache-2.0
/* Which host port leads where (host_port_table.h): a small table, compared with the pods after every change. */
#include "sandbox/host_port_table.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "net/addr.h"
#include "sandbox/cluster.h"
#include "sandbox/runtime.h"

struct host_port {
    uint16_t port, target_port;
    uint32_t ip; /* 0: nobody is there */
    int error;   /* of the last try to listen */
    bool ready;  /* of the pod wanted in this round */
    char pod[128];
};

struct host_ports {
    struct store *store;
    struct runtime *rt;
    struct host_port ports[LIMIT_HOST_LISTENERS];
    size_t n;
};

struct host_ports *host_ports_new(struct store *store, struct runtime *rt)
{
    struct host_ports *h = mem_alloc(sizeof(*h));
    h->store = store;
    h->rt = rt;
    return h;
}

struct host_ports *host_ports_free(struct host_ports *h)
{
    mem_free(h);
    return NULL;
}

static struct host_port *find(struct host_port *list, size_t n, uint32_t port)
{
    for (size_t i = 0; i < n; i++)
        if (list[i].port == port)
            return &list[i];
    return NULL;
}

/* A ready pod before one that is not, else the first. */
static void want(struct host_port *wanted, size_t *n, const struct record *pod, const struct container_port *p)
{
    struct host_port *w = find(wanted, *n, p->host_port);
    bool ready = pod_is_ready(record_pod(pod)) && !pod->object->meta.deleting;
    if (!w && *n == LIMIT_HOST_LISTENERS)
        return;
    if (w && (w->ready || !ready))
        return;
    if (!w)
        w = &wanted[(*n)++];
    *w = (struct host_port){.port = (uint16_t)p->host_port, .target_port = (uint16_t)p->port, .ready = ready};
    w->ip = addr_v4_number(record_pod(pod)->ip);
    snprintf(w->pod, sizeof(w->pod), "%.*s/%.*s", VIEW_ARGS(pod->ns), VIEW_ARGS(pod->name));
}

static void collect(struct host_ports *h, struct host_port *wanted, size_t *n)
{
    struct arena a;
    arena_init(&a, 4096);
    size_t n_pods;
    struct record **pods = store_list(h->store, KIND_POD, VIEW_NONE, &a, &n_pods);
    for (size_t i = 0; i < n_pods; i++) {
        const struct pod *pod = record_pod(pods[i]);
        if (!pod->ip.n || view_is(pod->phase, "Succeeded") || view_is(pod->phase, "Failed"))
            continue;
        for (uint32_t j = 0; j < pod->spec.n_containers; j++)
            for (uint32_t k = 0; k < pod->spec.containers[j].n_ports; k++)
                if (pod->spec.containers[j].ports[k].host_port)
                    want(wanted, n, pods[i], &pod->spec.containers[j].ports[k]);
    }
    arena_done(&a);
}

void host_ports_sync(struct host_ports *h)
{
    struct host_port *wanted = mem_alloc(LIMIT_HOST_LISTENERS * sizeof(*wanted));
    size_t n = 0;
    collect(h, wanted, &n);
    for (size_t i = 0; i < h->n; i++)
        if (!find(wanted, n, h->ports[i].port) && !h->ports[i].error)
            h->ports[i].error = runtime_host_port_set(h->rt, h->ports[i].port, 0, 0);
    for (size_t i = 0; i < n; i++) {
        const struct host_port *was = find(h->ports, h->n, wanted[i].port);
        bool same = was && was->ip == wanted[i].ip && was->target_port == wanted[i].target_port;
        wanted[i].error =
            same ? was->error : runtime_host_port_set(h->rt, wanted[i].port, wanted[i].ip, wanted[i].target_port);
    }
    memcpy(h->ports, wanted, n * sizeof(*wanted));
    h->n = n;
    mem_free(wanted);
}

void host_ports_print(const struct host_ports *h, struct buf *json)
{
    buf_char(json, '[');
    for (size_t i = 0; i < h->n; i++) {
        const struct host_port *p = &h->ports[i];
        buf_printf(json, "%s{\"hostPort\":%u,\"containerPort\":%u,\"pod\":\"%s\",\"ready\":%s", i ? "," : "", p->port,
                   p->target_port, p->pod, p->ready ? "true" : "false");
        if (p->error)
            buf_printf(json, ",\"error\":\"%s\"", strerror(-p->error));
        buf_char(json, '}');
    }
    buf_char(json, ']');
}
