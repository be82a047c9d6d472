// SPDX-License-Identifier: Apache-2.0
/* weft-control: the control plane. Reads objects from an API server or a folder, tells proxies what to do over xDS, signs
 * their certificates. Flags and ports are few, with Istio's numbers; what it does is in control/control.h.
 *
 *   weft-control --kube /var/run/weft/kube/api.sock            in a sandbox: objects, and who tokens belong to
 *   weft-control --in-cluster                                  in a pod: the cluster's API server, the service account
 *   weft-control --config /etc/weft --token-keys jwks.json     on machines without Kubernetes
 *
 * Environment: CLUSTER_ID, POD_NAME and POD_NAMESPACE (who we are among our replicas, and where the Lease of their leader
 * is). Of the CA, with Istio's names and meanings: DEFAULT_WORKLOAD_CERT_TTL (24h), MAX_WORKLOAD_CERT_TTL (2160h),
 * CITADEL_SELF_SIGNED_CA_CERT_TTL (87600h), CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL (1h),
 * CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE (20), CITADEL_ENABLE_JITTER_FOR_ROOT_CERT_ROTATOR (true); and
 * CA_ROOT_SETTLE (150s): how long proxies are told of a new root before certificates are signed under it.
 */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "control/identity/authority.h"
#include "control/control.h"
#include "kube/client.h"
#include "kube/config.h"
#include "net/loop.h"
#include "net/signals.h"
#include "net/timer.h"
#include "trust/token.h"

enum { EVENT_SIGNAL = 1, EVENT_TRIM = 2, EVENT_CA = 4, EVENT_STOP = 8 };

/* In a cluster we answer on for a moment: the Service still sends the API server's webhooks and new proxies here until every
 * node has heard that this pod goes. */
#define LINGER (3 * NS_PER_S)
#define TRIM_EACH (60 * NS_PER_S) /* a thousand proxies that came at once leave holes in the heap */

static const char usage[] =
    "weft-control: the control plane of weft\n"
    "\n"
    "  --kube PATH           Unix socket of an API server (@name: abstract)\n"
    "  --in-cluster          the API server of the cluster that this pod is in\n"
    "  --kubeconfig FILE     or the one of a kubeconfig ($KUBECONFIG)\n"
    "  --context NAME        and this context of it instead of the current one\n"
    "  --config PATH         folder or file of manifests, read again when it changes\n"
    "  --token-keys FILE     JWKS or PEM of who signs tokens, instead of asking the API server\n"
    "  --token-issuer URL    and what their iss must be\n"
    "  --ca-dir DIR          cacerts: ca-cert.pem ca-key.pem root-cert.pem cert-chain.pem (/etc/cacerts)\n"
    "                        reloaded when it changes; without it, Secret istio-ca-secret of the API server\n"
    "  --ca-keep DIR         where a root that is made here is kept, instead of that Secret (default: not kept)\n"
    "  --trust-domain NAME   of the mesh (cluster.local)\n"
    "  --cluster-id NAME     of this cluster (Kubernetes, or $CLUSTER_ID)\n"
    "  --listen ADDRESS      to listen on (0.0.0.0)\n"
    "  --xds-port N          xDS and CA in plaintext (15010; 0: none)\n"
    "  --xds-tls-port N      xDS and CA over TLS (15012)\n"
    "  --debug-port N        /metrics, /debug/… (15014)\n"
    "  --ready-port N        /ready (8080)\n"
    "  --webhook-port N      webhooks of the API server (15017 with --in-cluster and --kubeconfig)\n"
    "  --revision NAME       of this control plane (default, or $REVISION)\n"
    "  --log LEVEL           error, warn, info, debug (info)\n"
    "  --log-json            one JSON object a line\n"
    "  --version, --help\n";

enum option_id {
    OPT_KUBE = 256,
    OPT_IN_CLUSTER,
    OPT_KUBECONFIG,
    OPT_CONTEXT,
    OPT_CONFIG,
    OPT_TOKEN_KEYS,
    OPT_TOKEN_ISSUER,
    OPT_CA_DIR,
    OPT_CA_KEEP,
    OPT_TRUST_DOMAIN,
    OPT_CLUSTER_ID,
    OPT_LISTEN,
    OPT_XDS_PORT,
    OPT_XDS_TLS_PORT,
    OPT_DEBUG_PORT,
    OPT_READY_PORT,
    OPT_WEBHOOK_PORT,
    OPT_REVISION,
    OPT_LOG,
    OPT_LOG_JSON,
    OPT_VERSION,
    OPT_HELP,
    OPT_END,
};

static const struct option longs[] = {
    {"kube", required_argument, NULL, OPT_KUBE},
    {"in-cluster", no_argument, NULL, OPT_IN_CLUSTER},
    {"kubeconfig", required_argument, NULL, OPT_KUBECONFIG},
    {"context", required_argument, NULL, OPT_CONTEXT},
    {"config", required_argument, NULL, OPT_CONFIG},
    {"token-keys", required_argument, NULL, OPT_TOKEN_KEYS},
    {"token-issuer", required_argument, NULL, OPT_TOKEN_ISSUER},
    {"ca-dir", required_argument, NULL, OPT_CA_DIR},
    {"ca-keep", required_argument, NULL, OPT_CA_KEEP},
    {"trust-domain", required_argument, NULL, OPT_TRUST_DOMAIN},
    {"cluster-id", required_argument, NULL, OPT_CLUSTER_ID},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"xds-port", required_argument, NULL, OPT_XDS_PORT},
    {"xds-tls-port", required_argument, NULL, OPT_XDS_TLS_PORT},
    {"debug-port", required_argument, NULL, OPT_DEBUG_PORT},
    {"ready-port", required_argument, NULL, OPT_READY_PORT},
    {"webhook-port", required_argument, NULL, OPT_WEBHOOK_PORT},
    {"revision", required_argument, NULL, OPT_REVISION},
    {"log", required_argument, NULL, OPT_LOG},
    {"log-json", no_argument, NULL, OPT_LOG_JSON},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

struct program {
    const char *opt[OPT_END - OPT_KUBE];
    struct task task;
    struct loop *loop;
    struct signals signals;
    struct timer trim, stop;
    struct control_config config;
    struct kube_client *kube;
    char pod[128]; /* POD_NAME, or what stands for it */
    struct authority *authority;
    struct authority_watch ca_there;
    struct control *control; /* NULL: there is no CA yet */
    bool failed;
    struct token_keys *keys;
};

static const char *option(const struct program *p, enum option_id id, const char *absent)
{
    return p->opt[id - OPT_KUBE] ? p->opt[id - OPT_KUBE] : absent;
}

static int fail(const char *what, const char *why)
{
    log_error("%s: %s", what, why);
    return EXIT_FAILURE;
}

static int duration_of(const char *name, uint64_t *ret)
{
    const char *text = getenv(name);

    return text && *text ? clock_parse_duration(view_of(text), ret) : 0;
}

/* Istio's settings of its CA, and the one that it has no name for. */
static int ca_settings(struct authority_config *c)
{
    const struct {
        const char *name;
        uint64_t *to;
    } durations[] = {
        {"DEFAULT_WORKLOAD_CERT_TTL", &c->ca.default_ttl},
        {"MAX_WORKLOAD_CERT_TTL", &c->ca.max_ttl},
        {"CITADEL_SELF_SIGNED_CA_CERT_TTL", &c->ca.root_ttl},
        {"CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL", &c->check},
        {"CA_ROOT_SETTLE", &c->settle},
    };
    const char *percent = getenv("CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE");
    const char *jitter = getenv("CITADEL_ENABLE_JITTER_FOR_ROOT_CERT_ROTATOR");
    uint64_t n = 0;

    for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++)
        if (duration_of(durations[i].name, durations[i].to) < 0)
            return fail(durations[i].name, "not a duration like 24h");
    if (percent && *percent && (view_u64(view_of(percent), &n) < 0 || n < 1 || n > 99))
        return fail("CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE", "not a number from 1 to 99");
    c->grace_percent = (unsigned)n;
    c->no_jitter = jitter && strcmp(jitter, "false") == 0;
    return 0;
}

/* The CA of a folder or of our own is there at once; what the API server holds comes later. */
static int load_ca(struct program *p)
{
    struct authority_config c = {.loop = p->loop,
                                 .ca = {.trust_domain = p->config.trust_domain},
                                 .folder = option(p, OPT_CA_DIR, "/etc/cacerts"),
                                 .kube = p->kube,
                                 .ns = p->config.home,
                                 .keep = option(p, OPT_CA_KEEP, NULL)};

    if (ca_settings(&c))
        return EXIT_FAILURE;
    p->authority = authority_new(&c);
    if (!authority_ca(p->authority) && authority_problem(p->authority))
        return EXIT_FAILURE; /* which it has logged */
    p->config.authority = p->authority;
    return 0;
}

static int load_keys(struct program *p)
{
    const char *path = option(p, OPT_TOKEN_KEYS, NULL), *why = "";
    struct buf text = {0};
    int r;

    if (!path)
        return 0;
    r = file_read(view_of(path), 1u << 20, &text);
    if (r < 0)
        why = strerror(-r);
    else if (view_starts(view_trim(buf_read(&text)), VIEW("{")))
        r = token_keys_from_jwks(buf_read(&text), &p->keys, &why);
    else
        r = token_keys_from_pem(buf_read(&text), &p->keys, &why);
    buf_done(&text);
    return r < 0 ? fail(path, why) : 0;
}

static int address(const struct program *p, enum option_id id, const char *standard, struct addr *ret)
{
    uint64_t port;

    *ret = (struct addr){0};
    if (view_u64(view_of(option(p, id, standard)), &port) < 0 || port > 65535)
        return fail(option(p, id, standard), "not a port");
    if (port && addr_parse_ip(view_of(option(p, OPT_LISTEN, "0.0.0.0")), (uint16_t)port, ret) < 0)
        return fail(option(p, OPT_LISTEN, ""), "not an IP address");
    return 0;
}

/* Which API server, by one of four flags; none is fine when there are files. */
static int open_kube(struct program *p)
{
    const char *kube = option(p, OPT_KUBE, NULL), *file = option(p, OPT_KUBECONFIG, NULL), *why = "";
    const char *context = option(p, OPT_CONTEXT, NULL);
    bool in = option(p, OPT_IN_CLUSTER, NULL), out = file || context;
    struct kube_config g = {.unix_path = view_of(kube)};
    int r = 0;

    if ((kube != NULL) + in + out > 1)
        return fail("weft-control", "give one of --kube, --in-cluster and --kubeconfig");
    if (!kube && !in && !out)
        return option(p, OPT_CONFIG, NULL)
                   ? 0
                   : fail("weft-control", "nothing to read from: give --in-cluster, --kubeconfig, --kube or --config");
    if (in)
        r = kube_config_in_cluster(&g, &why);
    else if (out)
        r = kube_config_load(file, context, &g, &why);
    if (r == 0) {
        g.agent = VIEW("weft-control/" WEFT_VERSION);
        p->kube = kube_client_new(p->loop, &g);
        if (!kube)
            log_info("API server %.*s", VIEW_ARGS(g.server));
    } else {
        fail(in ? "--in-cluster" : "--kubeconfig", why);
    }
    kube_config_done(&g);
    return r < 0 ? EXIT_FAILURE : 0;
}

static void name_pod(struct program *p)
{
    const char *pod = getenv("POD_NAME"), *ns = getenv("POD_NAMESPACE");
    char host[64] = "weft-control";

    gethostname(host, sizeof(host) - 1);
    if (pod && *pod)
        snprintf(p->pod, sizeof(p->pod), "%s", pod);
    else
        snprintf(p->pod, sizeof(p->pod), "%s_%d", host, (int)getpid());
    p->config.pod = view_of(p->pod);
    p->config.home = view_of(ns && *ns ? ns : "istio-system");
}

static int configure(struct program *p)
{
    const char *cluster = getenv("CLUSTER_ID"), *revision = getenv("REVISION");
    bool cluster_near =
        option(p, OPT_IN_CLUSTER, NULL) || option(p, OPT_KUBECONFIG, NULL) || option(p, OPT_CONTEXT, NULL);
    enum log_level level;

    if (log_parse_level(option(p, OPT_LOG, "info"), &level) < 0)
        return fail(option(p, OPT_LOG, ""), "not a log level");
    log_set(level, option(p, OPT_LOG_JSON, NULL) != NULL);
    name_pod(p);
    p->config.trust_domain = view_of(option(p, OPT_TRUST_DOMAIN, "cluster.local"));
    p->config.cluster_id = view_of(option(p, OPT_CLUSTER_ID, cluster && *cluster ? cluster : "Kubernetes"));
    p->config.config = option(p, OPT_CONFIG, NULL);
    p->config.issuer = view_of(option(p, OPT_TOKEN_ISSUER, ""));
    if (address(p, OPT_XDS_PORT, "15010", &p->config.xds_plain) ||
        address(p, OPT_XDS_TLS_PORT, "15012", &p->config.xds_tls) ||
        address(p, OPT_DEBUG_PORT, "15014", &p->config.debug) || address(p, OPT_READY_PORT, "8080", &p->config.ready) ||
        address(p, OPT_WEBHOOK_PORT, cluster_near ? "15017" : "0", &p->config.webhook) || load_keys(p))
        return EXIT_FAILURE;
    p->config.revision = view_of(option(p, OPT_REVISION, revision && *revision ? revision : "default"));
    p->loop = loop_new(&(struct loop_options){.name = "control"});
    if (!p->loop)
        return fail("event loop", strerror(errno));
    if (open_kube(p))
        return EXIT_FAILURE;
    p->config.loop = p->loop;
    p->config.kube = p->kube;
    p->config.keys = p->keys;
    return load_ca(p);
}

/* The control plane starts when there is a CA: at once, or when the API server has answered. */
static void start_control(struct program *p)
{
    const char *why = "";
    int r;

    if (p->control || !authority_ca(p->authority))
        return;
    r = control_new(&p->config, &p->control, &why);
    if (r == 0) {
        log_info("weft-control " WEFT_VERSION " serves trust domain %.*s", VIEW_ARGS(p->config.trust_domain));
        return;
    }
    log_error("%s: %s", why, strerror(-r));
    p->failed = true;
    loop_stop(p->loop);
}

static void program_run(struct task *t, uint32_t events)
{
    struct program *p = CONTAINER_OF(t, struct program, task);
    int sig;

    while ((sig = signals_take(&p->signals))) {
        bool linger = sig == SIGTERM && option(p, OPT_IN_CLUSTER, NULL) && !timer_is_set(&p->stop);
        log_info("signal %d: stopping%s", sig, linger ? " in 3 s, when no more is sent here" : "");
        if (linger)
            timer_in(&p->stop, LINGER);
        else
            loop_stop(p->loop);
    }
    if (events & EVENT_STOP)
        loop_stop(p->loop);
    if (events & EVENT_CA)
        start_control(p);
    if (events & EVENT_TRIM) {
        if (p->control)
            control_trim(p->control);
        timer_in(&p->trim, TRIM_EACH);
    }
}

static int run(struct program *p)
{
    int r;

    mallopt(M_MMAP_THRESHOLD, 128 * 1024); /* large buffers go back to the kernel at once, however many there were */
    task_init(&p->task, p->loop, program_run, "signals");
    timer_init(&p->stop, &p->task, EVENT_STOP);
    timer_init(&p->trim, &p->task, EVENT_TRIM);
    timer_in(&p->trim, TRIM_EACH);
    r = signals_open(&p->signals, p->loop, (int[]){SIGTERM, SIGINT, 0}, &p->task, EVENT_SIGNAL);
    if (r < 0) {
        timer_done(&p->trim);
        timer_done(&p->stop);
        return fail("signals", strerror(-r));
    }
    authority_watch(p->authority, &p->ca_there, &p->task, EVENT_CA);
    loop_run(p->loop);
    control_free(p->control);
    authority_unwatch(&p->ca_there);
    signals_done(&p->signals);
    timer_done(&p->trim);
    timer_done(&p->stop);
    task_done(&p->task);
    return p->failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct program p = {.signals.fd = -1};
    int id, r;

    while ((id = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (id < OPT_KUBE || id >= OPT_END) {
            fputs("weft-control --help lists the flags\n", stderr);
            return 64;
        }
        p.opt[id - OPT_KUBE] = optarg ? optarg : "";
    }
    if (option(&p, OPT_HELP, NULL) || option(&p, OPT_VERSION, NULL)) {
        fputs(option(&p, OPT_HELP, NULL) ? usage : "weft-control " WEFT_VERSION "\n", stdout);
        return 0;
    }
    if (optind < argc) {
        fprintf(stderr, "%s: weft-control takes no arguments, only flags; see --help\n", argv[optind]);
        return 64;
    }
    r = configure(&p);
    if (r == 0)
        r = run(&p);
    authority_free(p.authority);
    kube_client_free(p.kube);
    token_keys_unref(p.keys);
    loop_free(p.loop);
    return r;
}
