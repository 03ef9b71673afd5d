/* The approval vectors (tests/vectors/approvals) for the tests of policy/. */
#ifndef KV_TESTS_UNIT_POLICY_VECTOR_H
#define KV_TESTS_UNIT_POLICY_VECTOR_H

#include "core/bytes.h"
#include "tests/unit/kv_test.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define VECTORS KV_VECTORS "/approvals/"

/* A whole file; the bytes are malloc'd. Stops the test when there is none. */
static inline struct kv_bytes vector_read(const char *name)
{
    char path[512];
    int n = snprintf(path, sizeof path, VECTORS "%s", name);
    assert(n > 0 && (size_t)n < sizeof path);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fail_msg("%s is missing", path);
    }
    /* static: a sanitizer maps and unmaps each large block, and these tests read thousands */
    static uint8_t data[1 << 20];
    size_t len = fread(data, 1, sizeof data, file);
    assert_int_equal(fclose(file), 0);
    /* Exactly as long as it is, so that a sanitizer sees one byte too many. */
    uint8_t *exact = malloc(len == 0 ? 1 : len);
    assert_non_null(exact);
    if (len > 0) {
        memcpy(exact, data, len);
    }
    return kv_bytes(exact, len);
}

static inline void vector_free(struct kv_bytes bytes)
{
    union {
        const uint8_t *in;
        uint8_t *out;
    } cast = {bytes.ptr}; /* the views are const, the memory is ours */
    free(cast.out);
}

static inline json_t *vector_index(void)
{
    json_t *index = json_load_file(VECTORS "index.json", JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(index);
    return index;
}

static inline const char *vector_str(const json_t *row, const char *key)
{
    const char *value = json_string_value(json_object_get(row, key));
    assert_non_null(value);
    return value;
}

/* The good texts without their signatures, each once. */
static const char *const vector_good[] = {
    "good/found/request.txt",
    "good/found.test/request.txt",
    "good/person.enrol/request.txt",
    "good/person.change/request.txt",
    "good/key.enrol/request.txt",
    "good/credential.create/request.txt",
    "good/credential.import/request.txt",
    "good/integration.register/request.txt",
    "good/integration.change/request.txt",
    "good/grant/request.txt",
    "good/grant.by-integration/request.txt",
    "good/policy/request.txt",
    "good/resume/request.txt",
    "good/emergency/request.txt",
    "good/review/request.txt",
    "good/grant/finance-fin-01.txt",
    "good/grant/custodian-cus-02.deny.txt",
    "good/found/custodian-cus-01.txt",
    "good/acts/withdraw.txt",
    "good/acts/suspend.txt",
    "good/acts/revoke.txt",
    "good/acts/retire.txt",
    "good/acts/compromised.txt",
    "good/acts/leave.txt",
};

#endif
