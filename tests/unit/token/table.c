#include "tests/unit/token/table.h"

#include <assert.h>
#include <stdio.h>

#include "core/time.h"
#include "tests/unit/token/run.h"

static void put(FILE *out, bool *first, const char *text)
{
    (void)fprintf(out, "%s%s", *first ? "" : ", ", text);
    *first = false;
}

void table_row(char **out)
{
    size_t len = 0;
    FILE *row = open_memstream(out, &len);
    bool first = true;
    assert(row != NULL);
    (void)fprintf(row, "| %s | ", world->title);
    for (int m = 0; m < KV_TOKEN_MECHANISM_COUNT; m++) {
        if (world->signs[m]) {
            put(row, &first, mechanisms[m].name);
        }
    }
    (void)fprintf(row, " | %ssensitive, always sensitive, never extractable | ",
                  world->local_told ? "local, " : "");
    first = true;
    for (int r = 0; r < KV_TOKEN_RUNG_COUNT; r++) {
        if (world->rungs[r]) {
            put(row, &first, kv_token_rung_word((enum kv_token_rung)r));
        }
    }
    (void)fprintf(
        row, "%s | %s | %s | %s |\n", first ? "none" : "", kv_custody_word(world->custody),
        world->after_wrong_pin == KV_OK ? "opens" : kv_code_word(world->after_wrong_pin),
        world->after_destroying == KV_OK ? "made" : kv_code_word(world->after_destroying));
    int closed = fclose(row);
    assert(closed == 0);
}

#define MEASURED_US 1000000

/* How often `once` is done in a second, from `max` times at most. */
static uint64_t rate(void (*once)(void *arg), void *arg, uint64_t max)
{
    uint64_t begin_us = kv_time_mono_us(), now, count = 0;
    do {
        once(arg);
        count++;
        now = kv_time_mono_us();
    } while (count < max && now - begin_us < MEASURED_US);
    return count * 1000000 / (now - begin_us);
}

struct signing {
    struct kv_token_key key;
    enum kv_token_mechanism mechanism;
};

static void sign_once(void *arg)
{
    const struct signing *signing = arg;
    struct kv_hash digest = {.b = {1}};
    uint8_t sig[KV_TOKEN_SIG_MAX];
    size_t len = sizeof sig;
    assert_int_equal(
        kv_token_sign(token, signing->key.handle, signing->mechanism, &digest, sig, &len, NULL),
        KV_OK);
}

static void open_once(void *arg)
{
    struct kv_secret *out = NULL;
    assert_int_equal(kv_token_unwrap(token, LABEL, world->best, aad(),
                                     kv_buf_bytes((const struct kv_buf *)arg), &out, NULL),
                     KV_OK);
    kv_secret_free(out);
}

/* Few, since tpm2-pkcs11 keeps each in the chip. */
static void make_once(void *arg)
{
    size_t *number = arg;
    struct kv_token_key key;
    char label[16];
    (void)snprintf(label, sizeof label, "many-%zu", (*number)++);
    make(label, KV_TOKEN_EC_P256, &key);
}

void table_measure(void **state)
{
    (void)state;
    struct signing signing;
    struct kv_secret *plain = NULL;
    struct kv_buf box;
    size_t number = 0;
    begin();
    (void)printf("| %s |", world->title);
    for (int m = 0; m < KV_TOKEN_MECHANISM_COUNT; m++) {
        signing.mechanism = (enum kv_token_mechanism)m;
        if (!world->signs[m]) {
            (void)printf(" |");
            continue;
        }
        if (kv_token_find(token, mechanisms[m].label, &signing.key, NULL) != KV_OK) {
            make(mechanisms[m].label, mechanisms[m].key, &signing.key);
        }
        (void)printf(" %ju/s |", (uintmax_t)rate(sign_once, &signing, UINT64_MAX));
    }
    if (world->best < KV_TOKEN_RUNG_COUNT && world->rungs[world->best]) {
        assert_int_equal(kv_secret_from(kv_bytes_str(SECRET), &plain, NULL), KV_OK);
        wrap(world->best, plain, &box);
        (void)printf(" %ju/s |", (uintmax_t)rate(open_once, &box, UINT64_MAX));
        kv_buf_clear(&box);
        kv_secret_free(plain);
    } else {
        (void)printf(" |");
    }
    (void)printf(" %ju/s |\n", (uintmax_t)rate(make_once, &number, 5));
}
