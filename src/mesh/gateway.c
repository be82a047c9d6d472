// SPDX-License-Identifier: Apache-2.0
/* Gateway (gateway.h): servers of HTTP, of TLS that ends here or passes through, and of TCP; modes of meshes over several
 * networks are refused by name.
 */
#include "mesh/gateway.h"

#include "mesh/messages.h"
#include "mesh/snapshot.h"

static const struct enum_word mode_words[] = {
    {"PASSTHROUGH", SERVER_TLS_PASSTHROUGH},
    {"SIMPLE", SERVER_TLS_SIMPLE},
    {"MUTUAL", SERVER_TLS_MUTUAL},
    {"ISTIO_MUTUAL", SERVER_TLS_ISTIO_MUTUAL},
    {"AUTO_PASSTHROUGH", SERVER_TLS_AUTO_PASSTHROUGH, "meshes over several networks are not available yet"},
    {"OPTIONAL_MUTUAL", SERVER_TLS_OPTIONAL_MUTUAL},
    {NULL},
};
static const struct enum_word version_words[] = {
    {"TLS_AUTO", TLS_VERSION_AUTO}, {"TLSV1_0", TLS_VERSION_1_0}, {"TLSV1_1", TLS_VERSION_1_1},
    {"TLSV1_2", TLS_VERSION_1_2},   {"TLSV1_3", TLS_VERSION_1_3}, {NULL},
};

static const char *mode_word(const struct server_tls *t)
{
    for (const struct enum_word *w = mode_words; w->word; w++)
        if (w->value == (int)t->mode)
            return w->word;
    return "";
}

static void check_tls(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    struct server_tls *t = msg;
    t->has_mode = node_get(n, VIEW("mode")) != NULL;
    bool files = t->server_certificate.n && t->private_key.n, any_file = t->server_certificate.n || t->private_key.n;
    bool mutual = t->mode == SERVER_TLS_MUTUAL || t->mode == SERVER_TLS_OPTIONAL_MUTUAL;
    bool own = mutual || t->mode == SERVER_TLS_SIMPLE;
    if (t->has_mode && own && !t->credential_name.n && !files)
        decode_bad(d, n, at, "tls mode %s needs `credentialName`, or `serverCertificate` and `privateKey`",
                   mode_word(t));
    else if (mutual && !t->credential_name.n && !t->ca_certificates.n)
        decode_bad(d, n, at, "tls mode %s with files needs `caCertificates` too", mode_word(t));
    if (t->has_mode && !own && (t->credential_name.n || any_file || t->ca_certificates.n))
        decode_bad(d, n, at, "tls mode %s uses no certificates of its own", mode_word(t));
    if (t->credential_name.n && any_file)
        decode_bad_field(d, n, at, "credentialName", "`credentialName` and certificate files exclude each other");
    if (t->min_version && t->max_version && t->min_version > t->max_version)
        decode_bad_field(d, n, at, "minProtocolVersion", "`minProtocolVersion` is above `maxProtocolVersion`");
}

static const struct field tls_fields[] = {
    {"httpsRedirect", FIELD_BOOL, AT(struct server_tls, https_redirect)},
    {"mode", FIELD_ENUM, AT(struct server_tls, mode), .words = mode_words},
    {"serverCertificate", FIELD_STR, AT(struct server_tls, server_certificate)},
    {"privateKey", FIELD_STR, AT(struct server_tls, private_key)},
    {"credentialName", FIELD_STR, AT(struct server_tls, credential_name)},
    {"minProtocolVersion", FIELD_ENUM, AT(struct server_tls, min_version), .words = version_words},
    {"maxProtocolVersion", FIELD_ENUM, AT(struct server_tls, max_version), .words = version_words},
    {"cipherSuites", FIELD_STRS, AT(struct server_tls, cipher_suites)},
    {"caCertificates", FIELD_STR, AT(struct server_tls, ca_certificates)},
    {"caCrl", FIELD_REFUSED},
    {"credentialNames", FIELD_REFUSED, .why = "name one credential in `credentialName`"},
    {"caCertCredentialName", FIELD_REFUSED,
     .why = "put the CA into the Secret of `credentialName` (ca.crt), or into `<name>-cacert`"},
    {"tlsCertificates", FIELD_REFUSED, .why = "use serverCertificate and privateKey"},
    {"subjectAltNames", FIELD_STRS, AT(struct server_tls, subject_alt_names)},
    {"verifyCertificateSpki", FIELD_REFUSED, .why = "use subjectAltNames"},
    {"verifyCertificateHash", FIELD_REFUSED, .why = "use subjectAltNames"},
    {"insecureSkipVerify", FIELD_REFUSED},
};
static const struct message tls_message = {MESSAGE_FIELDS("ServerTLSSettings", struct server_tls, tls_fields),
                                           .part = true, .check = check_tls};

static const struct enum_word protocol_words[] = {
    {"HTTP", PORT_HTTP}, {"HTTPS", PORT_HTTPS},       {"HTTP2", PORT_HTTP2},
    {"GRPC", PORT_GRPC}, {"GRPC-WEB", PORT_GRPC_WEB}, {"TCP", PORT_TCP},
    {"TLS", PORT_TLS},   {"MONGO", PORT_MONGO},       {NULL},
};
static const struct field port_fields[] = {
    {"number", FIELD_PORT, AT(struct gateway_server, port), .required = true},
    {"protocol", FIELD_ENUM, AT(struct gateway_server, protocol), .words = protocol_words, .required = true},
    {"name", FIELD_STR, AT(struct gateway_server, port_name), .required = true},
    {"targetPort", FIELD_REFUSED, .why = "it belongs to ServiceEntry; remove it"},
};
static const struct message port_message = MESSAGE("Port", struct gateway_server, port_fields);

static void check_hosts(struct decoder *d, const struct gateway_server *s, const struct node *n, const struct place *at)
{
    const struct node *list = node_get(n, VIEW("hosts"));
    struct place here = {.up = at, .key = VIEW("hosts")};
    for (uint32_t i = 0; i < s->hosts.n; i++) {
        struct view ns = s->hosts.list[i], host = ns;
        struct place item = {.up = &here, .index = i};
        size_t slash = view_find(ns, '/');
        if (slash < ns.n) {
            host = view_from(ns, slash + 1);
            ns = view_head(ns, slash);
        }
        if ((slash < s->hosts.list[i].n && !view_is(ns, "*") && !view_is(ns, ".") && !is_dns_label(ns)) ||
            !is_host(host))
            decode_bad(d, list->items[i], &item, "`%.*s` is not a host of a gateway", VIEW_ARGS(s->hosts.list[i]))
                ->hint = VIEW("[namespace/]host, where host may be `*` or begin with `*.`, and namespace `.` or `*`");
    }
}

static void check_server(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    const struct gateway_server *s = msg;
    check_hosts(d, s, n, at);
    bool tls = s->protocol == PORT_HTTPS || s->protocol == PORT_TLS;
    if (tls && (!s->tls || !s->tls->has_mode))
        decode_bad_field(d, n, at, s->tls ? "tls" : "port", "a server of %s needs `tls` with a `mode`",
                         s->protocol == PORT_TLS ? "TLS" : "HTTPS");
    if (!tls && s->tls && s->tls->has_mode)
        decode_bad_field(d, n, at, "tls", "a server without TLS has a tls mode")->hint =
            VIEW("set `port.protocol: HTTPS` or `TLS`; plain servers may only use tls.httpsRedirect");
    if (s->tls && s->tls->https_redirect && !port_protocol_is_http(s->protocol))
        decode_bad_field(d, n, at, "tls", "`httpsRedirect` belongs to a plain HTTP server");
}

static const struct field server_fields[] = {
    {"port", FIELD_INLINE, .msg = &port_message, .required = true},
    {"bind", FIELD_STR, AT(struct gateway_server, bind), .format = FORMAT_IP},
    {"hosts", FIELD_STRS, AT(struct gateway_server, hosts), .required = true},
    {"tls", FIELD_MSG, AT(struct gateway_server, tls), .msg = &tls_message},
    {"name", FIELD_STR, AT(struct gateway_server, name)},
    {"defaultEndpoint", FIELD_REFUSED},
};
static const struct message server_message = {MESSAGE_FIELDS("Server", struct gateway_server, server_fields),
                                              .part = true, .check = check_server};

static void check_spec(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    struct gateway *g = msg;
    g->spec.at = decode_origin(d, n, at);
    g->spec.node = n;
    for (uint32_t i = 0; i < g->n_servers; i++)
        for (uint32_t j = 0; j < i; j++)
            if (view_eq(g->servers[i].port_name, g->servers[j].port_name))
                decode_bad_field(d, g->servers[i].part.node, at, "port", "two servers name their port `%.*s`",
                                 VIEW_ARGS(g->servers[i].port_name));
}

static const struct field spec_fields[] = {
    {"servers", FIELD_LIST, AT_LIST(struct gateway, servers, n_servers), .msg = &server_message, .required = true},
    {"selector", FIELD_MAP, AT(struct gateway, selector), .format = FORMAT_LABELS},
};
static const struct message spec_message = {MESSAGE_FIELDS("Gateway", struct gateway, spec_fields),
                                            .check = check_spec};
static const struct field gateway_fields[] = {
    OBJECT_FIELDS,
    {"spec", FIELD_INLINE, .msg = &spec_message, .required = true},
    {"status", FIELD_ANY},
};
const struct message gateway_message = MESSAGE("Gateway", struct gateway, gateway_fields);

bool gateway_host_matches(struct view server_host, struct view gw_ns, struct view vs_ns, struct view vs_host)
{
    size_t slash = view_find(server_host, '/');
    if (slash < server_host.n) {
        struct view ns = view_head(server_host, slash);
        server_host = view_from(server_host, slash + 1);
        if (view_is(ns, "."))
            ns = gw_ns;
        if (!view_is(ns, "*") && !view_eq(ns, vs_ns))
            return false;
    }
    return host_matches(server_host, vs_host) || host_matches(vs_host, server_host);
}
