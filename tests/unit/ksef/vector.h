/* Reading tests/vectors/ksef. */
#ifndef KV_TESTS_UNIT_KSEF_VECTOR_H
#define KV_TESTS_UNIT_KSEF_VECTOR_H

#include "tests/unit/kv_test.h"

#include "core/buf.h"

#include <stdio.h>

static inline struct kv_buf vector_read(const char *name)
{
    char path[512];
    assert_true(snprintf(path, sizeof path, "%s/ksef/%s", KV_VECTORS, name) > 0);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    struct kv_buf buf;
    kv_buf_init(&buf, 65536);
    uint8_t part[4096];
    size_t n;
    while ((n = fread(part, 1, sizeof part, file)) > 0) {
        kv_buf_add(&buf, part, n);
    }
    assert_int_equal(fclose(file), 0);
    assert_false(buf.failed);
    return buf;
}

#endif
