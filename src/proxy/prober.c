// SPDX-License-Identifier: Apache-2.0
/* /app-health/…: the application's own probes, which injection rewrote so that they pass strict mTLS. The kubelet asks us,
 * we ask the application at the pod's address from 127.0.0.6, which no capture rule touches. What each path stands for is
 * in ISTIO_KUBE_APP_PROBERS: {"/app-health/details/livez": {"httpGet": {"path", "port", "scheme", "httpHeaders"},
 * "tcpSocket": {"port"}, "grpc": {"port", "service"}, "timeoutSeconds"}}.
 */
#include <errno.h>
#include <string.h>

#include "net/loop.h"
#include "proxy/admin_impl.h"
#include "proxy/fetch.h"
#include "proxy/proxy_impl.h"
#include "wire/headers.h"
#include "wire/node.h"

#define PROBE_MOST ((size_t)10 * 1024)

static void probed(struct admin_request *r)
{
    int e = fetch_result(r->fetch);
    if (e == 0 && fetch_status(r->fetch)) {
        r->status = fetch_status(r->fetch);
        buf_view(&r->out, buf_read(fetch_body(r->fetch)));
    } else if (e < 0 && e != -EMSGSIZE) { /* a long body answers the question all the same */
        r->status = 500;
        buf_printf(&r->out, "probe failed: %s\n", strerror(-e));
    }
    admin_answer(r);
}

static bool port_at(const struct node *n, const char *path, uint16_t *ret_port)
{
    int64_t port;
    uint64_t text;
    const struct node *v = node_at(n, path);
    if (node_i64(v, &port) < 0) {
        if (view_u64(node_text(v), &text) < 0)
            return false;
        port = (int64_t)text;
    }
    *ret_port = (uint16_t)port;
    return port > 0 && port < 65536;
}

static void probe_headers(const struct node *get, struct headers *h, struct view *host)
{
    const struct node *list = node_at(get, "httpHeaders");
    bool agent = false;
    for (uint32_t i = 0; node_is(list, NODE_SEQ) && i < list->n && i < 16; i++) {
        struct view name = node_text_at(list->items[i], "name"), value = node_text_at(list->items[i], "value");
        agent |= view_ieq(name, VIEW("user-agent"));
        if (view_ieq(name, VIEW("host")))
            *host = value;
        else if (name.n && headers_add_name(h, header_id_of(name), name, value) < 0)
            return;
    }
    if (!agent && headers_add(h, HEADER_USER_AGENT, VIEW("kube-probe/1.34")) < 0)
        return;
}

void admin_probe(struct admin_request *r)
{
    struct proxy *p = r->proxy;
    struct arena a;
    struct node *all = NULL;
    struct headers headers;
    arena_init(&a, 4096);
    r->status = 404;
    if (node_parse(&a, p->options->probers, &all, NULL) < 0)
        all = NULL;
    const struct node *probe = node_get(all, r->path);
    int64_t seconds = 1;
    if (node_i64(node_at(probe, "timeoutSeconds"), &seconds) < 0 || seconds < 1)
        seconds = 1;
    struct addr from = addr_v4(0x7f000006, 0);
    headers_init(&headers, &a);
    struct fetch_config config = {
        .loop = p->loop,
        .http = p->http,
        .bind = &from,
        .host = p->options->ip,
        .headers = &headers,
        .timeout = (uint64_t)seconds * NS_PER_S,
        .most = PROBE_MOST,
    };
    const struct node *get = node_at(probe, "httpGet"), *tcp = node_at(probe, "tcpSocket"),
                      *grpc = node_at(probe, "grpc");
    uint16_t port = 0;
    bool known = true;
    if (get && port_at(get, "port", &port)) {
        config.path = node_text_at(get, "path");
        config.tls = view_ieq(node_text_at(get, "scheme"), VIEW("https"));
        probe_headers(get, &headers, &config.host);
    } else if (tcp && port_at(tcp, "port", &port)) {
        config.connect_only = true;
    } else if (!grpc || !port_at(grpc, "port", &port)) {
        known = false;
    }
    if (known) {
        int e = addr_parse_ip(p->options->ip, port, &config.to);
        if (e < 0)
            config.to = addr_v4(0x7f000001, port);
        if (grpc && !get && !tcp)
            config.grpc_health = true;
        config.service = node_text_at(grpc, "service");
        if (e == 0 || config.to.family)
            e = fetch_start(&config, &r->task, ADMIN_FETCHED, &r->fetch);
        r->status = e < 0 ? 500 : 200;
        r->pending = e == 0;
        r->fetched = probed;
    }
    arena_done(&a);
}
