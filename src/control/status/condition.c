// SPDX-License-Identifier: Apache-2.0
/* See status/condition.h. Conditions are four rows of a table that is walked for reading, comparing and printing alike;
 * validationMessages are kept as "IST0101/WARNING,…", which is all that Istio's schema lets them say, and compares whatever
 * order an API server gives to keys.
 */
#include "control/status/condition.h"

#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "wire/node.h"

const char *const status_type_names[STATUS_TYPES] = {[STATUS_ACCEPTED] = "Accepted",
                                                     [STATUS_RESOLVED_REFS] = "ResolvedRefs",
                                                     [STATUS_PROGRAMMED] = "Programmed",
                                                     [STATUS_RECONCILED] = "Reconciled"};
static const char *const value_names[] = {"Unknown", "False", "True", ""};
static const char *const severity_names[] = {[DIAG_ERROR] = "error", [DIAG_WARNING] = "warning", [DIAG_INFO] = "info"};
static const char *const levels[] = {[DIAG_ERROR] = "ERROR", [DIAG_WARNING] = "WARNING", [DIAG_INFO] = "INFO"};

/* What a code is called in validationMessages (Istio's name where the code is Istio's), and which condition it makes False. */
static const struct {
    const char *code, *name;
    const char *refused; /* reason of Accepted, for errors; NULL: Invalid */
    const char *lost;    /* reason of ResolvedRefs */
} codes[] = {
    {"IST0101", "ReferencedResourceNotFound", NULL, "RefNotFound"},
    {"IST0106", "SchemaValidationError", NULL, NULL},
    {"IST0109", "ConflictingMeshGatewayVirtualServiceHosts", NULL, NULL},
    {"IST0112", "VirtualServiceDestinationPortSelectorRequired", NULL, NULL},
    {"IST0118", "PortNameIsNotUnderNamingConvention", NULL, NULL},
    {"IST0123", "NamespaceMultipleInjectionLabels", NULL, NULL},
    {"IST0125", "InvalidAnnotation", NULL, NULL},
    {"IST0130", "VirtualServiceUnreachableRule", NULL, NULL},
    {"IST0132", "VirtualServiceHostNotFoundInGateway", NULL, NULL},
    {"IST0161", "InvalidGatewayCredential", NULL, "InvalidCredential"},
    {"IST0173", "DestinationRuleSubsetNotSelectPods", NULL, NULL},
    {"IST0174", "UnknownDestinationRuleHost", NULL, "HostNotFound"},
    {"WEFT0002", "UnknownKind", "NotSupported", NULL},
    {"WEFT0003", "UnsupportedKind", "NotSupported", NULL},
    {"WEFT0004", "UnknownField", NULL, NULL},
    {"WEFT0005", "UnsupportedField", "NotSupported", NULL},
    {"WEFT0006", "OddWeights", NULL, NULL},
    {"WEFT0007", "MergedDestinationRules", NULL, NULL},
    {"WEFT0008", "NoDefaultRule", NULL, NULL},
    {"WEFT0009", "UnknownVirtualServiceHost", NULL, "HostNotFound"},
};

static int code_index(struct view code)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (view_is(code, codes[i].code))
            return (int)i;
    return -1;
}

/* ---- verdicts ---- */

/* `warning[IST0101]: title: cause (place); help: …; effect: …`: the picture of `weft apply` in one line. */
static void print_line(struct buf *out, const struct diag *d)
{
    if (buf_len(out))
        buf_char(out, '\n');
    buf_printf(out, "%s[%s]: ", severity_names[d->severity], d->code);
    buf_view(out, d->title);
    if (d->label.n) {
        buf_str(out, ": ");
        buf_view(out, d->label);
    }
    if (d->at.path.n)
        buf_printf(out, " (%.*s)", VIEW_ARGS(d->at.path));
    if (d->hint.n) {
        buf_str(out, "; help: ");
        buf_view(out, d->hint);
    }
    if (d->effect.n) {
        buf_str(out, "; effect: ");
        buf_view(out, d->effect);
    }
}

static void add_message(struct status_verdict *v, const struct diag *d)
{
    struct view rest = buf_read(&v->messages), one;
    struct buf text = {0};
    bool known = false;

    buf_printf(&text, "%s/%s", d->code, levels[d->severity]);
    while (view_cut(&rest, ',', &one))
        known = known || view_eq(one, buf_read(&text));
    if (!known) {
        if (buf_len(&v->messages))
            buf_char(&v->messages, ',');
        buf_view(&v->messages, buf_read(&text));
    }
    buf_done(&text);
}

void status_verdict_add(struct status_verdict *v, const struct diag *d)
{
    int i = code_index(view_of(d->code));
    bool error = d->severity == DIAG_ERROR;
    const char *refused = i >= 0 && codes[i].refused ? codes[i].refused : "Invalid";
    const char *lost = i >= 0 && !error && d->severity != DIAG_INFO ? codes[i].lost : NULL;
    struct buf *to = lost ? &v->refs : &v->accepted;

    v->n++;
    add_message(v, d);
    if (error && (!v->refused || strcmp(refused, "Invalid") == 0))
        v->refused = refused;
    if (lost && !v->lost)
        v->lost = lost;
    if (buf_len(to) < LIMIT_STATUS_MESSAGE_BYTES)
        print_line(to, d);
    else
        v->cut++;
}

void status_verdict_clear(struct status_verdict *v)
{
    buf_clear(&v->accepted);
    buf_clear(&v->refs);
    buf_clear(&v->messages);
    v->refused = v->lost = NULL;
    v->n = v->cut = 0;
}

void status_verdict_done(struct status_verdict *v)
{
    buf_done(&v->accepted);
    buf_done(&v->refs);
    buf_done(&v->messages);
}

/* ---- decisions ---- */

/* Cut at a whole character. */
static struct view bounded(struct arena *a, struct view text)
{
    size_t n = LIMIT_STATUS_MESSAGE_BYTES;

    if (text.n <= n)
        return arena_view(a, text);
    while (n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
        n--;
    return arena_printf(a, "%.*s…", (int)n, text.p);
}

static struct view with_cut(struct arena *a, const struct status_verdict *v, struct view text)
{
    struct view t = bounded(a, text);

    return v->cut ? arena_printf(a, "%.*s\n… and %u more: see `weft analyze`", VIEW_ARGS(t), v->cut) : t;
}

static void set(struct status_condition *c, enum status_value value, const char *reason, struct view message)
{
    c->value = value;
    c->reason = view_of(reason);
    c->message = message;
}

/* sidecar~10.1.0.7~web-0.default~default.svc.cluster.local → web-0.default */
static struct view short_id(struct view id)
{
    struct view rest = id, one = VIEW_NONE;

    for (int i = 0; i < 3; i++)
        if (!view_cut(&rest, '~', &one))
            return id;
    return one;
}

static void decide_accepted(const struct status_facts *f, const struct status_verdict *v, struct arena *a,
                            struct status_text *s)
{
    struct view why = with_cut(a, v, buf_read(&v->accepted)), kept = VIEW("no earlier version of it is in force");

    if (!v->refused) {
        set(&s->conditions[STATUS_ACCEPTED], STATUS_TRUE, "Accepted", why);
        return;
    }
    if (f->in_force >= 0)
        kept = arena_printf(a, "generation %lld of it stays in force", (long long)f->in_force);
    set(&s->conditions[STATUS_ACCEPTED], STATUS_FALSE, v->refused,
        arena_printf(a, "%.*s\n%.*s", VIEW_ARGS(why), VIEW_ARGS(kept)));
}

static void decide_programmed(const struct status_facts *f, const struct status_verdict *v, struct arena *a,
                              struct status_text *s)
{
    struct status_condition *c = &s->conditions[STATUS_PROGRAMMED];
    struct view count = arena_printf(a, "%u of %u proxies", f->acked, f->proxies), who;

    if (v->refused && f->in_force < 0) {
        set(c, STATUS_FALSE, v->refused,
            VIEW("0 of 0 proxies: it is not accepted, and no earlier version is in force"));
    } else if (v->refused) {
        set(c, STATUS_FALSE, v->refused,
            arena_printf(a, "it is not accepted; generation %lld is in force on %.*s", (long long)f->in_force,
                         VIEW_ARGS(count)));
    } else if (f->refused_by.n) {
        who = short_id(f->refused_by);
        set(c, STATUS_FALSE, "Refused",
            bounded(a, arena_printf(a, "%.*s; %.*s refused it and keeps what it had: %.*s", VIEW_ARGS(count),
                                    VIEW_ARGS(who), VIEW_ARGS(f->nack))));
    } else if (f->silent.n) {
        set(c, STATUS_UNKNOWN, "Pending",
            arena_printf(a, "%.*s; replica %.*s has not said what its proxies have", VIEW_ARGS(count),
                         VIEW_ARGS(f->silent)));
    } else if (f->acked < f->proxies) {
        who = short_id(f->waiting);
        set(c, STATUS_FALSE, "Pending",
            arena_printf(a, "%.*s; %.*s has not acknowledged it yet", VIEW_ARGS(count), VIEW_ARGS(who)));
    } else {
        set(c, STATUS_TRUE, "Programmed", count);
    }
}

void status_decide(const struct status_facts *f, const struct status_verdict *v, struct arena *a,
                   struct status_text *ret)
{
    struct status_condition *c;
    uint32_t now = v->refused ? 0 : f->acked, all = v->refused && f->in_force < 0 ? 0 : f->proxies;

    *ret = (struct status_text){.generation = f->generation, .messages = arena_view(a, buf_read(&v->messages))};
    c = ret->conditions;
    decide_accepted(f, v, a, ret);
    if (v->refused)
        set(&c[STATUS_RESOLVED_REFS], STATUS_UNKNOWN, "NotAccepted", VIEW("not looked at: the object is not accepted"));
    else if (v->lost)
        set(&c[STATUS_RESOLVED_REFS], STATUS_FALSE, v->lost, with_cut(a, v, buf_read(&v->refs)));
    else
        set(&c[STATUS_RESOLVED_REFS], STATUS_TRUE, "ResolvedRefs", VIEW_NONE);
    decide_programmed(f, v, a, ret);
    c[STATUS_RECONCILED] = c[STATUS_PROGRAMMED];
    c[STATUS_RECONCILED].message = arena_printf(a, "%u/%u proxies up to date.", now, all);
    for (int i = 0; i < STATUS_TYPES; i++)
        c[i].generation = f->generation;
}

/* ---- reading ---- */

static int64_t generation_of(const struct node *n)
{
    int64_t value = 0;
    uint64_t text;

    if (n && node_i64(n, &value) == 0)
        return value;
    return view_u64(node_text(n), &text) == 0 && text <= INT64_MAX ? (int64_t)text : 0; /* protojson writes a string */
}

static struct status_condition read_condition(const struct node *n, struct arena *a)
{
    struct status_condition c = {.value = STATUS_UNKNOWN,
                                 .reason = arena_view(a, node_text_at(n, "reason")),
                                 .message = arena_view(a, node_text_at(n, "message")),
                                 .generation = generation_of(node_get(n, VIEW("observedGeneration")))};
    struct view value = node_text_at(n, "status");

    if (view_is(value, "True") || view_is(value, "False"))
        c.value = view_is(value, "True") ? STATUS_TRUE : STATUS_FALSE;
    if (clock_parse_time(node_text_at(n, "lastTransitionTime"), &c.since) < 0)
        c.since = 0;
    return c;
}

static void read_conditions(const struct node *list, struct arena *a, struct status_text *ret)
{
    struct buf foreign = {0};

    for (uint32_t i = 0; node_is(list, NODE_SEQ) && i < list->n; i++) {
        struct view type = node_text_at(list->items[i], "type");
        int k = 0;
        while (k < STATUS_TYPES && !view_is(type, status_type_names[k]))
            k++;
        if (k < STATUS_TYPES) {
            ret->conditions[k] = read_condition(list->items[i], a);
        } else {
            buf_char(&foreign, ',');
            node_print_json(list->items[i], &foreign);
        }
    }
    ret->foreign = arena_view(a, buf_read(&foreign));
    buf_done(&foreign);
}

void status_read(const struct node *status, struct arena *a, struct status_text *ret)
{
    const struct node *list = node_get(status, VIEW("validationMessages"));
    struct buf messages = {0};

    *ret = (struct status_text){0};
    for (int i = 0; i < STATUS_TYPES; i++)
        ret->conditions[i].value = STATUS_ABSENT;
    ret->generation = generation_of(node_get(status, VIEW("observedGeneration")));
    read_conditions(node_get(status, VIEW("conditions")), a, ret);
    for (uint32_t i = 0; node_is(list, NODE_SEQ) && i < list->n; i++)
        buf_printf(&messages, "%s%.*s/%.*s", i ? "," : "", VIEW_ARGS(node_text_at(list->items[i], "type.code")),
                   VIEW_ARGS(node_text_at(list->items[i], "level")));
    ret->messages = arena_view(a, buf_read(&messages));
    buf_done(&messages);
}

/* ---- comparing and printing ---- */

enum status_difference status_settle(struct status_text *wish, const struct status_text *have, uint64_t wall)
{
    bool news = !view_eq(wish->messages, have->messages) || wish->generation != have->generation, counts = false;

    for (int i = 0; i < STATUS_TYPES; i++) {
        struct status_condition *w = &wish->conditions[i];
        const struct status_condition *h = &have->conditions[i];
        bool counted = i == STATUS_PROGRAMMED || i == STATUS_RECONCILED;
        w->since = w->value == h->value && h->since ? h->since : wall / NS_PER_S * NS_PER_S;
        if (w->value != h->value || !view_eq(w->reason, h->reason) || w->generation != h->generation)
            news = true;
        else if (!view_eq(w->message, h->message))
            *(counted ? &counts : &news) = true;
    }
    wish->foreign = have->foreign;
    return news ? STATUS_NEWS : counts ? STATUS_COUNTS : STATUS_SAME;
}

uint32_t status_proxies(const struct status_text *s)
{
    struct view text = s->conditions[STATUS_RECONCILED].message, m = view_from(text, view_find(text, '/') + 1);
    uint64_t n;

    return view_u64(view_head(m, view_find(m, ' ')), &n) == 0 && n <= UINT32_MAX ? (uint32_t)n : 0;
}

static void print_time(struct buf *out, uint64_t wall)
{
    struct buf b = {0};
    struct view v;

    clock_print_time(&b, wall); /* with milliseconds, which Kubernetes' times do not have */
    v = buf_read(&b);
    buf_printf(out, "\"%.*sZ\"", (int)view_find(v, '.'), v.p);
    buf_done(&b);
}

static void print_condition(struct buf *out, const struct status_condition *c, const char *type)
{
    buf_printf(out, "{\"type\":\"%s\",\"status\":\"%s\",\"reason\":", type, value_names[c->value]);
    buf_json_str(out, c->reason);
    if (c->message.n) {
        buf_str(out, ",\"message\":");
        buf_json_str(out, c->message);
    }
    buf_str(out, ",\"lastTransitionTime\":");
    print_time(out, c->since);
    buf_printf(out, ",\"observedGeneration\":%lld}", (long long)c->generation);
}

static void print_messages(struct buf *out, struct view messages)
{
    struct view one;

    if (!messages.n) {
        buf_str(out, "null"); /* a merge patch takes it away */
        return;
    }
    buf_char(out, '[');
    for (const char *comma = ""; view_cut(&messages, ',', &one); comma = ",") {
        struct view code = view_head(one, view_find(one, '/'));
        int i = code_index(code);
        buf_printf(out, "%s{\"type\":{\"name\":\"%.*s\",\"code\":\"%.*s\"},\"level\":\"%.*s\"}", comma,
                   VIEW_ARGS(i >= 0 ? view_of(codes[i].name) : code), VIEW_ARGS(code),
                   VIEW_ARGS(view_from(one, code.n + 1)));
    }
    buf_char(out, ']');
}

void status_print(const struct status_text *s, struct view resource_version, struct buf *out)
{
    buf_char(out, '{');
    if (resource_version.n) {
        buf_str(out, "\"metadata\":{\"resourceVersion\":");
        buf_json_str(out, resource_version);
        buf_str(out, "},");
    }
    buf_printf(out, "\"status\":{\"observedGeneration\":%lld,\"conditions\":[", (long long)s->generation);
    for (int i = 0; i < STATUS_TYPES; i++) {
        if (i)
            buf_char(out, ',');
        print_condition(out, &s->conditions[i], status_type_names[i]);
    }
    buf_view(out, s->foreign);
    buf_str(out, "],\"validationMessages\":");
    print_messages(out, s->messages);
    buf_str(out, "}}");
}
