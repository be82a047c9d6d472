// SPDX-License-Identifier: Apache-2.0
/* IST0123: a namespace with istio-injection and istio.io/rev. The first wins, which few expect. */
#include "mesh/analyze/common.h"

void check_injection_labels(const struct mesh_snapshot *snap, struct diags *d)
{
    SNAPSHOT_EACH(snap, NAMESPACE, namespace, ns)
    {
        const struct labels *l = &ns->o.meta.labels;
        if (!labels_has(l, VIEW("istio-injection")) || !labels_has(l, VIEW("istio.io/rev")))
            continue;
        struct diag *one = mesh_warn(d, DIAG_WARNING, "IST0123", &ns->o, NULL);
        one->title = diag_text(d, "namespace `%.*s` has both injection labels", VIEW_ARGS(ns->o.meta.name));
        one->label = VIEW("`istio-injection` and `istio.io/rev`");
        one->hint = VIEW("keep one of them");
        one->effect = VIEW("istio-injection decides; istio.io/rev is not looked at");
    }
}
