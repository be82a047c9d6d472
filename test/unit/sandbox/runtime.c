// SPDX-License-Identifier: Apache-2.0
/* The pod runtime against the real kernel: pods of shell and Python one-liners in namespaces of their own. Needs root;
 * without it the whole program is skipped (exit 77). Everything happens inside isolate_run's namespaces.
 */
#include "runtime_world.h"

/* ---- Tests */

static void a_pod_has_its_environment_files_and_log(void **state)
{
    world->settings = VIEW("blue");
    const struct pod *p = start(POD(
        "one",
        "  restartPolicy: Never\n"
        "  serviceAccountName: clerk\n"
        "  containers:\n"
        "  - name: main\n"
        "    image: test/sh\n"
        "    workingDir: /srv/made\n"
        "    args: ['pwd; echo \"$COLOR $ALL_size $NAME $IP $APP $CPU $NOPE\"; hostname; cat /etc/resolv.conf "
        "/etc/hosts;"
        " cat /cfg/color /cfg/sub/k /token/t /var/run/secrets/kubernetes.io/serviceaccount/token; echo;"
        " (echo x > /proc/sys/kernel/hostname || mknod /tmp/disk b 8 0 && head -c1 /tmp/disk) 2>&1; echo x > /tmp/x && "
        "echo y > /data/y && cat /meta/labels; echo err >&2; echo /run/weft/*; echo z > /etc/zz; ls -ld "
        "/cfg/color']\n"
        "    env:\n"
        "    - {name: COLOR, valueFrom: {configMapKeyRef: {name: settings, key: color}}}\n"
        "    - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}\n"
        "    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}\n"
        "    - {name: APP, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app']\"}}}\n"
        "    - {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}\n"
        "    - {name: NOPE, value: \"$(NAME)-$(WHO)\"}\n"
        "    envFrom:\n"
        "    - {prefix: ALL_, configMapRef: {name: settings}}\n"
        "    resources: {limits: {cpu: 100m}}\n"
        "    volumeMounts:\n"
        "    - {name: cfg, mountPath: /cfg}\n"
        "    - {name: token, mountPath: /token}\n"
        "    - {name: data, mountPath: /data}\n"
        "    - {name: meta, mountPath: /meta}\n"
        "  volumes:\n"
        "  - {name: data, emptyDir: {}}\n"
        "  - name: cfg\n"
        "    projected:\n"
        "      sources:\n"
        "      - {configMap: {name: settings}}\n"
        "      - {secret: {name: key, items: [{key: password, path: sub/k}]}}\n"
        "  - name: token\n"
        "    projected: {sources: [{serviceAccountToken: {audience: istio-ca, expirationSeconds: 43200, path: t}}]}\n"
        "  - name: meta\n"
        "    downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}\n"));
    until(is_over, p);
    const char *text = log_text(p, "main", false);
    char expected[200];
    assert_int_equal(status_of(p)->phase, PHASE_SUCCEEDED);
    snprintf(expected, sizeof(expected), "/srv/made\nblue 7 one %s one 100 one-$(WHO)\none\n", status_of(p)->ip_text);
    assert_has(text, expected);
    assert_has(
        text,
        "nameserver 10.96.0.10\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n");
    assert_has(text, "bluehunter2token-");
    assert_has(text, "-istio-ca-clerk");
    assert_has(text, "app=\"one\"\n");
    assert_has(text, "err\n");
    assert_has(text, "/proc/sys/kernel/hostname: Read-only file system");
    assert_has(text, "'/tmp/disk' for reading: Permission denied");
    assert_has(text, "/cfg/color -> ..data/color");
    assert_has(text, "\n/run/weft/programs\n"); /* and nothing of the sandbox itself */
    assert_int_not_equal(access("/tmp/x", F_OK) == 0 && access("/etc/zz", F_OK) == 0, 1);
    assert_int_not_equal(access("/etc/zz", F_OK), 0); /* written above the machine's files, not into them */
    stop(p, 0);
}

static void the_security_context_decides_user_and_rights(void **state)
{
    const struct pod *p = start(
        POD("rights",
            "  restartPolicy: Never\n"
            "  securityContext: {fsGroup: 77}\n"
            "  containers:\n"
            "  - {name: root, image: test/sh, args: ['id -u; grep -E \"^(CapEff|NoNewPrivs)\" /proc/self/status']}\n"
            "  - name: proxy\n"
            "    image: test/sh\n"
            "    args: ['id -u; id -G; grep -E \"^(CapEff|CapBnd|NoNewPrivs)\" /proc/self/status; touch /x; touch /d/x "
            "&& ls -ln /d']\n"
            "    volumeMounts: [{name: d, mountPath: /d}]\n"
            "    securityContext: {runAsUser: 1337, runAsGroup: 1338, allowPrivilegeEscalation: false,"
            " readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}\n"
            "  - name: init\n"
            "    image: test/sh\n"
            "    args: ['grep CapEff /proc/self/status']\n"
            "    securityContext: {capabilities: {drop: [ALL], add: [NET_ADMIN, NET_RAW]}}\n"
            "  - {name: image-user, image: 'test/python:1', args: ['import os; print(os.getuid(), "
            "os.environ[\"FROM_IMAGE\"])']}\n"
            "  volumes: [{name: d, emptyDir: {}}]\n"));
    until(is_over, p);
    assert_has(log_text(p, "root", false), "0\nCapEff:\t00000000a80425fb\nNoNewPrivs:\t0\n");
    assert_has(log_text(p, "proxy", false), "1337\n1338 77\n");
    assert_has(log_text(p, "proxy", false), "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n");
    assert_has(log_text(p, "proxy", false), "Read-only file system");
    assert_has(log_text(p, "proxy", false), "1337 77 0");
    assert_has(log_text(p, "init", false), "CapEff:\t0000000000003000\n");
    assert_string_equal(log_text(p, "image-user", false), "1000 1\n");
    stop(p, 0);
}

static void init_containers_and_sidecars_come_and_go_in_order(void **state)
{
    const struct pod *p = start(POD(
        "order",
        "  restartPolicy: Never\n"
        "  initContainers:\n"
        "  - {name: first, image: test/sh, args: ['echo first >> /d/log'], volumeMounts: [{name: d, mountPath: /d}]}\n"
        "  - name: side\n"
        "    image: test/sh\n"
        "    restartPolicy: Always\n"
        "    args: ['trap \"echo side-term >> /d/log; cat /d/log; exit 0\" TERM; sleep 0.2; echo side >> /d/log; touch "
        "/d/up; while :; do sleep 0.02; done']\n"
        "    startupProbe: {exec: {command: [test, -e, /d/up]}, periodSeconds: 1}\n"
        "    volumeMounts: [{name: d, mountPath: /d}]\n"
        "  - {name: last, image: test/sh, args: ['echo last >> /d/log'], volumeMounts: [{name: d, mountPath: /d}]}\n"
        "  containers:\n"
        "  - {name: main, image: test/sh, args: ['echo main >> /d/log; sleep 0.2; echo end >> /d/log'], volumeMounts: "
        "[{name: d, mountPath: /d}]}\n"
        "  volumes: [{name: d, emptyDir: {}}]\n"));
    until(is_over, p);
    assert_int_equal(status_of(p)->phase, PHASE_SUCCEEDED);
    assert_string_equal(log_text(p, "side", false), "first\nside\nlast\nmain\nend\nside-term\n");
    stop(p, 0);
}

static bool restarted_twice(const struct pod *p)
{
    return status_of(p)->containers[0].restarts >= 2;
}

static void a_failing_container_is_restarted_with_back_off(void **state)
{
    const struct pod *p =
        start(POD("crash", "  containers: [{name: main, image: test/sh, args: ['echo run; exit 3']}]\n"));
    until(restarted_twice, p);
    assert_int_equal(status_of(p)->phase, PHASE_RUNNING);
    assert_int_equal(status_of(p)->containers[0].last_exit_code, 3);
    assert_string_equal(log_text(p, "main", false), "run\n");
    stop(p, 0);
}

static bool explained(const struct pod *p)
{
    const struct runtime_container_status *c = &status_of(p)->containers[0];
    return c->state == CONTAINER_WAITING && c->message.n > 0;
}

static void what_cannot_start_says_why(void **state)
{
    static const struct {
        const char *yaml, *reason, *message;
    } cases[] = {
        {POD("no-image", "  containers: [{name: main, image: nobody/knows:1}]\n"), "ErrImagePull", "nobody/knows:1"},
        {POD("no-program", "  containers: [{name: main, image: busybox, command: [/no/such/thing]}]\n"),
         "RunContainerError", "/no/such/thing"},
        {POD("no-key", "  containers: [{name: main, image: test/sh, args: [x], env: [{name: A, valueFrom: "
                       "{secretKeyRef: {name: key, key: nope}}}]}]\n"),
         "CreateContainerConfigError", "nope"},
        {POD("root",
             "  containers: [{name: main, image: test/sh, args: [x], securityContext: {runAsNonRoot: true}}]\n"),
         "CreateContainerConfigError", "runAsNonRoot"},
        {POD("no-volume", "  containers: [{name: main, image: test/sh, args: [x]}]\n  volumes: [{name: v, configMap: "
                          "{name: missing}}]\n"),
         "ContainerCreating", "missing"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct pod *p = start(cases[i].yaml);
        until(explained, p);
        const struct runtime_container_status *c = &status_of(p)->containers[0];
        assert_string_equal(arena_str(&world->arena, c->reason), cases[i].reason);
        assert_has(arena_str(&world->arena, c->message), cases[i].message);
        stop(p, 0);
    }
    struct pod *bad = ARENA_NEW(&world->arena, struct pod);
    struct view why;
    bad->o.meta.uid = VIEW("bad");
    bad->spec.host_network = true;
    assert_int_equal(runtime_pod_start(world->rt, bad, &world->arena, &why), -EINVAL);
    assert_has(arena_str(&world->arena, why), "hostNetwork");
}

static bool mentions_red(const struct pod *p)
{
    return strstr(log_text(p, "main", false), "red") != NULL;
}

static bool mentions_green(const struct pod *p)
{
    return strstr(log_text(p, "main", false), "green") != NULL;
}

static void a_config_map_reaches_its_files_when_it_appears_and_changes(void **state)
{
    world->settings = VIEW_NONE;
    const struct pod *p =
        start(POD("follow", "  containers: [{name: main, image: test/sh, args: ['while :; do cat /c/color; echo; sleep "
                            "0.02; done'], volumeMounts: [{name: c, mountPath: /c}]}]\n"
                            "  volumes: [{name: c, configMap: {name: settings}}]\n"));
    until(explained, p);
    world->settings = VIEW("green");
    runtime_items_changed(world->rt, RUNTIME_CONFIG_MAP, VIEW("default"), VIEW("settings"));
    until(mentions_green, p);
    world->settings = VIEW("red");
    runtime_items_changed(world->rt, RUNTIME_CONFIG_MAP, VIEW("default"), VIEW("settings"));
    until(mentions_red, p);
    stop(p, 0);
}

static bool not_ready(const struct pod *p)
{
    return !is_ready(p);
}

static void readiness_follows_its_probe_and_liveness_restarts(void **state)
{
    const char *text;
    const struct pod *p = start_server(
        "probed", "    readinessProbe: {httpGet: {path: /ready, port: web}, periodSeconds: 1, failureThreshold: 1}\n"
                  "    livenessProbe: {exec: {command: [sh, -c, 'test ! -e /tmp/sick']}, periodSeconds: 1, "
                  "failureThreshold: 1}\n");
    assert_false(until_by(is_ready, p, 500));
    assert_int_equal(run_in(p, "touch /tmp/ready; echo done", &text), 0);
    assert_string_equal(text, "done\n");
    until(is_ready, p);
    assert_int_equal(run_in(p, "rm /tmp/ready", &text), 0);
    until(not_ready, p);
    assert_int_equal(run_in(p, "touch /tmp/sick; exit 7", &text), 7);
    uint64_t end = clock_mono() + 6 * NS_PER_S;
    while (status_of(p)->containers[0].restarts == 0 && clock_mono() < end) {
        loop_turn(world->loop, true);
        drained();
    }
    assert_int_equal(status_of(p)->containers[0].restarts, 1);
    stop(p, 0);
}

static void probes_speak_https_and_grpc(void **state)
{
    /* a certificate made on the spot; a health service answered by hand: SETTINGS, then headers, message and trailers */
    static const char https[] = "import http.server,ssl,subprocess\n"
                                "subprocess.run('openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
                                "-keyout /tmp/k -out /tmp/c -subj /CN=x'.split(), check=True, capture_output=True)\n"
                                "s = http.server.HTTPServer(('', 443), http.server.SimpleHTTPRequestHandler)\n"
                                "c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain('/tmp/c', '/tmp/k')\n"
                                "s.socket = c.wrap_socket(s.socket, server_side=True); s.serve_forever()\n";
    static const char grpc[] =
        "import socketserver\n"
        "class H(socketserver.BaseRequestHandler):\n"
        "  def handle(s):\n"
        "    f = lambda t, fl, i, b: len(b).to_bytes(3, 'big') + bytes([t, fl]) + i.to_bytes(4, 'big') + b\n"
        "    l = lambda k, v: bytes([0, len(k)]) + k + bytes([len(v)]) + v\n"
        "    s.request.sendall(f(4, 0, 0, b''))\n"
        "    d = b''\n"
        "    while b'grpc.health' not in d and b'/Check' not in d and len(d) < 60: d += s.request.recv(4096)\n"
        "    s.request.sendall(f(4, 1, 0, b'') + f(1, 4, 1, bytes([0x88]) + l(b'content-type', b'application/grpc'))\n"
        "      + f(0, 0, 1, bytes([0, 0, 0, 0, 2, 8, STATUS])) + f(1, 5, 1, l(b'grpc-status', b'0')))\n"
        "    s.request.recv(4096)\n"
        "socketserver.ThreadingTCPServer(('', 50051), H).serve_forever()\n";
    static const struct {
        const char *name, *script, *probe;
        char status;
        bool ready;
    } cases[] = {
        {"secure", https, "{httpGet: {path: /, port: 443, scheme: HTTPS}, periodSeconds: 1}", 0, true},
        {"serving", grpc, "{grpc: {port: 50051, service: a.B}, periodSeconds: 1}", '1', true},
        {"not-serving", grpc, "{grpc: {port: 50051}, periodSeconds: 1}", '2', false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf yaml = {0};
        char *script = arena_str(&world->arena, view_of(cases[i].script)), *at = strstr(script, "STATUS");
        if (at)
            memcpy(at, (char[]){cases[i].status, ' ', ' ', ' ', ' ', ' '}, 6);
        buf_printf(&yaml, POD("%s", "  containers:\n  - name: main\n    image: 'test/python:3'\n    args: ["),
                   cases[i].name, cases[i].name);
        buf_json_str(&yaml, view_of(script));
        buf_printf(&yaml, "]\n    readinessProbe: %s\n", cases[i].probe);
        print_message("  %s\n", cases[i].name);
        const struct pod *p = start(arena_str(&world->arena, buf_read(&yaml)));
        buf_done(&yaml);
        if (!until_by(is_ready, p, cases[i].ready ? 20000 : 1500) && cases[i].ready)
            print_error("%s\n", log_text(p, "main", false));
        assert_int_equal(is_ready(p), cases[i].ready);
        stop(p, 0);
    }
}

static void settle(void)
{
    uint64_t end = clock_mono() + 5 * NS_PER_S;
    while (!runtime_services_settled(world->rt) && clock_mono() < end)
        loop_turn(world->loop, true);
    assert_true(runtime_services_settled(world->rt));
}

static void services_are_reached_by_name_and_address(void **state)
{
    const char *probe = "    readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}\n";
    const struct pod *a = start_server("a", probe), *b = start_server("b", probe), *c = start_server("c", probe);
    const char *text;
    until(is_ready, a);
    until(is_ready, b);
    until(is_ready, c);
    uint32_t ip_a = status_of(a)->ip, ip_b = status_of(b)->ip, vip = 0x0a600100;
    struct runtime_service_port web = {.name = VIEW("http"), .proto = RUNTIME_TCP, .port = 8080},
                                none = {.name = VIEW("http"), .port = 81};
    web.targets = arena_alloc(&world->arena, 2 * sizeof(*web.targets));
    web.n_targets = 2;
    web.targets[0].ip = ip_a;
    web.targets[1].ip = ip_b;
    web.targets[0].port = web.targets[1].port = 80;
    struct runtime_endpoint ends[] = {{.ip = ip_a, .hostname = VIEW("a-0"), .ready = true},
                                      {.ip = ip_b, .ready = true}};
    struct runtime_service list[] = {
        {.ns = VIEW("default"),
         .name = VIEW("web"),
         .cluster_ip = vip,
         .ports = &web,
         .n_ports = 1,
         .endpoints = ends,
         .n_endpoints = 2},
        {.ns = VIEW("default"), .name = VIEW("empty"), .cluster_ip = vip + 1, .ports = &none, .n_ports = 1},
        {.ns = VIEW("other"), .name = VIEW("pods"), .ports = &web, .n_ports = 1, .endpoints = ends, .n_endpoints = 2},
        {.ns = VIEW("default"), .name = VIEW("alias"), .external_name = VIEW("pods.other.svc.cluster.local")},
    };
    struct runtime_services table = {list, COUNT_OF(list)};
    runtime_services_set(world->rt, &table);
    settle();
    /* both endpoints, through name, search path and ClusterIP */
    assert_int_equal(run_in(c, "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do curl -s web:8080; echo; done | sort -u", &text),
                     0);
    assert_string_equal(text, "a\nb\n");
    /* a pod that reaches itself */
    assert_int_equal(
        run_in(a,
               "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do curl -s -m 2 web.default:8080 || exit 1; echo; done | sort -u",
               &text),
        0);
    assert_string_equal(text, "a\nb\n");
    assert_int_equal(run_in(c, "curl -s a-0.pods.other:80", &text), 0);
    assert_string_equal(text, "a");
    assert_int_equal(run_in(c, "getent ahostsv4 alias | awk '{print $1}' | sort -u | wc -l", &text), 0);
    assert_string_equal(text, "2\n");
    assert_int_equal(run_in(c, "getent hosts nobody.default.svc.cluster.local", &text), 2);
    /* over TCP too: two questions on one connection, then half-closed */
    assert_int_equal(
        run_in(c,
               "python3 -c \"\n"
               "import socket,struct\n"
               "q = lambda i: struct.pack('>HHHHHH', i, 256, 1, 0, 0, 0) + "
               "b'\\3web\\7default\\3svc\\7cluster\\5local\\0\\0\\1\\0\\1'\n"
               "s = socket.create_connection(('10.96.0.10', 53)); m = q(1); n = q(2)\n"
               "s.sendall(struct.pack('>H', len(m)) + m + struct.pack('>H', len(n)) + n); s.shutdown(1)\n"
               "d = b''.join(iter(lambda: s.recv(4096), b''))\n"
               "print(d.count(bytes([10, 96, 1, 0])), d[2:4] + d[2 + struct.unpack('>H', d[:2])[0] + 2:][:2])\n"
               "\"",
               &text),
        0);
    assert_string_equal(text, "2 b'\\x00\\x01\\x00\\x02'\n");
    /* refused at once, not timed out: no endpoint, no such port, no such address */
    assert_int_equal(run_in(c, "for to in empty:81 web:9 10.96.200.200:80; do curl -s -m 3 $to; echo $?; done", &text),
                     0);
    assert_string_equal(text, "7\n7\n7\n");
    /* an endpoint goes away */
    web.n_targets = 1;
    runtime_services_set(world->rt, &table);
    settle();
    assert_int_equal(run_in(c, "for i in 1 2 3 4 5 6; do curl -s web:8080; echo; done | sort -u", &text), 0);
    assert_string_equal(text, "a\n");
    stop(a, 0);
    stop(b, 0);
    stop(c, 0);
}

static bool is_up(const struct pod *p)
{
    return strstr(log_text(p, "main", false), "up\n") != NULL;
}

static void a_stopping_pod_gets_its_hook_its_signal_and_its_time(void **state)
{
    const struct pod *p = start(POD(
        "ending", "  terminationGracePeriodSeconds: 5\n"
                  "  containers:\n"
                  "  - name: main\n"
                  "    image: test/sh\n"
                  "    args: ['trap \"echo term; sleep 0.1; echo bye; cp /dev/null /d/x; exit 0\" TERM; echo up; while "
                  ":; do sleep 0.02; done']\n"
                  "    lifecycle: {preStop: {exec: {command: [sh, -c, 'echo hook > /proc/1/fd/1; sleep 0.1']}}}\n"));
    until(is_up, p);
    uint64_t from = clock_mono(), end = from + 5 * NS_PER_S, at = 0;
    struct buf log = {0};
    assert_int_equal(runtime_pod_stop(world->rt, p->o.meta.uid, UINT64_MAX), 0);
    const struct runtime_pod_status *s = NULL;
    for (bool gone = false; !gone && clock_mono() < end;) {
        loop_turn(world->loop, true);
        while ((s = runtime_next(world->rt)))
            gone |= s->gone;
        if (status_of(p) && runtime_log_read(world->rt, p->o.meta.uid, VIEW("main"), false, &at, 4096, &log) < 0)
            fail();
    }
    assert_true(clock_mono() - from < 2 * NS_PER_S);
    assert_has(buf_cstr(&log), "up\nhook\nterm\n");
    buf_done(&log);
}

static void a_hook_after_start_holds_the_next_container_back(void **state)
{
    const struct pod *p = start(POD(
        "hold", "  containers:\n"
                "  - name: proxy\n"
                "    image: test/sh\n"
                "    args: ['while :; do sleep 0.05; done']\n"
                "    volumeMounts: [{name: d, mountPath: /d}]\n"
                "    lifecycle: {postStart: {exec: {command: [sh, -c, 'sleep 0.2; touch /d/ready']}}}\n"
                "  - {name: app, image: test/sh, args: ['ls /d; sleep 60'], volumeMounts: [{name: d, mountPath: /d}]}\n"
                "  volumes: [{name: d, emptyDir: {}}]\n"));
    until(is_ready, p);
    loop_turn(world->loop, true);
    uint64_t end = clock_mono() + 2 * NS_PER_S;
    while (!*log_text(p, "app", false) && clock_mono() < end)
        loop_turn(world->loop, true);
    assert_string_equal(log_text(p, "app", false), "ready\n");
    stop(p, 0);
}

static void logs_are_bounded_and_tail_by_lines(void **state)
{
    const struct pod *p = start(POD(
        "loud",
        "  restartPolicy: Never\n  containers: [{name: main, image: test/sh, args: ['seq 1 3; exec sleep 60']}]\n"));
    until(is_ready, p);
    uint64_t at = 0, end = clock_mono() + 2 * NS_PER_S;
    while (strlen(log_text(p, "main", false)) < 6 && clock_mono() < end)
        loop_turn(world->loop, true);
    struct buf out = {0};
    assert_int_equal(runtime_log_tail(world->rt, p->o.meta.uid, VIEW("main"), false, 2, &at), 0);
    assert_int_equal(runtime_log_read(world->rt, p->o.meta.uid, VIEW("main"), false, &at, 100, &out), 0);
    assert_string_equal(buf_cstr(&out), "2\n3\n");
    assert_int_equal(runtime_log_read(world->rt, p->o.meta.uid, VIEW("nobody"), false, &at, 100, &out), -ENOENT);
    buf_done(&out);
    stop(p, 0);
}

/* ---- The frame */

static int daemon_tests(struct isolate *iso, void *arg)
{
    struct world w;
    if (world_open(&w, iso) < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_has_its_environment_files_and_log),
        cmocka_unit_test(the_security_context_decides_user_and_rights),
        cmocka_unit_test(init_containers_and_sidecars_come_and_go_in_order),
        cmocka_unit_test(a_failing_container_is_restarted_with_back_off),
        cmocka_unit_test(what_cannot_start_says_why),
        cmocka_unit_test(a_config_map_reaches_its_files_when_it_appears_and_changes),
        cmocka_unit_test(readiness_follows_its_probe_and_liveness_restarts),
        cmocka_unit_test(probes_speak_https_and_grpc),
        cmocka_unit_test(services_are_reached_by_name_and_address),
        cmocka_unit_test(a_stopping_pod_gets_its_hook_its_signal_and_its_time),
        cmocka_unit_test(a_hook_after_start_holds_the_next_container_back),
        cmocka_unit_test(logs_are_bounded_and_tail_by_lines),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_close(&w);
    return failed ? 1 : 0;
}

int main(void)
{
    if (geteuid() != 0) {
        printf("skipped: the pod runtime needs root\n");
        return 77;
    }
    struct isolate_config c = {.main = daemon_tests, .name = "test"};
    int code = isolate_run(&c);
    if (code < 0) {
        printf("skipped: no namespaces here (%s)\n", strerror(-code));
        return 77;
    }
    return code;
}
