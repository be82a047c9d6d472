// SPDX-License-Identifier: Apache-2.0
/* From a cloned process to a container (confine.h). Runs in the child: each step either works or ends the process with a
 * sentence on error_fd, which becomes the container's waiting message. Steps are in the order in which they must happen;
 * mount targets are made and resolved only after pivot_root, so no link in the image can lead a mount outside.
 */
#include "sandbox/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buf.h"
#include "sandbox/process.h"

#define HOST "/run/.host" /* where the old root hangs until it is left */

printf_like(2, 3) __attribute__((noreturn)) static void fail(const struct confinement *c, const char *fmt, ...)
{
    int err = errno;
    char text[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (n > 0 && n < (int)sizeof(text))
        snprintf(text + n, sizeof(text) - (size_t)n, ": %s", strerror(err));
    (void)!write(c->error_fd, text, strlen(text));
    _exit(128);
}

static void mount_or_fail(const struct confinement *c, const char *what, const char *where, const char *type,
                          unsigned long flags, const char *data)
{
    if (mount(what, where, type, flags, data) < 0)
        fail(c, "cannot mount %s", where);
}

/* mkdir -p; the last part becomes a folder or an empty file. */
static int make_path(const char *path, bool folder)
{
    char part[4096];
    struct stat st;
    if (stat(path, &st) == 0)
        return 0;
    size_t n = strlen(path);
    if (n >= sizeof(part))
        return -ENAMETOOLONG;
    memcpy(part, path, n + 1);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    if (folder)
        return mkdir(part, 0755) < 0 && errno != EEXIST ? -errno : 0;
    int fd = open(part, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

/* A bind that keeps what the mount already forbids and adds read-only when asked. */
static void bind_or_fail(const struct confinement *c, const char *source, const char *target, bool read_only)
{
    struct stat st;
    if (stat(source, &st) < 0)
        fail(c, "cannot mount %s: it is not there", target);
    if (make_path(target, S_ISDIR(st.st_mode)) < 0)
        fail(c, "cannot make %s", target);
    mount_or_fail(c, source, target, NULL, MS_BIND | MS_REC, NULL);
    if (read_only && mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NODEV | MS_NOSUID, NULL) < 0)
        fail(c, "cannot make %s read-only", target);
}

static void make_root(const struct confinement *c)
{
    char upper[512], work[512], root[512], options[1200], put_old[600];
    snprintf(upper, sizeof(upper), "%s/upper", c->dir);
    snprintf(work, sizeof(work), "%s/work", c->dir);
    snprintf(root, sizeof(root), "%s/root", c->dir);
    if (mkdir(upper, 0755) < 0 || mkdir(work, 0755) < 0 || mkdir(root, 0755) < 0)
        fail(c, "cannot make the container's folders");
    snprintf(options, sizeof(options), "lowerdir=/,upperdir=%s,workdir=%s", upper, work);
    mount_or_fail(c, "overlay", root, "overlay", MS_NODEV, options);
    if (chdir(root) < 0)
        fail(c, "cannot enter the container's root");
    mount_or_fail(c, "proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_or_fail(c, "sysfs", "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL);
    mount_or_fail(c, "tmpfs", "run", "tmpfs", MS_NODEV | MS_NOSUID, "mode=0755");
    mount_or_fail(c, "tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=0755");
    snprintf(put_old, sizeof(put_old), "%s", &HOST[1]);
    if (mkdir(put_old, 0700) < 0 || syscall(SYS_pivot_root, ".", put_old) < 0 || chdir("/") < 0)
        fail(c, "cannot change the root");
}

static void make_devices(const struct confinement *c)
{
    static const struct {
        const char *path;
        unsigned major, minor;
    } devices[] = {{"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
                   {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0}};
    static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
                                           {"/proc/self/fd/0", "/dev/stdin"},
                                           {"/proc/self/fd/1", "/dev/stdout"},
                                           {"/proc/self/fd/2", "/dev/stderr"},
                                           {"pts/ptmx", "/dev/ptmx"}};
    for (size_t i = 0; i < COUNT_OF(devices); i++) {
        char host[64];
        if (mknod(devices[i].path, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)) == 0) {
            (void)!chmod(devices[i].path, 0666);
            continue;
        }
        snprintf(host, sizeof(host), HOST "%s", devices[i].path); /* an engine that forbids mknod */
        bind_or_fail(c, host, devices[i].path, false);
    }
    for (size_t i = 0; i < COUNT_OF(links); i++)
        if (symlink(links[i][0], links[i][1]) < 0)
            fail(c, "cannot make %s", links[i][1]);
    if (mkdir("/dev/shm", 01777) < 0 || mkdir("/dev/pts", 0755) < 0)
        fail(c, "cannot make /dev");
    mount_or_fail(c, "shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777");
    mount_or_fail(c, "devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620");
}

/* The path may be a link to somewhere else in the image: it goes first. */
static void write_etc(const struct confinement *c, const char *path, const char *text)
{
    if (unlink(path) < 0 && errno != ENOENT)
        fail(c, "cannot replace %s", path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        fail(c, "cannot write %s", path);
    close(fd);
}

static bool below(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && path[n] == '/';
}

/* Another file system of the machine, as the root: an overlay of its own, or read-only where the kernel refuses that. */
static void show_file_system(const struct confinement *c, const char *where, size_t number)
{
    char host[4200], upper[600], work[600], options[6000];
    struct stat st;
    snprintf(host, sizeof(host), HOST "%s", where);
    if (stat(host, &st) < 0)
        return;
    snprintf(upper, sizeof(upper), HOST "%s/upper%zu", c->dir, number);
    snprintf(work, sizeof(work), HOST "%s/work%zu", c->dir, number);
    snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s", host, upper, work);
    if (S_ISDIR(st.st_mode) && mkdir(upper, 0755) == 0 && mkdir(work, 0755) == 0 &&
        chmod(upper, st.st_mode & 07777) == 0 && mount("overlay", where, "overlay", MS_NODEV | MS_NOSUID, options) == 0)
        return;
    if (mount(host, where, NULL, MS_BIND, NULL) == 0)
        (void)!mount(NULL, where, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NODEV | MS_NOSUID, NULL);
}

/* Root in a container is root of the machine to the kernel: what changes the machine is out of its reach. */
static void protect_machine(const struct confinement *c)
{
    static const char *const read_only[] = {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs",
                                            "/dev"};
    static const char *const hidden[] = {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug"};
    for (size_t i = 0; i < COUNT_OF(read_only); i++) {
        if (strcmp(read_only[i], "/dev") != 0 && mount(read_only[i], read_only[i], NULL, MS_BIND, NULL) < 0) {
            if (errno == ENOENT)
                continue;
            fail(c, "cannot protect %s", read_only[i]);
        }
        if (mount(NULL, read_only[i], NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, NULL) < 0)
            fail(c, "cannot protect %s", read_only[i]);
    }
    for (size_t i = 0; i < COUNT_OF(hidden); i++)
        if (mount("/dev/null", hidden[i], NULL, MS_BIND, NULL) < 0 && errno != ENOENT)
            fail(c, "cannot hide %s", hidden[i]);
}

static void make_mounts(const struct confinement *c)
{
    char host[4200];
    for (size_t i = 0; c->host_mounts && c->host_mounts[i]; i++)
        show_file_system(c, c->host_mounts[i], i);
    for (size_t i = 0; c->program_dirs && c->program_dirs[i]; i++) {
        char target[64]; /* a path of their own: a checkout below /root is closed to every user but root */
        snprintf(host, sizeof(host), HOST "%s", c->program_dirs[i]);
        snprintf(target, sizeof(target), CONFINE_PROGRAMS, i);
        bind_or_fail(c, host, target, true);
    }
    write_etc(c, "/etc/resolv.conf", c->resolv_conf);
    write_etc(c, "/etc/hosts", c->hosts);
    write_etc(c, "/etc/hostname", c->hostname);
    for (size_t i = 0; i < c->n_binds; i++) {
        snprintf(host, sizeof(host), HOST "%s", c->binds[i].source);
        bind_or_fail(c, host, c->binds[i].target, c->binds[i].read_only);
    }
}

static void leave_host(const struct confinement *c)
{
    static const char *const read_only[] = {"/run", "/"};
    if (umount2(HOST, MNT_DETACH) < 0 || rmdir(HOST) < 0)
        fail(c, "cannot leave the machine's root");
    for (size_t i = 0; c->read_only_root && i < COUNT_OF(read_only); i++)
        if (mount(NULL, read_only[i], NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
            fail(c, "cannot make %s read-only", read_only[i]);
}

/* ---- The process half */

static void drop_bounding(const struct confinement *c, uint64_t keep)
{
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (!(keep & (UINT64_C(1) << cap)) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
            fail(c, "cannot drop capability %d", cap);
}

static uint64_t capabilities_permitted(const struct confinement *c)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    if (syscall(SYS_capget, &head, data) < 0)
        fail(c, "cannot read capabilities");
    return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

static void capabilities_set(const struct confinement *c, uint64_t caps)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    data[0].effective = data[0].permitted = (uint32_t)caps;
    data[1].effective = data[1].permitted = (uint32_t)(caps >> 32);
    if (syscall(SYS_capset, &head, data) < 0)
        fail(c, "cannot set capabilities");
}

static void become_user(const struct confinement *c)
{
    uint64_t caps = c->capabilities & capabilities_permitted(c); /* no more than the sandbox itself has */
    drop_bounding(c, caps);
    /* System calls, not the libc's functions: those wait until every thread changed too, and this process, made without
     * the libc, has none of the threads that the libc remembers of its parent. */
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || syscall(SYS_setgroups, c->n_groups, c->groups) < 0 ||
        syscall(SYS_setresgid, c->gid, c->gid, c->gid) < 0 || syscall(SYS_setresuid, c->uid, c->uid, c->uid) < 0)
        fail(c, "cannot become user %u, group %u", c->uid, c->gid);
    capabilities_set(c, c->uid == 0 ? caps : 0); /* as container engines: none of it for other users after exec */
    if (c->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        fail(c, "cannot set no_new_privs");
}

static void take_stdio(const struct confinement *c)
{
    int fds[3];
    for (int i = 0; i < 3; i++) { /* first out of the way of 0..2 */
        int from = c->stdio[i] >= 0 ? c->stdio[i] : open("/dev/null", O_RDWR | O_CLOEXEC);
        fds[i] = fcntl(from, F_DUPFD_CLOEXEC, 64);
        if (fds[i] < 0)
            fail(c, "cannot open standard descriptors");
    }
    for (int i = 0; i < 3; i++)
        if (dup2(fds[i], i) < 0)
            fail(c, "cannot set standard descriptors");
}

/* Tries argv[0] in a folder; returns only when it is not there. */
static void try_in(const struct confinement *c, const char *folder, size_t n, bool *denied)
{
    char path[4096];
    int len = snprintf(path, sizeof(path), "%.*s/%s", (int)n, folder, c->argv[0]);
    if (len < 0 || len >= (int)sizeof(path))
        return;
    execve(path, c->argv, c->envp);
    if (errno == EACCES)
        *denied = true;
    else if (errno != ENOENT && errno != ENOTDIR)
        fail(c, "cannot run %s", path);
}

__attribute__((noreturn)) static void run_program(const struct confinement *c)
{
    const char *path = "";
    bool denied = false;
    if (strchr(c->argv[0], '/')) {
        execve(c->argv[0], c->argv, c->envp);
        fail(c, "cannot run %s", c->argv[0]);
    }
    for (size_t i = 0; c->program_dirs && c->program_dirs[i]; i++) {
        char folder[64];
        int n = snprintf(folder, sizeof(folder), CONFINE_PROGRAMS, i);
        try_in(c, folder, (size_t)n, &denied);
    }
    for (char *const *e = c->envp; *e; e++)
        if (strncmp(*e, "PATH=", 5) == 0)
            path = *e + 5;
    for (const char *at = path; *at;) {
        size_t n = strcspn(at, ":");
        if (n)
            try_in(c, at, n, &denied);
        at += n + (at[n] == ':');
    }
    errno = denied ? EACCES : ENOENT;
    fail(c, "cannot run %s (looked in the folders of PATH)", c->argv[0]);
}

__attribute__((noreturn)) static void start_program(const struct confinement *c)
{
    if (c->cwd && *c->cwd && chdir(c->cwd) < 0 && (make_path(c->cwd, true) < 0 || chdir(c->cwd) < 0))
        fail(c, "cannot enter the working folder %s", c->cwd);
    take_stdio(c);
    become_user(c);
    process_clean(3);
    setsid();
    run_program(c);
}

void confine_exec(const struct confinement *c)
{
    umask(0);
    if (setns(c->netns, CLONE_NEWNET) < 0)
        fail(c, "cannot enter the pod's network");
    (void)!sethostname(c->hostname, strlen(c->hostname));
    make_root(c);
    make_devices(c);
    make_mounts(c);
    leave_host(c);
    if (!c->privileged)
        protect_machine(c);
    umask(022);
    start_program(c);
}

void confine_join_exec(const struct confinement *c, int container)
{
    if (setns(container, CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC) < 0)
        fail(c, "cannot enter the container");
    umask(022);
    start_program(c);
}

/* ---- In the daemon */

const char *const *confine_host_mounts(struct arena *a)
{
    static const char *const own[] = {"/proc", "/sys", "/dev", "/run"};
    const char **list = NULL;
    size_t n = 0;
    char *line = NULL;
    size_t cap = 0;
    FILE *f = fopen("/proc/self/mountinfo", "re");
    while (f && getline(&line, &cap, f) > 0) {
        char *save, *field = strtok_r(line, " ", &save);
        for (int i = 0; field && i < 4; i++)
            field = strtok_r(NULL, " ", &save);
        if (!field || strcmp(field, "/") == 0 || strchr(field, '\\'))
            continue;
        bool skip = false;
        for (size_t i = 0; i < COUNT_OF(own); i++)
            skip |= strcmp(field, own[i]) == 0 || below(field, own[i]);
        if (!skip)
            *ARENA_PUSH(a, list, n) = arena_str(a, view_of(field));
    }
    free(line);
    if (f)
        fclose(f);
    *ARENA_PUSH(a, list, n) = NULL;
    return list;
}

static const char *const capability_names[] = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};

static int capability_mask(struct view name, uint64_t *ret_mask)
{
    if (view_istarts(name, VIEW("CAP_")))
        name = view_from(name, 4);
    if (view_ieq(name, VIEW("ALL"))) {
        *ret_mask = UINT64_MAX;
        return 0;
    }
    for (size_t i = 0; i < COUNT_OF(capability_names); i++)
        if (view_ieq(name, view_of(capability_names[i]))) {
            *ret_mask = UINT64_C(1) << i;
            return 0;
        }
    return -EINVAL;
}

int confine_capabilities(const struct capabilities *caps, bool privileged, struct arena *a, uint64_t *ret_caps,
                         struct view *ret_why)
{
#define CAP(name) (UINT64_C(1) << CAP_##name)
    uint64_t set = CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(FSETID) | CAP(FOWNER) | CAP(MKNOD) | CAP(NET_RAW) |
                   CAP(SETGID) | CAP(SETUID) | CAP(SETFCAP) | CAP(SETPCAP) | CAP(NET_BIND_SERVICE) | CAP(SYS_CHROOT) |
                   CAP(KILL) | CAP(AUDIT_WRITE);
#undef CAP
    const struct {
        const struct strings *list;
        bool add;
    } lists[] = {{&caps->drop, false}, {&caps->add, true}};
    bool drop_all = false, add_all = false;
    for (size_t l = 0; l < COUNT_OF(lists); l++)
        for (uint32_t i = 0; i < lists[l].list->n; i++) {
            uint64_t mask;
            if (capability_mask(lists[l].list->list[i], &mask) < 0) {
                *ret_why = arena_printf(a, "there is no capability `%.*s`", VIEW_ARGS(lists[l].list->list[i]));
                return -EINVAL;
            }
            if (mask == UINT64_MAX)
                *(lists[l].add ? &add_all : &drop_all) = true;
        }
    set = privileged || add_all ? UINT64_MAX : drop_all ? 0 : set;
    for (size_t l = 0; l < COUNT_OF(lists); l++)
        for (uint32_t i = 0; i < lists[l].list->n; i++) {
            uint64_t mask = 0;
            if (capability_mask(lists[l].list->list[i], &mask) == 0 && mask != UINT64_MAX)
                set = lists[l].add ? set | mask : set & ~mask;
        }
    *ret_caps = privileged ? UINT64_MAX : set;
    return 0;
}
