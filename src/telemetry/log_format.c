// SPDX-License-Identifier: Apache-2.0
/* Reading access-log formats (access_log.h): Envoy's %OPERATOR(ARGUMENT):LENGTH% into pieces, once, at configuration time. */
#include "telemetry/log_format.h"

#include <errno.h>

#define ISTIO_TEXT                                                                                                     \
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% "                 \
    "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "                                       \
    "\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% "                                \
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" "                          \
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% "                        \
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% "         \
    "%ROUTE_NAME%\n"

static const struct access_log_field istio_json[] = {
#define FIELD(key, format)                                                                                             \
    {                                                                                                                  \
        {key, sizeof(key) - 1},                                                                                        \
        {                                                                                                              \
            format, sizeof(format) - 1                                                                                 \
        }                                                                                                              \
    }
    FIELD("start_time", "%START_TIME%"),
    FIELD("route_name", "%ROUTE_NAME%"),
    FIELD("method", "%REQ(:METHOD)%"),
    FIELD("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    FIELD("protocol", "%PROTOCOL%"),
    FIELD("response_code", "%RESPONSE_CODE%"),
    FIELD("response_flags", "%RESPONSE_FLAGS%"),
    FIELD("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    FIELD("connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"),
    FIELD("bytes_received", "%BYTES_RECEIVED%"),
    FIELD("bytes_sent", "%BYTES_SENT%"),
    FIELD("duration", "%DURATION%"),
    FIELD("upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"),
    FIELD("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
    FIELD("user_agent", "%REQ(USER-AGENT)%"),
    FIELD("request_id", "%REQ(X-REQUEST-ID)%"),
    FIELD("authority", "%REQ(:AUTHORITY)%"),
    FIELD("upstream_host", "%UPSTREAM_HOST%"),
    FIELD("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
    FIELD("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    FIELD("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    FIELD("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    FIELD("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    FIELD("upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
#undef FIELD
};

enum argument { NO, HEADERS, FORMAT };

static const struct {
    struct view name;
    enum argument argument;
    bool number;
} operators[] = {
#define LOG_OP(id, name, argument, number) [LOG_##id] = {{name, sizeof(name) - 1}, argument, number},
#include "telemetry/log_op.def"
#undef LOG_OP
};

bool log_op_is_number(enum log_op op)
{
    return operators[op].number;
}

static struct view lower(struct arena *a, struct view name)
{
    char *copy = arena_str(a, name);
    for (size_t i = 0; i < name.n; i++)
        if (copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] = (char)(copy[i] | 0x20);
    return (struct view){copy, name.n};
}

/* X?Y */
static void read_headers(struct arena *a, struct view argument, struct log_piece *piece)
{
    size_t question = view_find(argument, '?');
    piece->name = lower(a, view_head(argument, question));
    piece->otherwise = lower(a, view_from(argument, question + 1));
    piece->id = header_id_of(piece->name);
    piece->otherwise_id = piece->otherwise.n ? header_id_of(piece->otherwise) : HEADER_OTHER;
}

static int refuse(struct buf *why, struct view what)
{
    buf_clear(why);
    buf_printf(why, "access log: %%%.*s%% is not supported", VIEW_ARGS(what));
    return -EINVAL;
}

/* What stands between two percent signs: NAME, NAME(ARGUMENT), NAME(ARGUMENT):LENGTH. */
static int read_operator(struct arena *a, struct view text, struct log_piece *piece, struct buf *why)
{
    size_t open = view_find(text, '('), name_n = open < text.n ? open : view_find(text, ':');
    struct view name = view_head(text, name_n), argument = VIEW_NONE, length = view_from(text, name_n + 1);
    uint64_t most = 0;
    if (open < text.n) {
        struct view rest = view_from(text, open + 1);
        size_t close = rest.n;
        while (close > 0 && rest.p[close - 1] != ')')
            close--;
        if (!close)
            return refuse(why, text);
        argument = view_head(rest, close - 1);
        length = view_from(rest, close);
        if (length.n && length.p[0] != ':')
            return refuse(why, text);
        length = view_from(length, 1);
    }
    if (length.n && view_u64(length, &most) < 0)
        return refuse(why, text);
    for (unsigned op = LOG_LITERAL + 1; op < COUNT_OF(operators); op++) {
        if (!view_eq(operators[op].name, name))
            continue;
        piece->op = (enum log_op)op;
        piece->most = (uint32_t)most;
        if ((operators[op].argument == HEADERS) != (argument.n > 0) && operators[op].argument != FORMAT)
            return refuse(why, text);
        if (operators[op].argument == HEADERS)
            read_headers(a, argument, piece);
        else
            piece->text = arena_view(a, argument);
        return 0;
    }
    return refuse(why, text);
}

static int read_value(struct arena *a, struct view format, struct log_value *value, struct buf *why)
{
    while (format.n) {
        size_t percent = view_find(format, '%');
        if (percent) {
            ARENA_PUSH(a, value->pieces, value->n_pieces)->text = arena_view(a, view_head(format, percent));
            format = view_from(format, percent);
            continue;
        }
        format = view_from(format, 1);
        size_t end = view_find(format, '%');
        if (end == format.n)
            return refuse(why, format);
        struct log_piece *piece = ARENA_PUSH(a, value->pieces, value->n_pieces);
        if (end == 0)
            piece->text = VIEW("%"); /* %% is a percent sign */
        else if (read_operator(a, view_head(format, end), piece, why) < 0)
            return -EINVAL;
        format = view_from(format, end + 1);
    }
    return 0;
}

static struct log_format *format_new(bool json)
{
    struct log_format *f = mem_alloc(sizeof(*f));
    arena_init(&f->arena, 0);
    f->json = json;
    return f;
}

int log_format_text(struct view format, struct log_format **ret_format, struct buf *ret_why)
{
    struct log_format *f = format_new(false);
    int r = read_value(&f->arena, format.n ? format : VIEW(ISTIO_TEXT), ARENA_PUSH(&f->arena, f->values, f->n_values),
                       ret_why);
    if (r < 0) {
        log_format_free(f);
        return r;
    }
    *ret_format = f;
    return 0;
}

int log_format_fields(const struct access_log_field *fields, uint32_t n, struct log_format **ret_format,
                      struct buf *ret_why)
{
    struct log_format *f = format_new(true);
    for (uint32_t i = 0; i < n; i++) {
        struct log_value *value = ARENA_PUSH(&f->arena, f->values, f->n_values);
        struct buf key = {0};
        buf_char(&key, i ? ',' : '{');
        buf_json_str(&key, fields[i].key);
        buf_char(&key, ':');
        value->key = arena_view(&f->arena, buf_read(&key));
        buf_done(&key);
        if (read_value(&f->arena, fields[i].format, value, ret_why) < 0) {
            log_format_free(f);
            return -EINVAL;
        }
    }
    *ret_format = f;
    return 0;
}

int log_format_json(struct log_format **ret_format)
{
    struct buf why = {0};
    int r = log_format_fields(istio_json, COUNT_OF(istio_json), ret_format, &why);
    buf_done(&why);
    return r;
}

int log_format_of(const struct access_log *plan, struct log_format **ret_format, struct buf *ret_why)
{
    if (plan->text.n || !plan->n_fields)
        return log_format_text(plan->text, ret_format, ret_why);
    return log_format_fields(plan->fields, plan->n_fields, ret_format, ret_why);
}

struct log_format *log_format_free(struct log_format *f)
{
    if (f)
        arena_done(&f->arena);
    mem_free(f);
    return NULL;
}
