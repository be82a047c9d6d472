// SPDX-License-Identifier: Apache-2.0
/* `weft exec`: a command in a running container with the caller's own descriptors (runtime.h). */
#include <errno.h>

#include "sandbox/container.h"
#include "sandbox/pod.h"
#include "sandbox/runtime_impl.h"

enum { BIT_EXIT = 1 };

struct runtime_exec {
    struct task task;
    struct task *done;
    struct process process;
    bool ended;
};

static void exec_run(struct task *t, uint32_t events)
{
    struct runtime_exec *e = CONTAINER_OF(t, struct runtime_exec, task);
    if (e->ended || !process_ended(&e->process))
        return;
    e->ended = true;
    if (e->done)
        task_wake(e->done, 1);
}

int runtime_exec_start(struct runtime *rt, const struct runtime_exec_config *config, struct runtime_exec **ret_exec)
{
    struct pod_run *p = runtime_pod(rt, config->uid);
    struct container_run *c = NULL;
    for (size_t i = 0; p && i < p->n_containers; i++)
        if (view_eq(p->containers[i].spec->name, config->container))
            c = &p->containers[i];
    if (!c)
        return -ENOENT;
    if (!config->argv || !config->argv[0])
        return -EINVAL;
    struct runtime_exec *e = mem_alloc(sizeof(*e));
    e->done = config->done;
    task_init(&e->task, rt->loop, exec_run, "exec");
    process_init(&e->process, &e->task, BIT_EXIT);
    int err = container_exec_stdio(c, (char *const *)(uintptr_t)config->argv, config->stdio, &e->process);
    if (err) {
        runtime_exec_free(e);
        return err;
    }
    *ret_exec = e;
    return 0;
}

bool runtime_exec_ended(const struct runtime_exec *e, int *ret_exit_code)
{
    if (e->ended)
        *ret_exit_code = e->process.exit_code;
    return e->ended;
}

void runtime_exec_signal(struct runtime_exec *e, int sig)
{
    process_signal(&e->process, sig);
}

struct runtime_exec *runtime_exec_free(struct runtime_exec *e)
{
    if (!e)
        return NULL;
    process_done(&e->process);
    task_done(&e->task);
    mem_free(e);
    return NULL;
}
