// SPDX-License-Identifier: Apache-2.0
/* IST0118: ports whose name and appProtocol declare no protocol, so that it is sniffed from the first bytes. One note a
 * namespace, because a note a port is noise that hides the rest; only Services whose pods have a sidecar count.
 */
#include "mesh/analyze/common.h"

static bool is_meshed(const struct mesh_snapshot *snap, const struct service *svc)
{
    uint32_t i = 0;
    const struct pod *p;
    while (svc->selector.n && (p = snapshot_pod(snap, svc->o.meta.ns, &svc->selector, &i)))
        if (labels_has(&p->o.meta.annotations, VIEW("sidecar.istio.io/status")))
            return true;
    return false;
}

struct tally {
    uint32_t n;
    const struct service *first;
    const struct service_port *port;
    struct buf names;
};

static void tell(struct diags *d, struct view ns, struct tally *t)
{
    struct diag *one = mesh_warn(d, DIAG_INFO, "IST0118", &t->first->o, &t->port->part.at);
    one->title = diag_text(d, "%u port%s in namespace `%.*s` declare%s no protocol", t->n, t->n == 1 ? "" : "s",
                           VIEW_ARGS(ns), t->n == 1 ? "s" : "");
    one->label = diag_text(d, "%s", buf_cstr(&t->names));
    one->hint = VIEW("name ports <protocol>[-suffix] (http, grpc, tcp …), or set appProtocol");
    one->effect =
        VIEW("the protocol is told from the first bytes; where the server speaks first, connections wait for it");
}

void check_guessed_protocols(const struct mesh_snapshot *snap, struct diags *d)
{
    enum { NAMED = 5, READINESS = 15021 /* a gateway's own, `status-port` in every chart */ };
    struct map by_ns;
    map_init(&by_ns, d->arena);
    SNAPSHOT_EACH(snap, SERVICE, service, svc)
    {
        if (svc->type == SERVICE_EXTERNAL_NAME || !is_meshed(snap, svc))
            continue;
        for (uint32_t i = 0; i < svc->n_ports; i++) {
            if (svc->ports[i].protocol != PORT_AUTO || svc->ports[i].port == READINESS)
                continue;
            struct tally *t = map_get(&by_ns, svc->o.meta.ns);
            if (!t) {
                t = ARENA_NEW(d->arena, struct tally);
                *t = (struct tally){.first = svc, .port = &svc->ports[i]};
                map_put(&by_ns, svc->o.meta.ns, t);
            }
            if (t->n++ < NAMED)
                buf_printf(&t->names, "%s%.*s:%u", t->n > 1 ? ", " : "", VIEW_ARGS(svc->o.meta.name),
                           svc->ports[i].port);
            else if (t->n == NAMED + 1)
                buf_str(&t->names, " …");
        }
    }
    MAP_EACH (&by_ns, it) {
        struct tally *t = it->value;
        tell(d, it->key, t);
        buf_done(&t->names);
    }
}
