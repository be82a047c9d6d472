// SPDX-License-Identifier: Apache-2.0
/* WEFT0006: weights that do not add up to 100. They are relative, so this works; the note says what each share is. */
#include "mesh/analyze/common.h"
#include "mesh/decode.h"

void check_odd_weights(const struct mesh_snapshot *snap, struct diags *d)
{
    SNAPSHOT_EACH(snap, VIRTUAL_SERVICE, virtual_service, vs)
    for (uint32_t i = 0; i < vs->n_http; i++) {
        const struct http_route *r = &vs->http[i];
        int64_t sum = 0;
        for (uint32_t j = 0; j < r->n_route; j++)
            sum += r->route[j].weight;
        if (r->n_route < 2 || sum == 100 || sum == 0)
            continue;
        struct origin place = part_field(d->arena, &r->part, "route");
        struct diag *one = mesh_warn(d, DIAG_INFO, "WEFT0006", &vs->o, &place);
        struct buf shares = {0};
        for (uint32_t j = 0; j < r->n_route; j++) {
            const struct destination *to = &r->route[j].destination;
            buf_printf(&shares, "%s%.*s%s%.*s %.1f %%", j ? ", " : "", VIEW_ARGS(to->host), to->subset.n ? "/" : "",
                       VIEW_ARGS(to->subset), (double)r->route[j].weight * 100 / (double)sum);
        }
        one->title = diag_text(d, "VirtualService `%.*s`: the weights of rule %u add up to %lld",
                               VIEW_ARGS(vs->o.meta.name), i + 1, (long long)sum);
        one->label = VIEW("weights are relative");
        one->effect = diag_text(d, "requests are split %s", buf_cstr(&shares));
        buf_done(&shares);
    }
}
