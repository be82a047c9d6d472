// SPDX-License-Identifier: Apache-2.0
/* The only C++ in weft: RE2 behind the C interface of regex.h. */
#include <re2/re2.h>

#include <cerrno>
#include <new>
#include <string>

extern "C" {
#include "base/arena.h"
#include "base/limits.h"
#include "base/regex.h"
}

namespace
{
enum Form { ENGINE, LITERAL, PREFIX, SUFFIX, ANYTHING };

bool plain(re2::StringPiece s)
{
    for (char c : s)
        if (strchr("\\.+*?()|[]{}^$", c))
            return false;
    return true;
}
} // namespace

struct regex {
    Form form;
    struct view pattern, fixed; /* fixed: the literal part of the simple forms */
    RE2 *engine;
};

static void free_engine(void *p)
{
    delete static_cast<RE2 *>(p);
}

extern "C" int regex_new(struct arena *a, struct view pattern, struct regex **ret_regex, struct view *ret_error)
{
    if (pattern.n > LIMIT_REGEX_PATTERN_BYTES) {
        *ret_error = arena_printf(a, "longer than %d bytes", LIMIT_REGEX_PATTERN_BYTES);
        return -EINVAL;
    }
    re2::StringPiece text(pattern.p, pattern.n);
    RE2::Options options;
    options.set_log_errors(false);
    options.set_never_capture(false);
    options.set_max_mem(LIMIT_REGEX_MEMORY_BYTES);
    RE2 *engine = new RE2(text, options);
    if (!engine->ok()) {
        *ret_error = arena_view(a, view_make(engine->error().data(), engine->error().size()));
        delete engine;
        return -EINVAL;
    }
    struct regex *r = static_cast<struct regex *>(arena_alloc(a, sizeof(struct regex)));
    r->pattern = arena_view(a, pattern);
    r->engine = engine;
    arena_cleanup(a, free_engine, engine);
    bool starts = pattern.n >= 2 && text.starts_with(".*"), ends = pattern.n >= 2 && text.ends_with(".*");
    if (pattern.n == 2 && starts) {
        r->form = ANYTHING;
    } else if (plain(text)) {
        r->form = LITERAL;
        r->fixed = r->pattern;
    } else if (ends && plain(text.substr(0, text.size() - 2))) {
        r->form = PREFIX;
        r->fixed = view_head(r->pattern, pattern.n - 2);
    } else if (starts && plain(text.substr(2))) {
        r->form = SUFFIX;
        r->fixed = view_from(r->pattern, 2);
    }
    *ret_regex = r;
    return 0;
}

extern "C" bool regex_match(const struct regex *r, struct view text)
{
    /* In RE2 a dot does not match a newline; header values and paths cannot hold one. */
    switch (r->form) {
    case LITERAL:
        return view_eq(text, r->fixed);
    case PREFIX:
        return view_starts(text, r->fixed);
    case SUFFIX:
        return view_ends(text, r->fixed);
    case ANYTHING:
        return true;
    case ENGINE:
        break;
    }
    return RE2::FullMatch(re2::StringPiece(text.p, text.n), *r->engine);
}

extern "C" struct view regex_pattern(const struct regex *r)
{
    return r->pattern;
}

extern "C" struct view regex_replace(const struct regex *r, struct arena *a, struct view text, struct view with)
{
    std::string result(text.p ? text.p : "", text.n);
    RE2::Replace(&result, *r->engine, re2::StringPiece(with.p, with.n));
    return arena_view(a, view_make(result.data(), result.size()));
}
