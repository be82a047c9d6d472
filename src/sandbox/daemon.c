// SPDX-License-Identifier: Apache-2.0
/* The loop in which everything of the sandbox happens (daemon.h). Whoever has news sets a bit of one task; the task does
 * the rest in one order: news of the runtime into the store, controllers, kubelet, host ports, watches.
 */
#include "sandbox/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/conn.h"
#include "mesh/core.h"
#include "net/fd_watch.h"
#include "net/loop.h"
#include "net/signals.h"
#include "net/timer.h"
#include "sandbox/api/exec.h"
#include "sandbox/api/server.h"
#include "sandbox/isolate.h"
#include "sandbox/host_port_table.h"
#include "sandbox/istiod.h"
#include "sandbox/kubelet.h"
#include "sandbox/watch_dir.h"
#include "trust/token.h"
#include "wire/node.h"

/* Bit 0 is everybody's who only says "look again": the store and the runtime. */
enum { NEWS = 1, NEWS_ISOLATE = 2, NEWS_SIGNAL = 4, NEWS_TIME = 8, NEWS_DOWN = 16 };

struct daemon {
    const struct daemon_config *config;
    struct isolate *iso;
    struct loop *loop;
    struct http_shared *shared;
    struct task task;
    struct timer again, down;
    struct fd_watch iso_watch;
    struct signals signals;
    struct store *store;
    struct cluster cluster;
    struct runtime *rt;
    struct kubelet *kubelet;
    struct token_key *token_key;
    struct token_keys *token_keys;
    struct api api, sd_api;
    struct api_server *server, *sd_server;
    struct exec_server *exec;
    struct watch_dir *files;
    struct host_ports *host_ports;
    struct arena arena; /* of the whole life */
    uint32_t api_id, exec_id, sd_id;
    uint16_t sd_port;
    uint64_t started, reconciled; /* reconciled: store version that the controllers have seen */
    struct buf problems;          /* what was told last, for `weft status` */
    bool manifests_good;
};

/* ---- Callbacks of others: they note and wake. */

static void store_changed(void *arg)
{
    struct daemon *d = arg;
    task_wake(&d->task, NEWS);
}

static void tell(struct daemon *d, const struct diags *diags)
{
    enum { MOST = 64 * 1024 };
    struct buf text = {0};
    diags_print(diags, &text, isatty(2) && !getenv("NO_COLOR"));
    struct view v = buf_read(&text);
    (void)!write(2, v.p, v.n);
    if (buf_len(&d->problems) > MOST)
        buf_clear(&d->problems);
    buf_view(&d->problems, v);
    buf_done(&text);
}

static void cluster_warn(void *arg, const struct diags *diags)
{
    tell(arg, diags);
}

static void file_applied(void *arg, struct view file, const struct diags *diags, size_t n_changed)
{
    struct daemon *d = arg;
    if (!list_empty(&diags->all))
        tell(d, diags);
    if (d->manifests_good && n_changed)
        log_info("%.*s applied: %zu objects changed", VIEW_ARGS(file), n_changed);
}

static int get_items(void *arg, enum runtime_source source, struct view ns, struct view name, struct arena *a,
                     struct runtime_item **ret_items, size_t *ret_n)
{
    struct daemon *d = arg;
    bool secret = source == RUNTIME_SECRET;
    const struct record *r = store_get(d->store, secret ? KIND_SECRET : KIND_CONFIG_MAP, ns, name);
    if (!r)
        return -ENOENT;
    const struct secret *s = OBJECT_AS(r->object, SECRET, secret);
    const struct config_map *cm = OBJECT_AS(r->object, CONFIG_MAP, config_map);
    const struct labels *lists[2] = {secret ? &s->data : &cm->data, secret ? NULL : &cm->binary_data};
    *ret_items = NULL;
    *ret_n = 0;
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        for (uint32_t j = 0; lists[i] && j < lists[i]->n; j++) {
            struct runtime_item *item = ARENA_PUSH(a, *ret_items, *ret_n);
            item->key = arena_view(a, lists[i]->list[j].key);
            item->value = arena_view(a, lists[i]->list[j].value);
        }
    return 0;
}

static int get_token(void *arg, const struct pod *pod, struct view audience, uint64_t expires_s, struct arena *a,
                     struct view *ret_token)
{
    struct daemon *d = arg;
    struct view account = pod->spec.service_account;
    const struct record *r = store_get(d->store, KIND_SERVICE_ACCOUNT, pod->o.meta.ns, account);
    if (!r)
        return -ENOENT;
    struct token t = {.issuer = VIEW(API_ISSUER),
                      .audience = audience.n ? audience : VIEW(API_ISSUER),
                      .ns = pod->o.meta.ns,
                      .sa = account,
                      .sa_uid = r->uid,
                      .pod = pod->o.meta.name,
                      .pod_uid = pod->o.meta.uid};
    t.issued = clock_wall();
    t.expires = t.issued + expires_s * NS_PER_S;
    struct buf jwt = {0};
    int err = token_sign(d->token_key, &t, &jwt);
    if (!err)
        *ret_token = arena_view(a, buf_read(&jwt));
    buf_done(&jwt);
    return err;
}

static void go_down(void *arg)
{
    struct daemon *d = arg;
    d->cluster.ending = true;
    timer_in(&d->down, 50 * NS_PER_MS); /* the answer leaves first */
}

/* ---- GET /weft/v1/sandbox. */

/* Why a pod is not ready: of the first container that waits or failed. */
static struct view pod_reason(const struct record *pod)
{
    static const char *const lists[] = {"status.initContainerStatuses", "status.containerStatuses"};
    for (size_t l = 0; l < COUNT_OF(lists); l++) {
        const struct node *list = node_at(pod->tree, lists[l]);
        for (uint32_t i = 0; node_is(list, NODE_SEQ) && i < list->n; i++) {
            struct view waiting = node_text_at(list->items[i], "state.waiting.reason");
            struct view message = node_text_at(list->items[i], "state.waiting.message");
            if (waiting.n && !view_is(waiting, "PodInitializing"))
                return message.n ? message : waiting;
        }
    }
    return VIEW("not ready");
}

/* "waiting": what has to happen until the sandbox is ready, in words; empty: it is. */
static void json_waiting(struct daemon *d, struct arena *a, struct buf *json)
{
    static const enum mesh_kind kinds[] = {KIND_DEPLOYMENT, KIND_STATEFUL_SET};
    size_t n, told = 0;
    buf_str(json, "\"waiting\":[");
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        struct record **all = store_list(d->store, kinds[k], VIEW_NONE, a, &n);
        for (size_t i = 0; i < n; i++) {
            int64_t wanted = 1, available = 0;
            const struct node *w = node_at(all[i]->tree, "spec.replicas"),
                              *h = node_at(all[i]->tree, "status.availableReplicas");
            if ((w && node_i64(w, &wanted)) || (h && node_i64(h, &available)) || available >= wanted)
                continue;
            struct view kind = mesh_kinds[kinds[k]].kind;
            buf_printf(json, "%s\"%.*s %.*s/%.*s: %lld of %lld pods\"", told++ ? "," : "", VIEW_ARGS(kind),
                       VIEW_ARGS(all[i]->ns), VIEW_ARGS(all[i]->name), (long long)available, (long long)wanted);
        }
    }
    struct record **pods = store_list(d->store, KIND_POD, VIEW_NONE, a, &n);
    for (size_t i = 0; i < n; i++) {
        const struct pod *pod = record_pod(pods[i]);
        if (pod_is_ready(pod) || view_is(pod->phase, "Succeeded") || view_is(pod->phase, "Failed"))
            continue;
        struct view text = arena_printf(a, "pod %.*s/%.*s: %.*s", VIEW_ARGS(pods[i]->ns), VIEW_ARGS(pods[i]->name),
                                        VIEW_ARGS(pod_reason(pods[i])));
        buf_str(json, told++ ? "," : "");
        buf_json_str(json, text);
    }
    buf_str(json, "],");
}

static void count_pods(struct daemon *d, struct arena *a, struct buf *json)
{
    size_t n, ready = 0, injected = 0, finished = 0;
    bool control = false;
    struct record **pods = store_list(d->store, KIND_POD, VIEW_NONE, a, &n);
    for (size_t i = 0; i < n; i++) {
        const struct pod *pod = record_pod(pods[i]);
        ready += pod_is_ready(pod);
        control = control || (pod_is_ready(pod) && labels_is(&pods[i]->object->meta.labels, "istio", "pilot"));
        finished += view_is(pod->phase, "Succeeded") || view_is(pod->phase, "Failed");
        injected += labels_has(&pods[i]->object->meta.annotations, VIEW("sidecar.istio.io/status"));
    }
    buf_printf(json, "\"controlReady\":%s,", control ? "true" : "false");
    json_waiting(d, a, json);
    buf_printf(json, "\"pods\":{\"total\":%zu,\"ready\":%zu,\"finished\":%zu,\"injected\":%zu}", n, ready, finished,
               injected);
}

static void describe(void *arg, struct buf *json)
{
    struct daemon *d = arg;
    struct arena a;
    arena_init(&a, 4096);
    buf_str(json, "{\"kind\":\"Sandbox\",\"name\":");
    buf_json_str(json, view_of(d->config->name));
    buf_printf(json, ",\"version\":\"%s\",\"seconds\":%.3f,\"serviceDiscovery\":\"http://127.0.0.1:%u/prometheus/sd\",",
               WEFT_VERSION, (double)(clock_mono() - d->started) / 1e9, d->sd_port);
    buf_printf(json, "\"settled\":%s,\"manifestsGood\":%s,\"trustDomain\":\"cluster.local\",",
               runtime_services_settled(d->rt) ? "true" : "false", d->manifests_good ? "true" : "false");
    count_pods(d, &a, json);
    buf_str(json, ",\"hostPorts\":");
    host_ports_print(d->host_ports, json);
    buf_str(json, ",\"problems\":");
    buf_json_str(json, buf_read(&d->problems));
    buf_char(json, '}');
    arena_done(&a);
}

/* ---- The task. */

static void take_connections(struct daemon *d)
{
    uint32_t id;
    int fd, err;
    while ((err = isolate_next(d->iso, &id, &fd)) == 0) {
        if (id == d->exec_id)
            exec_server_adopt(d->exec, fd);
        else if (id == d->api_id || id == d->sd_id)
            (void)!api_server_adopt(id == d->sd_id ? d->sd_server : d->server, fd);
        else if (!runtime_host_port_accepted(d->rt, id, fd))
            close(fd);
    }
    if (err == -EPIPE)
        loop_stop(d->loop);
}

static void daemon_task(struct task *t, uint32_t events)
{
    struct daemon *d = CONTAINER_OF(t, struct daemon, task);
    if ((events & NEWS_SIGNAL) && signals_take(&d->signals))
        go_down(d);
    if (events & NEWS_DOWN) {
        loop_stop(d->loop);
        return;
    }
    if (events & NEWS_ISOLATE)
        take_connections(d);
    kubelet_collect(d->kubelet);
    uint64_t before = d->reconciled;
    d->reconciled = store_version(d->store);
    if (d->reconciled == before && !(events & NEWS_TIME))
        return;
    cluster_run(&d->cluster);
    kubelet_sync(d->kubelet);
    host_ports_sync(d->host_ports);
    api_server_poke(d->server);
    uint64_t now = clock_wall();
    if (d->cluster.again != UINT64_MAX)
        timer_in(&d->again, d->cluster.again > now ? d->cluster.again - now : 1);
}

/* ---- Start and end. */

static int open_sd(struct daemon *d)
{
    enum { TRIES = 50 };
    int err = -EADDRINUSE;
    for (uint16_t i = 0; i < TRIES && err == -EADDRINUSE; i++) {
        d->sd_port = (uint16_t)(DAEMON_SD_PORT + i);
        err = isolate_listen_tcp(d->iso, d->sd_port, &d->sd_id);
    }
    char text[64];
    snprintf(text, sizeof(text), "127.0.0.1:%u", d->sd_port);
    return err ? err : api_server_listen(d->sd_server, view_of(text));
}

static int open_sockets(struct daemon *d)
{
    char name[128];
    snprintf(name, sizeof(name), DAEMON_SOCKET, d->config->name);
    int err = isolate_listen_unix(d->iso, name, &d->api_id);
    if (err)
        return err;
    snprintf(name, sizeof(name), DAEMON_EXEC_SOCKET, d->config->name);
    err = isolate_listen_unix(d->iso, name, &d->exec_id);
    if (!err && mkdir(DAEMON_KUBE_DIR, 0755) && errno != EEXIST)
        err = -errno;
    if (!err)
        err = api_server_listen(d->server, VIEW("unix:" DAEMON_KUBE_DIR "/api.sock"));
    if (!err)
        err = open_sd(d);
    return err ? err : fd_watch_open(&d->iso_watch, d->loop, isolate_fd(d->iso), FD_IN);
}

static int make_keys(struct daemon *d)
{
    struct buf jwks = {0};
    const char *why;
    int err = token_key_new(&d->token_key);
    if (!err) {
        token_key_jwks(d->token_key, &jwks);
        err = token_keys_from_jwks(buf_read(&jwks), &d->token_keys, &why);
    }
    buf_done(&jwks);
    return err;
}

static int make_runtime(struct daemon *d)
{
    struct runtime_config config = {.isolate = d->iso,
                                    .pod_cidr = 0x0af40000,     /* 10.244.0.0/16 */
                                    .service_cidr = 0x0a600000, /* 10.96.0.0/16 */
                                    .dns_ip = 0x0a60000a,
                                    .images_yaml = d->config->images,
                                    .images_file = d->config->images_file,
                                    .changed = &d->task,
                                    .arg = d,
                                    .items = get_items,
                                    .token = get_token};
    d->cluster.service_cidr = config.service_cidr;
    d->cluster.dns_ip = config.dns_ip;
    return runtime_new(d->loop, &config, &d->rt);
}

static void make_parts(struct daemon *d)
{
    d->shared = http_shared_new(d->loop);
    d->kubelet = kubelet_new(&d->cluster, d->rt);
    d->host_ports = host_ports_new(d->store, d->rt);
    d->api = (struct api){.cluster = &d->cluster,
                          .runtime = d->rt,
                          .token_key = d->token_key,
                          .token_keys = d->token_keys,
                          .loop = d->loop,
                          .shared = d->shared,
                          .arg = d,
                          .describe = describe,
                          .down = go_down};
    d->sd_api = (struct api){.cluster = &d->cluster, .loop = d->loop, .shared = d->shared, .discovery_only = true};
    d->server = api_server_new(&d->api);
    d->sd_server = api_server_new(&d->sd_api);
    d->exec = exec_server_new(d->loop, &d->cluster, d->rt);
    d->files = watch_dir_new(d->loop, &d->cluster, d->config->paths, d->config->n_paths, file_applied, d);
}

/* Namespaces, control plane, then what the user gave. */
static int fill(struct daemon *d)
{
    int err = cluster_bootstrap(&d->cluster);
    struct diags diags;
    diags_init(&diags, &d->arena);
    if (!err)
        err = istiod_install(&d->cluster, d->config->certificate_ttl, &d->arena, &diags);
    if (diags.n_errors)
        tell(d, &diags);
    if (err)
        return err;
    cluster_run(&d->cluster);
    d->manifests_good = watch_dir_scan(d->files);
    return 0;
}

static void daemon_done(struct daemon *d)
{
    watch_dir_free(d->files);
    exec_server_free(d->exec);
    api_server_free(d->server);
    api_server_free(d->sd_server);
    host_ports_free(d->host_ports);
    if (d->kubelet)
        runtime_free(d->rt);
    kubelet_free(d->kubelet);
    http_shared_free(d->shared);
    signals_done(&d->signals);
    fd_watch_done(&d->iso_watch);
    timer_done(&d->again);
    timer_done(&d->down);
    task_done(&d->task);
    cluster_done(&d->cluster);
    store_free(d->store);
    token_key_free(d->token_key);
    token_keys_unref(d->token_keys);
    buf_done(&d->problems);
    arena_done(&d->arena);
    loop_free(d->loop);
}

static int start(struct daemon *d)
{
    int err = signals_open(&d->signals, d->loop, (int[]){SIGTERM, SIGINT, SIGHUP, 0}, &d->task, NEWS_SIGNAL);
    err = err ? err : make_keys(d);
    err = err ? err : make_runtime(d);
    if (err)
        return err;
    make_parts(d);
    err = open_sockets(d);
    return err ? err : fill(d);
}

static int daemon_main(struct isolate *iso, void *arg)
{
    struct daemon *d = mem_alloc(sizeof(*d));
    d->config = arg;
    d->iso = iso;
    d->started = clock_mono();
    d->signals.fd = -1;
    arena_init(&d->arena, 0);
    d->loop = loop_new(&(struct loop_options){.name = "daemon", .forks = true});
    task_init(&d->task, d->loop, daemon_task, "daemon");
    timer_init(&d->again, &d->task, NEWS_TIME);
    timer_init(&d->down, &d->task, NEWS_DOWN);
    fd_watch_init(&d->iso_watch, &d->task, NEWS_ISOLATE);
    isolate_own(iso, &d->task, NEWS_ISOLATE);
    d->store = store_new(store_changed, d);
    cluster_init(&d->cluster, d->store);
    d->cluster.warn = cluster_warn;
    d->cluster.arg = d;
    int err = start(d);
    if (err)
        log_error("the sandbox could not be started: %s", strerror(-err));
    else
        loop_run(d->loop);
    daemon_done(d);
    mem_free(d);
    return err ? 1 : 0;
}

int daemon_run(const struct daemon_config *config)
{
    struct isolate_config c = {.main = daemon_main, .arg = (void *)(uintptr_t)config, .name = config->name};
    return isolate_run(&c);
}
