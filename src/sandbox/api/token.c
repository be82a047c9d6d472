// SPDX-License-Identifier: Apache-2.0
/* TokenRequest (serviceaccounts/<name>/token) and TokenReview: how the control plane learns who a proxy is. */
#include "base/clock.h"
#include "sandbox/api/api.h"
#include "trust/token.h"
#include "wire/node.h"

enum { HOUR_S = 3600, DAY_S = 86400, LEAST_S = 600 };

static void write_token(struct api_response *resp, struct view jwt, uint64_t expires)
{
    resp->status = 201;
    buf_str(&resp->body,
            "{\"kind\":\"TokenRequest\",\"apiVersion\":\"authentication.k8s.io/v1\",\"status\":{\"token\":");
    buf_json_str(&resp->body, jwt);
    buf_str(&resp->body, ",\"expirationTimestamp\":\"");
    clock_print_time(&resp->body, expires);
    buf_str(&resp->body, "\"}}");
}

void api_token_request(struct api *api, const struct api_target *t, const struct api_request *req,
                       struct api_response *resp)
{
    struct node *body;
    const struct record *account = store_get(api->cluster->store, t->kind, t->ns, t->name);
    if (t->kind != KIND_SERVICE_ACCOUNT || !account || !api->token_key) {
        api_fail(resp, 404, "NotFound", "serviceaccounts \"%.*s\" not found", VIEW_ARGS(t->name));
        return;
    }
    if (node_parse(t->a, req->body, &body, NULL)) {
        api_fail(resp, 400, "BadRequest", "the body is not a TokenRequest");
        return;
    }
    int64_t lifetime = HOUR_S;
    const struct node *wanted = node_at(body, "spec.expirationSeconds");
    if (wanted && node_i64(wanted, &lifetime))
        lifetime = HOUR_S;
    lifetime = lifetime < LEAST_S ? LEAST_S : lifetime > DAY_S ? DAY_S : lifetime;
    struct token token = {.issuer = VIEW(API_ISSUER), .ns = account->ns, .sa = account->name, .sa_uid = account->uid};
    token.audience = node_text_at(body, "spec.audiences.0");
    if (!token.audience.n)
        token.audience = VIEW(API_ISSUER);
    token.issued = clock_wall();
    token.expires = token.issued + (uint64_t)lifetime * NS_PER_S;
    struct buf jwt = {0};
    if (token_sign(api->token_key, &token, &jwt))
        api_fail(resp, 500, "InternalError", "the token could not be signed");
    else
        write_token(resp, buf_read(&jwt), token.expires);
    buf_done(&jwt);
}

/* Why the token's bearer is nobody: NULL when it is somebody. */
static const char *bearer(struct api *api, struct arena *a, const struct node *body, struct token *ret,
                          struct view *ret_audience)
{
    const char *why = "the sandbox signs no tokens";
    struct view jwt = node_text_at(body, "spec.token");
    const struct node *audiences = node_at(body, "spec.audiences");
    uint32_t n = node_is(audiences, NODE_SEQ) ? audiences->n : 0;
    int err = -1;
    for (uint32_t i = 0; api->token_keys && err && i < (n ? n : 1); i++) {
        *ret_audience = n ? node_text(audiences->items[i]) : VIEW(API_ISSUER);
        struct token_rules rules = {.audience = *ret_audience, .issuer = VIEW(API_ISSUER), .wall_ns = clock_wall()};
        err = token_verify(api->token_keys, jwt, &rules, a, ret, &why);
    }
    if (err)
        return why;
    const struct record *account = store_get(api->cluster->store, KIND_SERVICE_ACCOUNT, ret->ns, ret->sa);
    if (!account || (ret->sa_uid.n && !view_eq(account->uid, ret->sa_uid)))
        return "the service account is gone";
    const struct record *pod = ret->pod.n ? store_get(api->cluster->store, KIND_POD, ret->ns, ret->pod) : NULL;
    if (ret->pod.n && (!pod || !view_eq(pod->uid, ret->pod_uid)))
        return "the pod is gone";
    return NULL;
}

void api_token_review(struct api *api, const struct api_request *req, struct api_response *resp)
{
    struct arena a;
    arena_init(&a, 0);
    struct node *body;
    struct token who;
    struct view audience = VIEW_NONE;
    if (node_parse(&a, req->body, &body, NULL) || !node_is(body, NODE_MAP)) {
        api_fail(resp, 400, "BadRequest", "the body is not a TokenReview");
        arena_done(&a);
        return;
    }
    const char *why = bearer(api, &a, body, &who, &audience);
    resp->status = 201;
    buf_str(&resp->body,
            "{\"kind\":\"TokenReview\",\"apiVersion\":\"authentication.k8s.io/v1\",\"metadata\":{},\"status\":{");
    if (why) {
        buf_printf(&resp->body, "\"authenticated\":false,\"error\":\"%s\"}}", why);
    } else {
        buf_printf(&resp->body, "\"authenticated\":true,\"audiences\":[");
        buf_json_str(&resp->body, audience);
        buf_printf(&resp->body,
                   "],\"user\":{\"username\":\"system:serviceaccount:%.*s:%.*s\",\"uid\":\"%.*s\",\"groups\":["
                   "\"system:serviceaccounts\",\"system:serviceaccounts:%.*s\",\"system:authenticated\"],\"extra\":{",
                   VIEW_ARGS(who.ns), VIEW_ARGS(who.sa), VIEW_ARGS(who.sa_uid), VIEW_ARGS(who.ns));
        if (who.pod.n)
            buf_printf(&resp->body,
                       "\"authentication.kubernetes.io/pod-name\":[\"%.*s\"],\"authentication.kubernetes.io/"
                       "pod-uid\":[\"%.*s\"]",
                       VIEW_ARGS(who.pod), VIEW_ARGS(who.pod_uid));
        buf_str(&resp->body, "}}}}");
    }
    arena_done(&a);
}
