/* What the tests of ledger/ share: files of tests/vectors/ledger, temporary folders, a log key. */
#ifndef KV_TESTS_UNIT_LEDGER_TEST_H
#define KV_TESTS_UNIT_LEDGER_TEST_H

#include "tests/unit/kv_test.h"

#include "core/buf.h"
#include "core/err.h"
#include "core/hash.h"

#include <stdio.h>
#include <stdlib.h>

#define VECTOR(name) KV_VECTORS "/ledger/" name

/* The whole file, NUL-terminated; freed by the caller with kv_buf_clear. */
static inline struct kv_buf load(const char *path)
{
    struct kv_buf buf;
    kv_buf_init(&buf, 8 << 20);
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        fail_msg("cannot open %s", path);
    }
    char block[4096];
    size_t n;
    while ((n = fread(block, 1, sizeof block, f)) > 0) {
        kv_buf_add(&buf, block, n);
    }
    (void)fclose(f); /* read-only */
    return buf;
}

/* Cut the next line off *rest, without LF. */
static inline bool next_line(struct kv_bytes *rest, struct kv_bytes *line)
{
    const uint8_t *lf = rest->len == 0 ? NULL : memchr(rest->ptr, '\n', rest->len);
    if (rest->len == 0) {
        return false;
    }
    size_t len = lf == NULL ? rest->len : (size_t)(lf - rest->ptr);
    *line = kv_bytes(rest->ptr, len);
    size_t skip = lf == NULL ? len : len + 1;
    rest->ptr += skip;
    rest->len -= skip;
    return true;
}

#endif
