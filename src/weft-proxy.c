// SPDX-License-Identifier: Apache-2.0
/* weft-proxy: the data plane of a pod or a gateway, with the arguments, the environment, the ports and the metrics of
 * Istio's proxy. One thread for certificates, configuration and admin pages, and one for each worker.
 *
 *   weft-proxy proxy sidecar --domain default.svc.cluster.local --concurrency 2
 *   weft-proxy --bench-route 18080:9080            a plain HTTP proxy, for benchmarks and tests
 *   weft-proxy request POST drain, weft-proxy wait    hooks of the pod's lifecycle (proxy/call.h)
 *   weft-proxy istio-iptables -p 15001 …           hands over to weft-node, so that one image does for the init container
 *
 * SIGTERM drains for terminationDrainDuration (5 s) and ends; a second one ends at once.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "net/loop.h"
#include "net/signals.h"
#include "net/tls_memory.h"
#include "proxy/call.h"
#include "proxy/options.h"
#include "proxy/proxy.h"

enum { MAIN_SIGNAL = 1 };

struct program {
    struct task task;
    struct signals signals;
    struct loop *loop;
    struct proxy *proxy;
    bool draining, quit;
};

static void program_run(struct task *t, uint32_t events)
{
    struct program *m = CONTAINER_OF(t, struct program, task);
    int sig;
    (void)events;
    while ((sig = signals_take(&m->signals))) {
        if (sig == SIGHUP)
            continue;
        if (!m->draining && sig == SIGTERM && !m->quit) {
            m->draining = true;
            proxy_drain(m->proxy);
        } else {
            m->quit = true;
            loop_stop(m->loop);
        }
    }
}

static void *worker_thread(void *loop)
{
    loop_run(loop);
    return NULL;
}

/* Few threads, little memory: one heap for all of them, and it is given back when it shrinks. */
static void tune_heap(void)
{
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_TRIM_THRESHOLD, 64 * 1024);
    mallopt(M_MMAP_THRESHOLD, 256 * 1024);
}

static int serve(struct proxy_options *o)
{
    struct program m = {0};
    struct loop *loops[256];
    pthread_t threads[256];
    uint32_t n = o->concurrency < COUNT_OF(loops) ? o->concurrency : COUNT_OF(loops);
    m.loop = loop_new(&(struct loop_options){.name = "control"});
    if (!m.loop)
        return 1;
    task_init(&m.task, m.loop, program_run, "main");
    if (signals_open(&m.signals, m.loop, (int[]){SIGTERM, SIGINT, SIGHUP, 0}, &m.task, MAIN_SIGNAL) < 0)
        return 1;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 512 * 1024);
    for (uint32_t i = 0; i < n; i++)
        loops[i] = loop_new(&(struct loop_options){.name = "worker"});
    m.proxy = proxy_new(o, m.loop, loops, n);
    for (uint32_t i = 0; i < n; i++)
        must(pthread_create(&threads[i], &attr, worker_thread, loops[i]) == 0);
    pthread_attr_destroy(&attr);
    loop_run(m.loop); /* until a signal, /quitquitquit, or the end of draining */
    proxy_stop(m.proxy);
    while (!proxy_stopped(m.proxy))
        loop_turn(m.loop, true);
    for (uint32_t i = 0; i < n; i++) {
        loop_stop(loops[i]);
        pthread_join(threads[i], NULL);
    }
    proxy_free(m.proxy);
    for (uint32_t i = 0; i < n; i++)
        loop_free(loops[i]);
    signals_done(&m.signals);
    task_done(&m.task);
    loop_free(m.loop);
    return 0;
}

/* The image's entrypoint is weft-proxy, and an init container brings only arguments, as with Istio's image. */
static int hand_over(char **argv)
{
    argv[0] = (char[]){"weft-node"};
    execvp(argv[0], argv);
    fprintf(stderr, "weft-proxy: cannot run weft-node, which sets up traffic capture: %s\n", strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    struct proxy_options options;
    struct view why;
    if (argc > 1 && (strcmp(argv[1], "iptables") == 0 || strcmp(argv[1], "istio-iptables") == 0))
        return hand_over(argv);
    tls_memory_init(); /* false: OpenSSL uses malloc, and all works the same */
    tune_heap();
    signal(SIGPIPE, SIG_IGN);
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("weft-proxy %s\n", WEFT_VERSION);
        return 0;
    }
    if (argc > 1 && call_is_verb(argv[1]))
        return call_main(argc, argv);
    if (options_read(&options, argc, argv, environ, &why) < 0) {
        fprintf(stderr, "weft-proxy: %.*s\n", VIEW_ARGS(why));
        options_done(&options);
        return 2;
    }
    log_set(options.log_level, options.log_json);
    int r = serve(&options);
    options_done(&options);
    return r;
}
