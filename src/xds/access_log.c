// SPDX-License-Identifier: Apache-2.0
/* AccessLog (file) ⇄ struct access_log: text or flat JSON of Envoy's command operators. */
#include "xds/convert.h"

#define FILE_LOG "envoy.access_loggers.file"

Accesslog__AccessLog *xds_access_log(struct arena *a, const struct access_log *l)
{
    Accesslog__AccessLog *m = PB_NEW(a, Accesslog__AccessLog, accesslog__access_log__init);
    Filelog__FileAccessLog *file = PB_NEW(a, Filelog__FileAccessLog, filelog__file_access_log__init);
    Core__SubstitutionFormatString *f =
        PB_NEW(a, Core__SubstitutionFormatString, core__substitution_format_string__init);

    file->path = pb_str(a, l->path);
    file->access_log_format_case = FILELOG__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_LOG_FORMAT;
    file->log_format = f;
    if (l->text.n) {
        f->format_case = CORE__SUBSTITUTION_FORMAT_STRING__FORMAT_TEXT_FORMAT_SOURCE;
        f->text_format_source = PB_NEW(a, Core__DataSource, core__data_source__init);
        f->text_format_source->specifier_case = CORE__DATA_SOURCE__SPECIFIER_INLINE_STRING;
        f->text_format_source->inline_string = pb_str(a, l->text);
    } else {
        f->format_case = CORE__SUBSTITUTION_FORMAT_STRING__FORMAT_JSON_FORMAT;
        f->json_format = pb_struct(a);
        for (uint32_t i = 0; i < l->n_fields; i++)
            pb_put_view(a, f->json_format, l->fields[i].key, l->fields[i].format);
    }
    m->name = (char *)(uintptr_t)FILE_LOG;
    if (l->only_no_route) {
        m->filter = PB_NEW(a, Accesslog__AccessLogFilter, accesslog__access_log_filter__init);
        m->filter->filter_specifier_case = ACCESSLOG__ACCESS_LOG_FILTER__FILTER_SPECIFIER_RESPONSE_FLAG_FILTER;
        m->filter->response_flag_filter =
            PB_NEW(a, Accesslog__ResponseFlagFilter, accesslog__response_flag_filter__init);
        PB_PUSH(a, m->filter->response_flag_filter, flags, (char *)(uintptr_t) "NR");
    }
    m->config_type_case = ACCESSLOG__ACCESS_LOG__CONFIG_TYPE_TYPED_CONFIG;
    m->typed_config = pb_any(a, &file->base);
    return m;
}

static void get_json(struct xds_codec *d, const Pb__Struct *m, struct access_log *l)
{
    l->fields = ARENA_ARRAY(d->out, struct access_log_field, m->n_fields + 1);
    for (size_t i = 0; i < m->n_fields; i++) {
        const Pb__Value *v = m->fields[i]->value;

        if (!v || v->kind_case != PB__VALUE__KIND_STRING_VALUE) {
            pb_refuse(d, "json_format: %.100s is not a string", m->fields[i]->key);
            return;
        }
        l->fields[l->n_fields].key = pb_text(d, m->fields[i]->key);
        l->fields[l->n_fields++].format = pb_text(d, v->string_value);
    }
    if (!l->n_fields)
        pb_refuse(d, "json_format is empty");
}

static void get_access_log(struct xds_codec *d, const Accesslog__AccessLog *m, struct access_log *l)
{
    const Filelog__FileAccessLog *file = pb_unpack_any(d, m->typed_config, &filelog__file_access_log__descriptor);
    const Core__SubstitutionFormatString *f;

    if (!file)
        return;
    if (m->filter) {
        const Accesslog__ResponseFlagFilter *flags = m->filter->response_flag_filter;
        if (m->filter->filter_specifier_case != ACCESSLOG__ACCESS_LOG_FILTER__FILTER_SPECIFIER_RESPONSE_FLAG_FILTER ||
            flags->n_flags != 1 || !view_is(view_of(flags->flags[0]), "NR"))
            pb_refuse(d, "filter: only response_flag_filter NR is supported");
        l->only_no_route = true;
    }
    l->path = pb_text(d, file->path);
    f = file->access_log_format_case == FILELOG__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_LOG_FORMAT ? file->log_format
                                                                                               : NULL;
    switch (f ? f->format_case : CORE__SUBSTITUTION_FORMAT_STRING__FORMAT__NOT_SET) {
    case CORE__SUBSTITUTION_FORMAT_STRING__FORMAT_TEXT_FORMAT:
        l->text = pb_text(d, f->text_format);
        break;
    case CORE__SUBSTITUTION_FORMAT_STRING__FORMAT_TEXT_FORMAT_SOURCE:
        XDS_IN(d, "text_format_source") l->text = pb_source_text(d, f->text_format_source);
        break;
    case CORE__SUBSTITUTION_FORMAT_STRING__FORMAT_JSON_FORMAT:
        get_json(d, f->json_format, l);
        return;
    default:
        break;
    }
    if (!l->text.n)
        pb_refuse(d, "log_format is missing");
}

void xds_get_access_logs(struct xds_codec *d, Accesslog__AccessLog **m, size_t n, struct access_log **ret,
                         uint32_t *ret_n)
{
    *ret = n ? ARENA_ARRAY(d->out, struct access_log, n) : NULL;
    *ret_n = (uint32_t)n;
    for (size_t i = 0; i < n; i++)
        XDS_AT(d, "access_log", i) get_access_log(d, m[i], &(*ret)[i]);
}
