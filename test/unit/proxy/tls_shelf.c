// SPDX-License-Identifier: Apache-2.0
/* Contexts on the shelf when secrets and files change: what can be used is taken, what cannot replaces nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "net/loop.h"
#include "proxy/tls_shelf.h"
#include "trust/ca.h"

#define WALL (UINT64_C(1767225600) * NS_PER_S)

struct world {
    struct loop *loop;
    struct tls_shelf shelf;
    struct ca *ca;
    struct plan *plan;
    struct tls_server want;
    struct name_ref identity;
    struct buf chain, key;
};

static void issue(struct world *w)
{
    const char *why;
    struct view name = VIEW("a.test");
    buf_clear(&w->chain);
    buf_clear(&w->key);
    assert_int_equal(ca_issue(w->ca, &(struct ca_grant){.uris = &name, .n_uris = 1}, WALL, &w->chain, &w->key, &why),
                     0);
}

static void world_open(struct world *w, struct view identity)
{
    const char *why;
    *w = (struct world){.loop = loop_new(&(struct loop_options){.name = "test"})};
    assert_non_null(w->loop);
    tls_shelf_init(&w->shelf, w->loop);
    assert_int_equal(ca_new(&(struct ca_options){.trust_domain = VIEW("cluster.local")}, WALL, &w->ca, &why), 0);
    w->identity = name_ref(identity);
    w->want.common = (struct tls_common){.identities = &w->identity, .n_identities = 1};
    issue(w);
    log_set(LOG_ERROR, false); /* what is refused is warned of */
}

static void world_close(struct world *w)
{
    log_set(LOG_INFO, false);
    tls_shelf_done(&w->shelf);
    plan_unref(w->plan);
    ca_unref(w->ca);
    buf_done(&w->chain);
    buf_done(&w->key);
    loop_free(w->loop);
}

/* A new plan with this secret; none without a chain. */
static void set_secret(struct world *w, struct view chain, struct view key)
{
    struct plan *next = plan_new();
    if (chain.n) {
        struct tls_secret *secret = tls_secret_new(w->identity.name, chain, key, VIEW_NONE);
        plan_put(next, &secret->res);
        resource_unref(secret);
    }
    tls_shelf_plan(&w->shelf, w->plan, next);
    plan_unref(w->plan);
    w->plan = next;
}

static struct tls_context *take(struct world *w, int expected)
{
    struct tls_context *context = NULL;
    const char *why;
    assert_int_equal(tls_shelf_server(&w->shelf, w->plan, &w->want, &context, &why), expected);
    return context;
}

static void a_secret_that_changes_gives_a_new_context(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, VIEW("kubernetes://a"));
    set_secret(&w, VIEW_NONE, VIEW_NONE);
    take(&w, -ENOENT);
    set_secret(&w, buf_read(&w.chain), buf_read(&w.key));
    struct tls_context *first = take(&w, 0);
    assert_ptr_equal(take(&w, 0), first);
    issue(&w);
    set_secret(&w, buf_read(&w.chain), buf_read(&w.key));
    assert_ptr_not_equal(take(&w, 0), first);
    world_close(&w);
}

static void a_secret_that_cannot_be_used_leaves_the_last_good_context(void **state)
{
    struct world w;
    struct buf old_key = {0};
    (void)state;
    world_open(&w, VIEW("kubernetes://a"));
    set_secret(&w, buf_read(&w.chain), buf_read(&w.key));
    struct tls_context *good = take(&w, 0);
    set_secret(&w, VIEW("no certificate"), VIEW("no key"));
    assert_ptr_equal(take(&w, 0), good);
    buf_view(&old_key, buf_read(&w.key));
    issue(&w);
    set_secret(&w, buf_read(&w.chain), buf_read(&old_key)); /* does not belong to it */
    assert_ptr_equal(take(&w, 0), good);
    set_secret(&w, buf_read(&w.chain), buf_read(&w.key));
    assert_ptr_not_equal(take(&w, 0), good);
    buf_done(&old_key);
    world_close(&w);
}

static void a_secret_that_is_gone_takes_its_context_with_it(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, VIEW("kubernetes://a"));
    set_secret(&w, buf_read(&w.chain), buf_read(&w.key));
    take(&w, 0);
    set_secret(&w, VIEW_NONE, VIEW_NONE);
    take(&w, -ENOENT);
    world_close(&w);
}

static void clients_that_need_a_certificate_of_nobody_are_not_let_in(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, VIEW("kubernetes://a"));
    set_secret(&w, buf_read(&w.chain), buf_read(&w.key));
    w.want.require_client_cert = true;
    take(&w, -EINVAL);
    world_close(&w);
}

static void write_file(const char *path, struct view content)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(content.p, 1, content.n, f), content.n);
    assert_int_equal(fclose(f), 0);
}

static void a_file_that_changes_is_read_again_a_second_later(void **state)
{
    struct world w;
    char folder[] = "/tmp/weft-shelf-XXXXXX", chain[64], key[64], name[160];
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(chain, sizeof(chain), "%s/c", folder);
    snprintf(key, sizeof(key), "%s/k", folder);
    snprintf(name, sizeof(name), "file-cert:%s~%s", chain, key);
    world_open(&w, view_of(name));
    w.plan = plan_new();
    write_file(chain, buf_read(&w.chain));
    write_file(key, buf_read(&w.key));
    struct tls_context *first = take(&w, 0);
    write_file(chain, VIEW("half of it"));
    usleep(1100000);
    loop_turn(w.loop, false);
    assert_ptr_equal(take(&w, 0), first); /* not usable: what was there stays */
    issue(&w);
    write_file(chain, buf_read(&w.chain));
    write_file(key, buf_read(&w.key));
    usleep(1100000);
    loop_turn(w.loop, false);
    assert_ptr_not_equal(take(&w, 0), first);
    unlink(chain);
    unlink(key);
    rmdir(folder);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_that_changes_gives_a_new_context),
        cmocka_unit_test(a_secret_that_cannot_be_used_leaves_the_last_good_context),
        cmocka_unit_test(a_secret_that_is_gone_takes_its_context_with_it),
        cmocka_unit_test(clients_that_need_a_certificate_of_nobody_are_not_let_in),
        cmocka_unit_test(a_file_that_changes_is_read_again_a_second_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
