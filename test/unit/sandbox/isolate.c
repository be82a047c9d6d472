// SPDX-License-Identifier: Apache-2.0
/* SIGKILL leaves nothing: a sandbox with a running pod and a host port is killed, once by its supervisor and once by its
 * daemon, and neither process nor namespace, link, rule, mount, socket or file stays. Needs root, else skipped (77).
 */
#include "runtime_world.h"

/* A sandbox with a running pod that says so on a pipe and then waits to be killed. */
static int daemon_to_kill(struct isolate *iso, void *arg)
{
    struct world w;
    int out = *(int *)arg;
    if (world_open(&w, iso) < 0 || runtime_host_port_set(w.rt, 18099, 0x0af40002, 80) < 0)
        return 1;
    const struct pod *p = start_server("kept", "");
    until(is_ready, p);
    if (write(out, "x", 1) != 1)
        return 1;
    for (;;) {
        uint32_t id;
        int fd;
        while (isolate_next(iso, &id, &fd) == 0)
            if (!runtime_host_port_accepted(w.rt, id, fd))
                close(fd);
        loop_turn(w.loop, true);
    }
}

static char *shell(struct arena *a, const char *command)
{
    struct buf out = {0};
    FILE *f = popen(command, "r");
    size_t room, n;
    do {
        char *to = buf_room(&out, 4096, &room);
        n = fread(to, 1, room, f);
        buf_added(&out, n);
    } while (n > 0);
    pclose(f);
    char *text = arena_str(a, buf_read(&out));
    buf_done(&out);
    return text;
}

/* What a sandbox would leave on the machine if it left something. (Not everything that the machine has: others work there
 * while a test runs.) */
#define MACHINE                                                                                                        \
    "ip -o link | cut -d: -f2 | grep '^ veth[0-9]'; nft list ruleset 2>/dev/null | grep weft; ls /run/weft "           \
    "2>/dev/null; "                                                                                                    \
    "grep -E 'weft|upperdir' /proc/mounts; ss -ltnH sport = :18099; iptables-save 2>/dev/null | grep ISTIO; "          \
    "sysctl -n net.ipv4.ip_forward"

/* Processes below a supervisor, and the namespaces that they have and we do not: `pid ns ns …` a line. */
#define TREE                                                                                                           \
    "tree() { for p in $(pgrep -P $1); do echo $p $(for t in net mnt pid uts ipc; do readlink /proc/$p/ns/$t | grep "  \
    "-v "                                                                                                              \
    "\"$(readlink /proc/self/ns/$t)\"; done); tree $p; done; }; tree %d"

/* Of those lines: what is still there. */
#define REST                                                                                                           \
    "printf '%%s' '%s' | tr ' ' '\\n' | while read -r w; do case $w in '') ;; "                                        \
    "*:*) ls -l /proc/[0-9]*/ns 2>/dev/null | grep -oF \"$w\" | head -1;; *) test -e /proc/$w && echo process $w;; "   \
    "esac; done"

static void kill_leaves_nothing(void **state)
{
    struct arena a;
    int ready[2];
    char byte;
    arena_init(&a, 0);
    for (int whom = 0; whom < 2; whom++) { /* the supervisor, then the daemon */
        char *before = shell(&a, MACHINE);
        assert_int_equal(pipe(ready), 0);
        pid_t supervisor = fork();
        if (supervisor == 0) {
            close(ready[0]);
            struct isolate_config c = {.main = daemon_to_kill, .arg = &ready[1], .name = "to-kill"};
            _exit(isolate_run(&c) == 137 ? 0 : 1);
        }
        close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        char *tree = shell(&a, arena_str(&a, arena_printf(&a, TREE, (int)supervisor)));
        assert_has(tree, "net:[");
        assert_has(tree, "mnt:[");
        assert_has(tree, "pid:[");
        char *rest = arena_str(&a, arena_printf(&a, REST, tree));
        char *now = shell(&a, rest); /* the comparison can fail */
        assert_has(now, "process");
        assert_has(now, "net:[");
        assert_string_equal(shell(&a, "curl -s -m 5 127.0.0.1:18099"), "kept"); /* the host port leads to the pod */
        assert_has(shell(&a, "ss -ltnH sport = :18099"), "127.0.0.1:18099");
        pid_t victim = whom ? (pid_t)atoi(tree) : supervisor;
        assert_true(victim > 1);
        assert_int_equal(kill(victim, SIGKILL), 0);
        int code;
        assert_int_equal(waitpid(supervisor, &code, 0), supervisor);
        close(ready[0]);
        char *left = NULL;
        for (int i = 0; i < 100 && (!left || *left); i++) { /* the kernel takes its time */
            usleep(20 * 1000);
            left = shell(&a, rest);
        }
        assert_string_equal(left, "");
        assert_string_equal(shell(&a, MACHINE), before);
    }
    arena_done(&a);
}

static int daemon_nothing(struct isolate *iso, void *arg)
{
    return 0;
}

int main(void)
{
    struct isolate_config c = {.main = daemon_nothing, .name = "test"};
    int code = geteuid() == 0 ? isolate_run(&c) : -EPERM;
    if (code < 0) {
        printf("skipped: namespaces need root (%s)\n", strerror(-code));
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(kill_leaves_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL) || code;
}
