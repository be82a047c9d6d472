// SPDX-License-Identifier: Apache-2.0
/* UpstreamTlsContext and DownstreamTlsContext ⇄ struct tls_client and tls_server. See tls.h. */
#include "xds/tls.h"

#include <string.h>

#define TLS_SOCKET "envoy.transport_sockets.tls"
#define RAW_SOCKET "envoy.transport_sockets.raw_buffer"

static const struct pb_enum versions[] = {
    {TLS_PROTOCOL_AUTO, TLS__TLS_PARAMETERS__TLS_PROTOCOL__TLS_AUTO},
    {TLS_PROTOCOL_1_0, TLS__TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_0},
    {TLS_PROTOCOL_1_1, TLS__TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_1},
    {TLS_PROTOCOL_1_2, TLS__TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_2},
    {TLS_PROTOCOL_1_3, TLS__TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_3},
};
#define N_VERSIONS (sizeof(versions) / sizeof(versions[0]))

/* ---- string matchers ---- */

Matcher__RegexMatcher *xds_regex(struct arena *a, struct view pattern)
{
    Matcher__RegexMatcher *m = PB_NEW(a, Matcher__RegexMatcher, matcher__regex_matcher__init);

    m->regex = pb_str(a, pattern);
    return m;
}

Matcher__StringMatcher *xds_string(struct arena *a, const struct text_match *s)
{
    Matcher__StringMatcher *m = PB_NEW(a, Matcher__StringMatcher, matcher__string_matcher__init);
    char *text = pb_str(a, s->value);

    switch (s->kind) {
    case TEXT_EXACT:
        m->match_pattern_case = MATCHER__STRING_MATCHER__MATCH_PATTERN_EXACT;
        m->exact = text;
        break;
    case TEXT_PREFIX:
        m->match_pattern_case = MATCHER__STRING_MATCHER__MATCH_PATTERN_PREFIX;
        m->prefix = text;
        break;
    case TEXT_SUFFIX:
        m->match_pattern_case = MATCHER__STRING_MATCHER__MATCH_PATTERN_SUFFIX;
        m->suffix = text;
        break;
    case TEXT_CONTAINS:
        m->match_pattern_case = MATCHER__STRING_MATCHER__MATCH_PATTERN_CONTAINS;
        m->contains = text;
        break;
    case TEXT_REGEX:
        m->match_pattern_case = MATCHER__STRING_MATCHER__MATCH_PATTERN_SAFE_REGEX;
        m->safe_regex = xds_regex(a, s->value);
        break;
    case TEXT_PRESENT: /* has a form of its own where it may stand; as a matcher: any text */
        m->match_pattern_case = MATCHER__STRING_MATCHER__MATCH_PATTERN_PREFIX;
        m->prefix = pb_str(a, VIEW_NONE);
        break;
    }
    m->ignore_case = s->ignore_case;
    return m;
}

void xds_get_string(struct xds_codec *d, const Matcher__StringMatcher *m, struct text_match *ret)
{
    const char *text = NULL;

    switch (m ? m->match_pattern_case : MATCHER__STRING_MATCHER__MATCH_PATTERN__NOT_SET) {
    case MATCHER__STRING_MATCHER__MATCH_PATTERN_EXACT:
        ret->kind = TEXT_EXACT;
        text = m->exact;
        break;
    case MATCHER__STRING_MATCHER__MATCH_PATTERN_PREFIX:
        ret->kind = TEXT_PREFIX;
        text = m->prefix;
        break;
    case MATCHER__STRING_MATCHER__MATCH_PATTERN_SUFFIX:
        ret->kind = TEXT_SUFFIX;
        text = m->suffix;
        break;
    case MATCHER__STRING_MATCHER__MATCH_PATTERN_CONTAINS:
        ret->kind = TEXT_CONTAINS;
        text = m->contains;
        break;
    case MATCHER__STRING_MATCHER__MATCH_PATTERN_SAFE_REGEX:
        ret->kind = TEXT_REGEX;
        text = m->safe_regex->regex;
        break;
    default:
        pb_refuse(d, "says nothing to match");
        return;
    }
    ret->value = pb_text(d, text);
    ret->ignore_case = m->ignore_case && ret->kind != TEXT_REGEX;
}

/* ---- both sides ---- */

static Tls__SdsSecretConfig *sds(struct arena *a, struct view name)
{
    Tls__SdsSecretConfig *m = PB_NEW(a, Tls__SdsSecretConfig, tls__sds_secret_config__init);
    Core__ConfigSource *source;
    Core__ApiConfigSource *api;
    Core__GrpcService *grpc;

    m->name = pb_str(a, name);
    m->sds_config = source = pb_ads(a);
    if (view_starts(name, VIEW("kubernetes://")))
        return m;
    grpc = PB_NEW(a, Core__GrpcService, core__grpc_service__init);
    grpc->target_specifier_case = CORE__GRPC_SERVICE__TARGET_SPECIFIER_ENVOY_GRPC;
    grpc->envoy_grpc = PB_NEW(a, Core__GrpcService__EnvoyGrpc, core__grpc_service__envoy_grpc__init);
    grpc->envoy_grpc->cluster_name = (char *)(uintptr_t) "sds-grpc";
    api = PB_NEW(a, Core__ApiConfigSource, core__api_config_source__init);
    api->api_type = CORE__API_CONFIG_SOURCE__API_TYPE__GRPC;
    api->transport_api_version = CORE__API_VERSION__V3;
    api->set_node_on_first_message_only = true;
    PB_PUSH(a, api, grpc_services, grpc);
    source->config_source_specifier_case = CORE__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_API_CONFIG_SOURCE;
    source->api_config_source = api;
    return m;
}

static void put_validation(struct arena *a, const struct tls_common *t, bool insecure, Tls__CommonTlsContext *m)
{
    Tls__CertificateValidationContext *v;

    if (!t->trust.name.n && !t->n_sans && !insecure)
        return;
    if (t->trust.name.n && !t->n_sans) {
        m->validation_context_type_case =
            TLS__COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_VALIDATION_CONTEXT_SDS_SECRET_CONFIG;
        m->validation_context_sds_secret_config = sds(a, t->trust.name);
        return;
    }
    v = PB_NEW(a, Tls__CertificateValidationContext, tls__certificate_validation_context__init);
    for (uint32_t i = 0; i < t->n_sans; i++)
        PB_PUSH(a, v, match_subject_alt_names, xds_string(a, &t->sans[i]));
    if (insecure)
        v->trust_chain_verification = TLS__CERTIFICATE_VALIDATION_CONTEXT__TRUST_CHAIN_VERIFICATION__ACCEPT_UNTRUSTED;
    if (!t->trust.name.n) {
        m->validation_context_type_case = TLS__COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_VALIDATION_CONTEXT;
        m->validation_context = v;
        return;
    }
    m->validation_context_type_case = TLS__COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_COMBINED_VALIDATION_CONTEXT;
    m->combined_validation_context = PB_NEW(a, Tls__CommonTlsContext__CombinedCertificateValidationContext,
                                            tls__common_tls_context__combined_certificate_validation_context__init);
    m->combined_validation_context->default_validation_context = v;
    m->combined_validation_context->validation_context_sds_secret_config = sds(a, t->trust.name);
}

static Tls__CommonTlsContext *common(struct arena *a, const struct tls_common *t, bool insecure)
{
    Tls__CommonTlsContext *m = PB_NEW(a, Tls__CommonTlsContext, tls__common_tls_context__init);

    for (uint32_t i = 0; i < t->n_identities; i++)
        PB_PUSH(a, m, tls_certificate_sds_secret_configs, sds(a, t->identities[i].name));
    for (uint32_t i = 0; i < t->n_alpn; i++)
        PB_PUSH(a, m, alpn_protocols, pb_str(a, t->alpn[i]));
    if (t->min != TLS_PROTOCOL_AUTO || t->max != TLS_PROTOCOL_AUTO || t->n_ciphers) {
        m->tls_params = PB_NEW(a, Tls__TlsParameters, tls__tls_parameters__init);
        m->tls_params->tls_minimum_protocol_version = pb_theirs(versions, N_VERSIONS, t->min);
        m->tls_params->tls_maximum_protocol_version = pb_theirs(versions, N_VERSIONS, t->max);
        for (uint32_t i = 0; i < t->n_ciphers; i++)
            PB_PUSH(a, m->tls_params, cipher_suites, pb_str(a, t->ciphers[i]));
    }
    put_validation(a, t, insecure, m);
    return m;
}

static Core__TransportSocket *tls_socket(struct arena *a, const ProtobufCMessage *context, const char *name)
{
    Core__TransportSocket *m = PB_NEW(a, Core__TransportSocket, core__transport_socket__init);

    m->name = (char *)(uintptr_t)name;
    m->config_type_case = CORE__TRANSPORT_SOCKET__CONFIG_TYPE_TYPED_CONFIG;
    m->typed_config = pb_any(a, context);
    return m;
}

Core__TransportSocket *xds_tls_client(struct arena *a, const struct tls_client *tls)
{
    Tls__UpstreamTlsContext *m;

    if (!tls)
        return tls_socket(a, &PB_NEW(a, RawBuffer__RawBuffer, raw_buffer__raw_buffer__init)->base, RAW_SOCKET);
    m = PB_NEW(a, Tls__UpstreamTlsContext, tls__upstream_tls_context__init);
    m->sni = pb_str(a, tls->sni);
    m->common_tls_context = common(a, &tls->common, tls->insecure);
    return tls_socket(a, &m->base, TLS_SOCKET);
}

Core__TransportSocket *xds_tls_server(struct arena *a, const struct tls_server *tls)
{
    Tls__DownstreamTlsContext *m = PB_NEW(a, Tls__DownstreamTlsContext, tls__downstream_tls_context__init);

    m->common_tls_context = common(a, &tls->common, false);
    m->require_client_certificate = pb_bool(a, tls->require_client_cert);
    m->session_ticket_keys_type_case =
        TLS__DOWNSTREAM_TLS_CONTEXT__SESSION_TICKET_KEYS_TYPE_DISABLE_STATELESS_SESSION_RESUMPTION;
    m->disable_stateless_session_resumption = true;
    return tls_socket(a, &m->base, TLS_SOCKET);
}

/* ---- decoding ---- */

static void get_sans(struct xds_codec *d, const Tls__CertificateValidationContext *v, struct tls_common *t)
{
    size_t n = v->n_match_subject_alt_names + v->n_match_typed_subject_alt_names;

    t->sans = n ? ARENA_ARRAY(d->out, struct text_match, n) : NULL;
    for (size_t i = 0; i < v->n_match_subject_alt_names; i++)
        XDS_AT(d, "match_subject_alt_names", i)
    xds_get_string(d, v->match_subject_alt_names[i], &t->sans[t->n_sans++]);
    for (size_t i = 0; i < v->n_match_typed_subject_alt_names; i++)
        XDS_AT(d, "match_typed_subject_alt_names", i)
        {
            const Tls__SubjectAltNameMatcher *m = v->match_typed_subject_alt_names[i];
            if (m->san_type != TLS__SUBJECT_ALT_NAME_MATCHER__SAN_TYPE__URI &&
                m->san_type != TLS__SUBJECT_ALT_NAME_MATCHER__SAN_TYPE__DNS)
                pb_refuse(d, "only SAN types URI and DNS are supported");
            xds_get_string(d, m->matcher, &t->sans[t->n_sans++]);
        }
}

static void get_validation(struct xds_codec *d, const Tls__CertificateValidationContext *v, struct tls_common *t,
                           bool *ret_insecure)
{
    if (!v)
        return;
    if (v->n_verify_certificate_hash || v->n_verify_certificate_spki)
        pb_refuse(d, "pinning of certificates (verify_certificate_hash, verify_certificate_spki) is not supported");
    if (v->crl)
        pb_refuse(d, "crl is not supported");
    if (v->trusted_ca && v->trusted_ca->specifier_case == CORE__DATA_SOURCE__SPECIFIER_FILENAME)
        t->trust = name_ref(arena_printf(d->out, "file-root:%s", v->trusted_ca->filename));
    else if (v->trusted_ca)
        pb_refuse(d, "trusted_ca: only a filename or an SDS secret is supported");
    if (v->trust_chain_verification == TLS__CERTIFICATE_VALIDATION_CONTEXT__TRUST_CHAIN_VERIFICATION__ACCEPT_UNTRUSTED)
        *ret_insecure = true;
    else if (v->trust_chain_verification)
        pb_refuse(d, "trust_chain_verification %d is unknown", v->trust_chain_verification);
    get_sans(d, v, t);
}

static void get_common(struct xds_codec *d, const Tls__CommonTlsContext *m, struct tls_common *t, bool *ret_insecure)
{
    if (!m)
        return;
    if (m->n_tls_certificates)
        pb_refuse(d, "tls_certificates: certificates come by SDS only");
    t->n_identities = (uint32_t)m->n_tls_certificate_sds_secret_configs;
    t->identities = t->n_identities ? ARENA_ARRAY(d->out, struct name_ref, t->n_identities) : NULL;
    for (uint32_t i = 0; i < t->n_identities; i++)
        t->identities[i] = pb_name(d, m->tls_certificate_sds_secret_configs[i]->name);
    t->alpn = pb_texts(d, m->alpn_protocols, m->n_alpn_protocols);
    t->n_alpn = (uint32_t)m->n_alpn_protocols;
    if (m->tls_params) {
        const Tls__TlsParameters *p = m->tls_params;
        t->min = pb_ours(d, versions, N_VERSIONS, p->tls_minimum_protocol_version,
                         &tls__tls_parameters__tls_protocol__descriptor);
        t->max = pb_ours(d, versions, N_VERSIONS, p->tls_maximum_protocol_version,
                         &tls__tls_parameters__tls_protocol__descriptor);
        t->ciphers = pb_texts(d, p->cipher_suites, p->n_cipher_suites);
        t->n_ciphers = (uint32_t)p->n_cipher_suites;
        if (p->n_ecdh_curves)
            pb_refuse(d, "tls_params.ecdh_curves is not supported");
    }
    switch (m->validation_context_type_case) {
    case TLS__COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_VALIDATION_CONTEXT:
        XDS_IN(d, "validation_context") get_validation(d, m->validation_context, t, ret_insecure);
        break;
    case TLS__COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_VALIDATION_CONTEXT_SDS_SECRET_CONFIG:
        t->trust = pb_name(d, m->validation_context_sds_secret_config->name);
        break;
    case TLS__COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_COMBINED_VALIDATION_CONTEXT:
        XDS_IN(d, "combined_validation_context")
        {
            get_validation(d, m->combined_validation_context->default_validation_context, t, ret_insecure);
            if (m->combined_validation_context->validation_context_sds_secret_config)
                t->trust = pb_name(d, m->combined_validation_context->validation_context_sds_secret_config->name);
        }
        break;
    default:
        break;
    }
}

struct tls_client *xds_get_tls_client(struct xds_codec *d, const Core__TransportSocket *socket)
{
    const Tls__UpstreamTlsContext *m;
    struct tls_client *tls;

    if (!socket || pb_any_is(socket->typed_config, &raw_buffer__raw_buffer__descriptor) ||
        (!socket->typed_config && strcmp(socket->name, RAW_SOCKET) == 0))
        return NULL;
    m = pb_unpack_any(d, socket->typed_config, &tls__upstream_tls_context__descriptor);
    if (!m)
        return NULL;
    tls = ARENA_NEW(d->out, struct tls_client);
    tls->sni = pb_text(d, m->sni);
    tls->auto_sni = m->auto_host_sni;
    tls->auto_san = m->auto_sni_san_validation;
    XDS_IN(d, "common_tls_context") get_common(d, m->common_tls_context, &tls->common, &tls->insecure);
    return tls;
}

struct tls_server *xds_get_tls_server(struct xds_codec *d, const Core__TransportSocket *socket)
{
    const Tls__DownstreamTlsContext *m;
    struct tls_server *tls;
    bool insecure = false;

    if (!socket || pb_any_is(socket->typed_config, &raw_buffer__raw_buffer__descriptor))
        return NULL;
    m = pb_unpack_any(d, socket->typed_config, &tls__downstream_tls_context__descriptor);
    if (!m)
        return NULL;
    tls = ARENA_NEW(d->out, struct tls_server);
    tls->require_client_cert = pb_get_bool(m->require_client_certificate, false);
    if (pb_get_bool(m->require_sni, false))
        pb_refuse(d, "require_sni is not supported");
    XDS_IN(d, "common_tls_context") get_common(d, m->common_tls_context, &tls->common, &insecure);
    if (insecure)
        pb_refuse(d, "trust_chain_verification ACCEPT_UNTRUSTED is not supported for clients");
    return tls;
}

/* ---- secrets ---- */

static Core__DataSource *inline_bytes(struct arena *a, struct view v)
{
    Core__DataSource *m = PB_NEW(a, Core__DataSource, core__data_source__init);

    m->specifier_case = CORE__DATA_SOURCE__SPECIFIER_INLINE_BYTES;
    m->inline_bytes = pb_bytes(v);
    return m;
}

Tls__Secret *xds_secret(struct arena *a, const struct tls_secret *s)
{
    Tls__Secret *m = PB_NEW(a, Tls__Secret, tls__secret__init);

    m->name = pb_str(a, s->res.name);
    if (s->cert_chain.n) {
        m->type_case = TLS__SECRET__TYPE_TLS_CERTIFICATE;
        m->tls_certificate = PB_NEW(a, Tls__TlsCertificate, tls__tls_certificate__init);
        m->tls_certificate->certificate_chain = inline_bytes(a, s->cert_chain);
        m->tls_certificate->private_key = inline_bytes(a, s->private_key);
    } else {
        m->type_case = TLS__SECRET__TYPE_VALIDATION_CONTEXT;
        m->validation_context = PB_NEW(a, Tls__CertificateValidationContext, tls__certificate_validation_context__init);
        m->validation_context->trusted_ca = inline_bytes(a, s->trusted_ca);
    }
    return m;
}

static struct view borrowed(struct xds_codec *d, const Core__DataSource *m)
{
    if (m && m->specifier_case == CORE__DATA_SOURCE__SPECIFIER_INLINE_STRING)
        return view_of(m->inline_string);
    if (m && m->specifier_case == CORE__DATA_SOURCE__SPECIFIER_INLINE_BYTES)
        return view_make(m->inline_bytes.data, m->inline_bytes.len);
    pb_refuse(d, "only inline_string and inline_bytes are supported");
    return VIEW_NONE;
}

struct tls_secret *xds_get_secret(struct xds_codec *d, const Tls__Secret *m)
{
    struct view chain = VIEW_NONE, key = VIEW_NONE, ca = VIEW_NONE;

    if (m->type_case == TLS__SECRET__TYPE_TLS_CERTIFICATE) {
        XDS_IN(d, "tls_certificate.certificate_chain") chain = borrowed(d, m->tls_certificate->certificate_chain);
        XDS_IN(d, "tls_certificate.private_key") key = borrowed(d, m->tls_certificate->private_key);
    } else if (m->type_case == TLS__SECRET__TYPE_VALIDATION_CONTEXT) {
        XDS_IN(d, "validation_context.trusted_ca") ca = borrowed(d, m->validation_context->trusted_ca);
        if (m->validation_context->crl)
            pb_refuse(d, "crl is not supported");
    } else {
        pb_refuse(d, "has neither tls_certificate nor validation_context");
    }
    return d->failed ? NULL : tls_secret_new(view_of(m->name), chain, key, ca);
}
