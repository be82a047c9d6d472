// SPDX-License-Identifier: Apache-2.0
/* Outlier detection (outlier.h), by consecutive failures as Envoy counts them.
 *
 * With split_local, local failures (no connection, no answer) have a row of their own; otherwise they count as 5xx and
 * as gateway errors. An ejection is refused when it would pass max_ejection_percent, except that one host may always go.
 * The time is base × number of ejections, at most max; each healthy interval takes one from the number.
 */
#include "plan/outlier.h"

#include "base/must.h"

enum outlier_event outlier_event_of_status(uint16_t status)
{
    return status < 500 ? OUTLIER_OK : status >= 502 && status <= 504 ? OUTLIER_GATEWAY : OUTLIER_5XX;
}

static bool may_eject(const struct outlier_config *c, const struct outlier_state *s)
{
    return s->n_ejected == 0 || (uint64_t)(s->n_ejected + 1) * 100 <= (uint64_t)s->n_hosts * c->max_ejection_percent;
}

static void set_aside(const struct outlier_config *c, struct outlier_state *s, struct outlier_host *h, uint64_t until,
                      uint64_t now)
{
    h->until = until;
    h->row_5xx = h->row_gateway = h->row_local = 0;
    s->n_ejected++;
    s->ejected_total++;
    if (s->next_sweep == 0)
        s->next_sweep = now + c->interval;
}

static void eject(const struct outlier_config *c, struct outlier_state *s, struct outlier_host *h, uint64_t now)
{
    h->ejections++;
    uint64_t most = c->max_ejection > c->base_ejection ? c->max_ejection : c->base_ejection;
    uint64_t pause = c->base_ejection * h->ejections;
    set_aside(c, s, h, now + (pause > most ? most : pause), now);
}

bool outlier_eject(const struct outlier_config *c, struct outlier_state *s, struct outlier_host *h, uint64_t until,
                   uint32_t times, uint64_t now)
{
    if (!c->on || outlier_ejected(h) || until <= now || !may_eject(c, s))
        return false;
    if (h->ejections < times)
        h->ejections = times;
    set_aside(c, s, h, until, now);
    return true;
}

static bool reached(uint32_t row, uint32_t limit)
{
    return limit > 0 && row >= limit;
}

bool outlier_record(const struct outlier_config *c, struct outlier_state *s, struct outlier_host *h,
                    enum outlier_event event, uint64_t now)
{
    if (!c->on)
        return false;
    switch (event) {
    case OUTLIER_OK:
        h->row_5xx = h->row_gateway = h->row_local = 0;
        return false;
    case OUTLIER_5XX:
        h->row_5xx++;
        h->row_gateway = h->row_local = 0;
        break;
    case OUTLIER_GATEWAY:
        h->row_5xx++;
        h->row_gateway++;
        h->row_local = 0;
        break;
    case OUTLIER_LOCAL:
        if (c->split_local) {
            h->row_local++;
        } else {
            h->row_5xx++;
            h->row_gateway++;
        }
        break;
    }
    if (outlier_ejected(h))
        return false;
    bool bad = reached(h->row_5xx, c->consecutive_5xx) || reached(h->row_gateway, c->consecutive_gateway) ||
               (c->split_local && reached(h->row_local, c->consecutive_local));
    if (!bad || !may_eject(c, s))
        return false;
    eject(c, s, h, now);
    return true;
}

bool outlier_sweep_host(const struct outlier_config *c, struct outlier_state *s, struct outlier_host *h, uint64_t now)
{
    (void)c;
    if (!outlier_ejected(h)) {
        h->ejections -= h->ejections > 0;
        return false;
    }
    if (now < h->until)
        return false;
    h->until = 0;
    if (odd(s->n_ejected > 0))
        s->n_ejected--;
    return true;
}
