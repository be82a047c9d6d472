// SPDX-License-Identifier: Apache-2.0
/* IST0173: a subset whose labels no pod of the Service has. */
#include "mesh/analyze/common.h"

static bool selects(const struct mesh_snapshot *snap, const struct service *svc, const struct subset *s)
{
    uint32_t i = 0;
    const struct pod *p;
    while ((p = snapshot_pod(snap, svc->o.meta.ns, &svc->selector, &i)))
        if (labels_match(&s->labels, &p->o.meta.labels))
            return true;
    return false;
}

/* Without pods there may still be what makes them: a manifest that is read without a cluster. */
static bool template_selects(const struct mesh_snapshot *snap, const struct service *svc, const struct subset *s)
{
#define TRY(symbol, type)                                                                                              \
    SNAPSHOT_EACH(snap, symbol, type, w)                                                                               \
    if (view_eq(w->o.meta.ns, svc->o.meta.ns) && labels_match(&svc->selector, &w->template.meta.labels) &&             \
        labels_match(&s->labels, &w->template.meta.labels))                                                            \
    return true
    TRY(DEPLOYMENT, deployment);
    TRY(STATEFUL_SET, stateful_set);
    TRY(DAEMON_SET, daemon_set);
    TRY(REPLICA_SET, replica_set);
    TRY(JOB, job);
#undef TRY
    return false;
}

void check_empty_subsets(const struct mesh_snapshot *snap, struct diags *d)
{
    SNAPSHOT_EACH(snap, DESTINATION_RULE, destination_rule, dr)
    {
        const struct mesh_host *h = snapshot_host(snap, mesh_fqdn(d->arena, dr->host, dr->o.meta.ns, snap->domain));
        if (!h || !h->service || !h->service->selector.n)
            continue;
        for (uint32_t i = 0; i < dr->n_subsets; i++) {
            const struct subset *s = &dr->subsets[i];
            if (selects(snap, h->service, s) || template_selects(snap, h->service, s))
                continue;
            struct diag *one = mesh_warn(d, DIAG_WARNING, "IST0173", &dr->o, &s->part.at);
            struct buf labels = {0};
            for (uint32_t j = 0; j < s->labels.n; j++)
                buf_printf(&labels, "%s%.*s=%.*s", j ? "," : "", VIEW_ARGS(s->labels.list[j].key),
                           VIEW_ARGS(s->labels.list[j].value));
            one->title = diag_text(d, "DestinationRule `%.*s`: subset `%.*s` selects no pods",
                                   VIEW_ARGS(dr->o.meta.name), VIEW_ARGS(s->name));
            one->label =
                diag_text(d, "no pod of Service `%.*s` has %s", VIEW_ARGS(h->service->o.meta.name), buf_cstr(&labels));
            one->effect = VIEW("requests routed to it get 503 (flag UH)");
            buf_done(&labels);
        }
    }
}
