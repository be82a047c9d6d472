// SPDX-License-Identifier: Apache-2.0
/* /stats/prometheus of 15020: the proxy's metrics and those of the application in one answer, so that Prometheus needs to
 * scrape a pod only once and the application's port may be strict mTLS. Where the application serves them comes from the
 * pod's prometheus.io annotations (ISTIO_PROMETHEUS_ANNOTATIONS, JSON: scrape, port, path).
 */
#include <errno.h>
#include <string.h>

#include "net/loop.h"
#include "proxy/admin_impl.h"
#include "proxy/fetch.h"
#include "proxy/proxy_impl.h"
#include "telemetry/metrics.h"
#include "wire/node.h"

#define SCRAPE_TIMEOUT (5 * NS_PER_S)
#define SCRAPE_MOST ((size_t)10 * 1024 * 1024)

/* Ports that are the proxy's own: scraping them would go round in circles. */
static bool reserved(uint64_t port)
{
    static const uint16_t own[] = {15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090};
    for (size_t i = 0; i < COUNT_OF(own); i++)
        if (own[i] == port)
            return true;
    return false;
}

static bool target(struct admin_request *r, struct arena *a, uint16_t *ret_port, struct view *ret_path)
{
    struct node *n;
    uint64_t port = 80;
    struct view text = r->proxy->options->scrape;
    if (!text.n || node_parse(a, text, &n, NULL) < 0 || !view_is(node_text_at(n, "scrape"), "true"))
        return false;
    struct view v = node_text_at(n, "port"), path = node_text_at(n, "path");
    if (v.n && view_u64(v, &port) < 0)
        return false;
    *ret_port = (uint16_t)port;
    *ret_path = path.n ? path : VIEW("/metrics");
    return port && port < 65536 && !reserved(port);
}

/* All metrics of this proxy, with what is true only at the moment of asking. */
void admin_render_metrics(struct admin_request *r)
{
    const struct proxy *p = r->proxy;
    if (p->identity) {
        int64_t left = (int64_t)tls_identity_not_after(p->identity) - (int64_t)loop_wall(p->loop);
        gauge_set(metrics_gauge(p->metrics, "istio_agent_cert_expiry_seconds", GAUGE_VALUE,
                                "Seconds until the certificate ends; negative: it has ended.",
                                "resource_name=\"default\""),
                  left / (int64_t)NS_PER_S);
    }
    metrics_render(p->metrics, &r->out);
}

static void scraped(struct admin_request *r)
{
    struct gauge *scrapes = metrics_gauge(r->proxy->metrics, "istio_agent_scrapes_total", GAUGE_COUNTER,
                                          "The total number of scrapes.", "");
    struct gauge *failed = metrics_gauge(r->proxy->metrics, "istio_agent_scrape_failures_total", GAUGE_COUNTER,
                                         "The total number of failed scrapes.", "type=\"application\"");
    gauge_add(scrapes, 1);
    if (fetch_result(r->fetch) < 0 || fetch_status(r->fetch) != 200)
        gauge_add(failed, 1);
    admin_render_metrics(r);
    if (fetch_result(r->fetch) == 0 && fetch_status(r->fetch) == 200) {
        struct view body = view_trim(buf_read(fetch_body(r->fetch)));
        if (view_ends(body, VIEW("# EOF"))) /* OpenMetrics' end would hide what follows */
            body.n -= 5;
        if (view_ends(body, VIEW("# EOF\n")))
            body.n -= 6;
        buf_view(&r->out, body);
        if (body.n && body.p[body.n - 1] != '\n')
            buf_char(&r->out, '\n');
    }
    admin_answer(r);
}

void admin_merged(struct admin_request *r)
{
    uint16_t port;
    struct view path;
    struct arena a;
    arena_init(&a, 1024);
    r->type = METRICS_CONTENT_TYPE;
    struct fetch_config config = {
        .loop = r->proxy->loop,
        .http = r->proxy->http,
        .host = VIEW("localhost"),
        .timeout = SCRAPE_TIMEOUT,
        .most = SCRAPE_MOST,
    };
    if (target(r, &a, &port, &path)) {
        config.to = addr_v4(0x7f000001, port);
        config.path = path;
        r->pending = fetch_start(&config, &r->task, ADMIN_FETCHED, &r->fetch) == 0;
        r->fetched = scraped;
    }
    arena_done(&a);
    if (!r->pending)
        admin_render_metrics(r);
}
